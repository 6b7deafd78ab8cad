"""Streams that are recorded, for tests: how they are made, and what is on file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, TypeVar

from aai_stream.recorder.format import EVENTS, Entry, Meta
from aai_stream.recorder.reading import RecordedCall, read_call

E = TypeVar("E", bound=Entry)

META = Meta(
    library="0",
    stream="0123abcd",
    began=1000.0,
    host="127.0.0.1",
    sample_rate=16_000,
    encoding="pcm_s16le",
    chunk_ms=50.0,
    settings={},
)


def names_in(folder: Path) -> list[Path]:
    """All that there is in a folder."""
    return sorted(folder.iterdir())


def the_call(folder: Path) -> RecordedCall:
    """The only one in there, which is finished."""
    (path,) = names_in(folder)
    assert path.is_file()
    return read_call(path)


def entries_of(call: RecordedCall, kind: type[E]) -> list[E]:
    return [entry for entry in call.entries if isinstance(entry, kind)]


def bytes_of(call: RecordedCall) -> bytes:
    """Its audio as PCM16."""
    data: bytes = call.audio.tobytes()
    return data


def raw_events(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(EVENTS)


def assert_in_order(call: RecordedCall) -> None:
    """Neither time nor the stream runs backwards, and all is within the audio."""
    times = [entry.unix for entry in call.entries]
    assert times == sorted(times)
    assert times[0] >= call.meta.began
    stream = [entry.stream_ms for entry in call.entries]
    assert stream[-1] * call.meta.sample_rate // 1000 <= len(call.audio)


def names_of(call: RecordedCall) -> list[str]:
    return [type(entry).__name__ for entry in call.entries]


def decided(call: RecordedCall) -> list[tuple[str, int | None]]:
    found: list[Any] = [e for e in call.entries if type(e).__name__ == "Decided"]
    return [(entry.what, entry.session) for entry in found]
