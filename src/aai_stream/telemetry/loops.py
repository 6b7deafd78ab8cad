"""The streams of each event loop that are watched, and what is done for all of them."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING

import msgspec

from .snapshot import ProcessShown, shown
from .window import Window, open_window

if TYPE_CHECKING:
    from .reporter import Reporter

SAMPLE_SECONDS = 1.0
"""How often sums over time are brought up to date."""


class Watched:
    """An event loop's streams. One timer samples those that keep metrics.

    Attributes:
        reporters: of the streams, in the order in which they began.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.reporters: dict[Reporter, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._window: Window | None = None

    def add(self, reporter: Reporter) -> None:
        """Watch that stream, too."""
        if not self.reporters:
            self._window = open_window(self.snapshot)
        self.reporters[reporter] = None
        if self._timer is None and reporter.counting is not None:
            self._wait()

    def remove(self, reporter: Reporter) -> None:
        """Watch it no more; without streams nothing is left."""
        self.reporters.pop(reporter, None)
        if self.reporters:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._window is not None:
            self._window.close()
            self._window = None
        if _local.watched is self:  # nor should it keep its loop in memory
            _local.watched = None

    def snapshot(self) -> bytes:
        """A `ProcessShown`, as JSON."""
        now = self.loop.time()
        program = os.path.basename(sys.argv[0] if sys.argv else "")[:100]
        streams = [shown(reporter, now) for reporter in self.reporters]
        process = ProcessShown(pid=os.getpid(), program=program, streams=streams)
        return msgspec.json.encode(process)

    def _wait(self) -> None:
        due = self.loop.time() + SAMPLE_SECONDS
        self._timer = self.loop.call_at(due, self._on_time, due)

    def _on_time(self, due: float) -> None:
        self.sample(late=max(0.0, self.loop.time() - due))
        self._wait()

    def sample(self, late: float) -> None:
        """Bring metrics up to date; the loop does so `late` seconds late."""
        from .instruments import event_loop_lag

        event_loop_lag().observe(late)
        for reporter in self.reporters:
            if reporter.counting is not None:
                reporter.counting.sample()


class _Local(threading.local):
    watched: Watched | None = None


_local = _Local()


def this_loops_watched() -> Watched:
    """The running loop's, of which a thread has one at a time."""
    loop = asyncio.get_running_loop()
    if _local.watched is None or _local.watched.loop is not loop:
        _local.watched = Watched(loop)
    return _local.watched
