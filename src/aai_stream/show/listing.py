"""The recorded calls in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..recorder.folder import LOCK
from ..recorder.format import META, SUFFIX, UNFINISHED
from ..recorder.reading import read_entries
from ..sharing import try_lock
from .moments import CUT_OFF
from .timeline import Timeline, timeline

RECORDING = "recorded now"


@dataclass(frozen=True)
class Listed:
    """A call in a folder.

    Attributes:
        path: of its file, or of the folder of one that is not finished.
        how: it ended.
        call: what is in it; None if it can't be read.
        why: it can't.
    """

    path: Path
    how: str = ""
    call: Timeline | None = None
    why: str = ""


def is_folder_of_calls(path: Path) -> bool:
    """Whether `path` is a directory, and not that of a call which isn't finished."""
    return path.is_dir() and not (path / META).exists()


def list_calls(folder: str | os.PathLike[str]) -> list[Listed]:
    """The calls in `folder`, newest first, those that can't be read behind them.

    Raises `InputError` if there are none, `OSError` if it can't be read.
    """
    with os.scandir(folder) as found:
        paths = [
            Path(entry)
            for entry in found
            if entry.name.endswith(UNFINISHED if entry.is_dir() else SUFFIX)
        ]
    if not paths:
        raise InputError(
            f"there is no recorded call in {os.fspath(folder)}: no file …{SUFFIX}, no "
            f"folder …{UNFINISHED}"
        )
    listed = [_listed(path) for path in sorted(paths)]
    return sorted(listed, key=lambda call: -call.call.began if call.call else 0.0)


def _listed(path: Path) -> Listed:
    try:
        call = timeline(*read_entries(path))
        how = RECORDING if call.how == CUT_OFF and _is_recorded(path) else call.how
    except (InputError, OSError) as exc:
        return Listed(path, why=str(exc))
    return Listed(path, how, call)


def _is_recorded(path: Path) -> bool:
    """Whether a process still writes that call."""
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not try_lock(lock, 0)
    finally:
        os.close(lock)
