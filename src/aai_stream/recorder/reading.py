"""A recorded call, read."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from ..errors import InputError, MissingExtraError
from .format import AUDIO, EVENTS, META, UNFINISHED_AUDIO, VERSION, Entries, Meta

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["RecordedCall", "read_call"]  # what is public; the rest is for `show`

_MOST_BYTES = 2**31  # of one entry: a zip can claim any size
_MOST_META = 2**20

_LOWEST_RATE, _HIGHEST_RATE = 1000, 384_000  # in Hz
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    NotImplementedError,  # a compression that no zip of ours has
    RuntimeError,  # encrypted
    EOFError,
)

_Opener = Callable[[str], IO[bytes]]


class _Versioned(msgspec.Struct):
    version: int


@dataclass(frozen=True)
class RecordedCall:
    """A call as it was recorded.

    Attributes:
        path: the file, or the folder of one that was never finished.
        meta: what is the same for the whole call.
        entries: what happened, in order.
        audio: the stream as it was sent: mono int16, `meta.sample_rate`.
    """

    path: Path
    meta: Meta
    entries: list[Entries]
    audio: npt.NDArray[np.int16]

    @property
    def seconds(self) -> float:
        """How much audio there is."""
        return len(self.audio) / self.meta.sample_rate


def read_call(path: str | os.PathLike[str]) -> RecordedCall:
    """Read a recorded call, also the folder of one that was cut off: its last line may
    be half written then, and is left out.

    Raises `InputError` if it is none, `OSError` if it can't be read,
    `MissingExtraError` without soundfile.
    """
    path = Path(path)
    with _opened(path) as entry:
        meta = _meta(entry(META))
        lines = _lines(entry(EVENTS))
        is_finished = path.is_file()
        audio = _flac(entry(AUDIO)) if is_finished else _pcm(entry(UNFINISHED_AUDIO))
    return RecordedCall(path, meta, _entries(path, lines, is_finished), audio)


def read_entries(path: str | os.PathLike[str]) -> tuple[Meta, list[Entries]]:
    """A call without its audio, whose decoding takes the most of the time; raises as
    `read_call`, but needs no soundfile."""
    path = Path(path)
    with _opened(path) as entry:
        meta = _meta(entry(META))
        lines = _lines(entry(EVENTS))
    return meta, _entries(path, lines, path.is_file())


def read_meta(path: str | os.PathLike[str]) -> Meta:
    """What is the same for the whole call; raises as `read_call`."""
    with _opened(Path(path)) as entry:
        return _meta(entry(META))


@contextmanager
def _opened(path: Path) -> Iterator[_Opener]:
    """Opens its entries by name; those of a zip and files of a folder alike. Raises
    `InputError` for what those who read them find that is no call's."""

    def opened(name: str) -> IO[bytes]:
        try:
            return (path / name).open("rb")
        except FileNotFoundError:
            raise KeyError(f"there is no {name} in it") from None

    try:
        if path.is_dir():
            yield opened
        else:
            with zipfile.ZipFile(path) as archive:
                yield archive.open
    except _UNREADABLE as exc:
        raise InputError(f"{path} is no recorded call: {exc}") from None


def _meta(file: IO[bytes]) -> Meta:
    with file:
        text = file.read(_MOST_META)
    try:
        version = msgspec.json.decode(text, type=_Versioned).version
        if version > VERSION:
            raise InputError(
                f"the call was recorded by a later version: format {version}, "
                f"this one reads up to {VERSION}"
            )
        meta = msgspec.json.decode(text, type=Meta)
    except msgspec.MsgspecError as exc:
        raise InputError(f"{META} of the call can't be read: {exc}") from None
    if not _LOWEST_RATE <= meta.sample_rate <= _HIGHEST_RATE:
        raise InputError(
            f"the call's sample_rate must be from {_LOWEST_RATE} to {_HIGHEST_RATE}, "
            f"not {meta.sample_rate}"
        )
    return meta


def _lines(file: IO[bytes]) -> list[bytes]:
    with file:
        return file.read(_MOST_BYTES).splitlines()


def _entries(path: Path, lines: list[bytes], is_finished: bool) -> list[Entries]:
    decode = msgspec.json.Decoder(Entries).decode
    entries: list[Entries] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(decode(line))
        except msgspec.MsgspecError as exc:
            if not is_finished and number == len(lines):
                break  # it was being written when the process died
            raise InputError(f"line {number} of {EVENTS} in {path}: {exc}") from None
    return entries


def _flac(file: IO[bytes]) -> npt.NDArray[np.int16]:
    with file:
        data = file.read(_MOST_BYTES)
    try:
        import soundfile
    except ImportError:
        raise MissingExtraError(
            "recorded calls need soundfile: pip install soundfile"
        ) from None
    audio: npt.NDArray[np.int16]
    if not data:  # FLAC can't be empty
        return _samples(data)
    try:
        audio, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    except soundfile.LibsndfileError as exc:
        why = exc.error_string
        raise InputError(f"{AUDIO} of the call can't be read: {why}") from None
    if audio.ndim != 1:
        channels = audio.shape[1]
        raise InputError(f"{AUDIO} of the call must be mono, not {channels} channels")
    return audio


def _pcm(file: IO[bytes]) -> npt.NDArray[np.int16]:
    with file:
        return _samples(file.read(_MOST_BYTES))


def _samples(data: bytes) -> npt.NDArray[np.int16]:
    import numpy as np

    return np.frombuffer(data[: len(data) // 2 * 2], np.int16)
