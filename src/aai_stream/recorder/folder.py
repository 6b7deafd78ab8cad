"""The folder that recordings go to: what dead processes left, and what gives way."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ..errors import AaiStreamError
from ..sharing import try_lock
from .format import SUFFIX, UNFINISHED
from .packing import file_of, pack

logger = logging.getLogger("aai_stream")

LOCK = "lock"
"""In a call's folder, from when all else is there: locked while its process lives."""

_NAME = re.compile(rf"\d{{8}}-\d{{6}}-[0-9a-f]+({re.escape(SUFFIX)}(\.part)?)")
_MAKING_SECONDS = 60.0  # a folder takes no longer to be complete
_PARTS = 64  # of what it may hold: it is looked at again after so much was written


class Shelf:
    """The recordings of a folder, to the thread that writes there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = 0.0  # bytes that may be written before it is looked at again
        self._ours: set[Path] = set()

    def add(self, call: Path) -> None:
        """This process records a call into that folder."""
        self._ours.add(call)

    def finish(self, call: Path, most: float) -> None:
        """Pack it; it is none of this process any more. Raises as `pack` does."""
        self._ours.discard(call)
        pack(call)
        self._left = 0.0
        self._make_room(0, most, kept=file_of(call))

    def leave(self, call: Path) -> None:
        """Leave it as it is; the next recording packs it."""
        self._ours.discard(call)

    def reserve(self, size: int, most: float) -> bool:
        """Whether `size` more bytes may be written, of `most` in all. The oldest
        recordings give way."""
        if size > self._left:
            left = most - self._make_room(size, most)
            self._left = min(left, max(size, most / _PARTS))
        if size > self._left:
            return False
        self._left -= size
        return True

    def pack_leftovers(self, unix_now: float) -> None:
        """Pack what dead processes left; remove what they had only begun to make."""
        for path, suffix in list(self._calls()):
            if suffix != UNFINISHED or path in self._ours:
                continue
            try:
                _pack_if_dead(path, unix_now)
            except FileNotFoundError:  # another process did so meanwhile
                pass
            except (OSError, AaiStreamError) as exc:
                logger.warning("the recording %s can't be packed: %s", path, exc)

    def _make_room(self, size: int, most: float, kept: Path | None = None) -> float:
        """Delete the oldest finished recordings, but `kept`, until `size` more bytes
        are no more than `most`; gives how many there are then."""
        sizes: dict[Path, int] = {}
        total = 0
        for path, suffix in sorted(self._calls()):
            if suffix == UNFINISHED:
                total += sum(_size(each) for each in path.glob("*"))
            else:
                sizes[path] = _size(path)
        total += sum(sizes.values())
        for path, its_size in sizes.items():
            if total + size <= most:
                break
            if path != kept:
                path.unlink(missing_ok=True)
                total -= its_size
        return total

    def _calls(self) -> Iterator[tuple[Path, str]]:
        """Each call's file or folder, and its suffix."""
        for path in self._folder.iterdir():
            if match := _NAME.fullmatch(path.name):
                yield path, match[1]


def _pack_if_dead(call: Path, unix_now: float) -> None:
    try:
        lock = os.open(call / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # nothing is written before it is there
        if call.stat().st_mtime < unix_now - _MAKING_SECONDS:
            shutil.rmtree(call)
        return
    try:
        if try_lock(lock, 0):
            pack(call)
    finally:
        os.close(lock)


def _size(path: Path) -> int:
    """In bytes; 0 if it is gone meanwhile."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


@cache
def shelf_of(folder: Path) -> Shelf:
    """That of a folder; in a process it is always the same one."""
    return Shelf(folder)


# What the parent records is none of the fork's.
os.register_at_fork(after_in_child=shelf_of.cache_clear)
