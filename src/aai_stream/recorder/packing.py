"""The folder of a call that is over, packed into its file."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import IO

from .format import AUDIO, EVENTS, META, UNFINISHED_AUDIO
from .reading import read_meta

_PACKED = "packed"
_BLOCK = 1 << 20  # bytes


def open_private(path: Path) -> IO[bytes]:
    """A new file of this user's alone, to be written. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)


def file_of(folder: Path) -> Path:
    """The file that a call's folder becomes."""
    return folder.with_suffix("")


def pack(folder: Path) -> None:
    """Make the file, then remove the folder. A last line that is half written is left
    out.

    A file that is there is whole: it gets its name when all is in it. Raises `OSError`,
    or `InputError` where the folder holds no call.
    """
    file = file_of(folder)
    if not file.exists():
        rate = read_meta(folder).sample_rate
        for name in (_PACKED, AUDIO):  # of who died when packing
            (folder / name).unlink(missing_ok=True)
        _encode(folder / UNFINISHED_AUDIO, folder / AUDIO, rate)
        with (
            open_private(folder / _PACKED) as target,
            zipfile.ZipFile(target, "w", strict_timestamps=False) as archive,
        ):
            archive.write(folder / META, META)
            archive.write(folder / AUDIO, AUDIO)  # which is dense as it is
            _pack_lines(folder / EVENTS, archive)
        os.rename(folder / _PACKED, file)
    shutil.rmtree(folder)


def _encode(source: Path, target: Path, rate: int) -> None:
    """PCM16 to FLAC. FLAC can't be empty, so without audio the file is."""
    import numpy as np
    import soundfile

    open_private(target).close()  # or else soundfile would make it, for all to read
    with source.open("rb") as pcm:
        if os.fstat(pcm.fileno()).st_size < 2:
            return
        kind = {"samplerate": rate, "channels": 1, "subtype": "PCM_16"}
        with soundfile.SoundFile(target, "w", format="FLAC", **kind) as flac:
            while block := pcm.read(_BLOCK):
                flac.write(np.frombuffer(block[: len(block) // 2 * 2], np.int16))


def _pack_lines(source: Path, archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo(EVENTS)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with source.open("rb") as lines, archive.open(entry, "w") as target:
        target.writelines(line for line in lines if line.endswith(b"\n"))
