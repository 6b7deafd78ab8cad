"""One call's folder while it lasts, as the writing thread has it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from .._core import Tap
from ..sharing import try_lock
from .entries import Scribe, Taken
from .folder import LOCK, shelf_of
from .format import EVENTS, META, UNFINISHED_AUDIO, Finished, Meta
from .packing import open_private
from .recording import RecordSettings

logger = logging.getLogger("aai_stream")

ENDED_EARLY = "the recording of this stream has ended: %s"


class CallWriter:
    """Writes a call; made anywhere, used in the writing thread alone.

    What goes wrong ends the recording with a warning, and nothing else.

    Args:
        recording: where calls go, and how much of them there may be.
        file: which this call is to become.
        meta, scribe: of the call.
        fields: a log record's `extra`.

    Attributes:
        tap: has what is to be written; the call is over when it is closed.
        is_over: nothing more is written.
    """

    def __init__(
        self,
        recording: RecordSettings,
        file: Path,
        tap: Tap,
        *,
        meta: Meta,
        scribe: Scribe,
        fields: Mapping[str, Any],
    ) -> None:
        self.tap = tap
        self.is_over = False
        self._recording = recording
        self._folder = file.with_name(f"{file.name}.part")
        self._meta = meta
        self._scribe = scribe
        self._fields = fields
        self._shelf = shelf_of(recording.folder)
        self._audio: IO[bytes] | None = None
        self._events: IO[bytes] | None = None
        self._lock: int | None = None

    def write(self) -> None:
        """Write what there is by now; the first time make the folder, the last time
        pack it."""
        is_last = not self.tap.is_open  # asked before, so that nothing comes behind
        try:
            if self._lock is None:
                self._begin()
            self._append(Taken(*self.tap.take()))
            if is_last and not self.is_over:
                if self.tap.is_full:
                    self._warn("too much waits to be written")
                self._finish()
        except Exception as exc:
            self._warn(f"{type(exc).__name__}: {exc}")
            self._shelf.leave(self._folder)
            self._close()

    def abandon(self) -> None:
        """Forget it, and leave its files to the parent: this is a copy in a fork."""
        self._close()
        self.tap.take()

    def _warn(self, why: str) -> None:
        logger.warning(ENDED_EARLY, why, extra=self._fields)

    def _begin(self) -> None:
        """First pack what dead processes left in the folder above."""
        self._shelf.add(self._folder)
        self._folder.mkdir(0o700)
        meta = msgspec.json.encode(self._meta)
        with open_private(self._folder / META) as file:
            file.write(meta)
        self._audio = open_private(self._folder / UNFINISHED_AUDIO)
        self._events = open_private(self._folder / EVENTS)
        self._take_lock()
        self._shelf.pack_leftovers(time.time())

    def _take_lock(self) -> None:
        """It gets its name when it is locked: no other process may think us dead."""
        early = self._folder / f"{LOCK}.new"
        self._lock = os.open(early, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try_lock(self._lock, 0)
        os.rename(early, self._folder / LOCK)

    def _append(self, taken: Taken) -> None:
        """All of it; or, where the folder has too little room, none and be over."""
        assert self._audio is not None
        assert self._events is not None
        pcm = self._scribe.pcm(taken.audio)
        lines = b"".join(self._scribe.lines(taken))
        size = len(pcm) + len(lines)
        if not self._shelf.reserve(size, self._recording.most_bytes):
            megabytes = self._recording.most_bytes / 1e6
            self._warn(f"{self._recording.folder} holds {megabytes:g} MB (record_mb)")
            _write(self._events, self._scribe.last_line(Finished, why="full"))
            self._finish()
            return
        _write(self._audio, pcm)  # first, so that no entry is about audio to come
        _write(self._events, lines)

    def _finish(self) -> None:
        self._close_files()
        self._shelf.finish(self._folder, self._recording.most_bytes)
        self._close()

    def _close(self) -> None:
        self.is_over = True
        self.tap.close()
        with suppress(OSError):  # that they can't be written is known
            self._close_files()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _close_files(self) -> None:
        for file in (self._audio, self._events):
            if file is not None:
                file.close()


def _write(file: IO[bytes], data: bytes) -> None:
    """All of it: an unbuffered file may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
