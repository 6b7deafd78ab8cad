"""What a tap took, as entries. Pure: no loop, no file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import groupby
from struct import iter_unpack
from typing import Any, NamedTuple

import msgspec

from .._core import pcm_of_mulaw
from .format import Entries, Meta, Pushed, Received, Sent

Note = tuple[type[Entries], dict[str, Any]]
"""An entry to be made: its kind, and its fields but for the time. Bytes are JSON."""

_UNREADABLE = (msgspec.MsgspecError, OverflowError, RecursionError, ValueError)


class Taken(NamedTuple):
    """What `Tap.take` gives."""

    audio: bytes
    pushes: bytes
    chunks: bytes
    marks: bytes
    notes: list[Note]


class Scribe:
    """Makes entries of what a tap takes, in the order in which it happened.

    Args:
        meta: of the call.
        began_at: `meta.began` by the tap's clock.
        redact: takes keys and tokens out of a text.
    """

    def __init__(
        self, meta: Meta, began_at: float, redact: Callable[[str], str]
    ) -> None:
        self._rate = meta.sample_rate
        self._is_mulaw = meta.encoding == "pcm_mulaw"
        self._unix_offset = meta.began - began_at
        self._redact = redact
        self._samples = 0  # pushed before
        self._latest = began_at

    def pcm(self, audio: bytes) -> bytes:
        """What was sent, as PCM16."""
        return pcm_of_mulaw(audio) if self._is_mulaw else audio

    def lines(self, taken: Taken) -> Iterator[bytes]:
        """All entries, a line of JSON each."""
        pushes = list(iter_unpack("=qd", taken.pushes))
        chunks = list(iter_unpack("=qqqqd", taken.chunks))
        pushed = sent = 0
        marks = iter_unpack("=dqqq", taken.marks)
        for note, (at, samples, pushes_then, chunks_then) in zip(
            taken.notes, marks, strict=True
        ):
            yield from self._audio(pushes[pushed:pushes_then], chunks[sent:chunks_then])
            pushed, sent = pushes_then, chunks_then
            yield self._noted(note, at, samples)
        yield from self._audio(pushes[pushed:], chunks[sent:])

    def last_line(self, kind: type[Entries], **fields: Any) -> bytes:
        """One that happens right behind all others, as a line of JSON."""
        return self._noted((kind, fields), self._latest, self._samples)

    def _audio(
        self, pushes: list[tuple[Any, ...]], chunks: list[tuple[Any, ...]]
    ) -> list[bytes]:
        """What was pushed and sent between two others."""
        entries: list[Pushed | Sent] = []
        if pushes:
            first = pushes[0][1]
            ends = [(sample, _micros(at - first)) for sample, at in pushes]
            entries.append(Pushed(**self._time(first, pushes[0][0]), pushes=ends))
        moments = [at for _, at in pushes]
        for session, its in groupby(chunks, lambda chunk: chunk[0]):
            sent = [(*chunk[1:4], chunk[4]) for chunk in its]
            first = sent[0][3]
            before = bisect_right(moments, first)
            samples = pushes[before - 1][0] if before else self._samples
            entries.append(
                Sent(
                    **self._time(first, samples),
                    session=session,
                    chunks=[(*each, _micros(at - first)) for *each, at in sent],
                )
            )
        if pushes:
            self._samples = pushes[-1][0]
        entries.sort(key=lambda entry: entry.unix)
        return [msgspec.json.encode(entry) + b"\n" for entry in entries]

    def _noted(self, note: Note, at: float, samples: int) -> bytes:
        kind, fields = note
        time = self._time(at, samples)
        try:
            clean = {name: self._clean(value) for name, value in fields.items()}
            return msgspec.json.encode(kind(**time, **clean)) + b"\n"
        except _UNREADABLE:
            if kind is not Received:
                raise
        text = self._clean(fields["message"].decode(errors="replace"))
        entry = Received(**time, session=fields["session"], text=text)
        return msgspec.json.encode(entry) + b"\n"

    def _time(self, at: float, samples: int) -> dict[str, Any]:
        self._latest = max(self._latest, at)
        stream_ms = samples * 1000 // self._rate
        return {"unix": at + self._unix_offset, "stream_ms": stream_ms}

    def _clean(self, value: Any) -> Any:
        """`value` without keys and tokens, whatever holds them."""
        if isinstance(value, bytes):
            parsed = msgspec.json.decode(value)
            text = value.decode()
            has_nothing = b"\\" not in value and self._redact(text) == text
            return parsed if has_nothing else self._clean(parsed)
        if isinstance(value, str):
            return self._redact(value).encode(errors="replace").decode()
        if isinstance(value, dict):
            return {self._clean(k): self._clean(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._clean(each) for each in value]
        return value


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)
