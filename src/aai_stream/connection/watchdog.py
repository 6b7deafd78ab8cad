"""Notices a peer that has fallen silent.

All watchdogs of an event loop share one timer: a `Ticker`, which runs while there are
any.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Protocol

TICK_SECONDS = 1.0
"""How often a ticker looks; more often for those who won't wait ten times as long."""

ASK_SECONDS = 5.0
"""Whoever has been silent for so long is asked for a sign of life; sooner if two thirds
of the time allowed have passed."""


class Loop(Protocol):
    """What a ticker needs of an event loop."""

    def time(self) -> float: ...
    def call_later(
        self, delay: float, callback: Callable[[], object], /
    ) -> asyncio.TimerHandle: ...


class Watchdog:
    """Calls `on_silence` once when `heard` was not called for `seconds`.

    Before, `ask` is called, for a sign of life that may still come: see `ASK_SECONDS`.
    A loop that was blocked meanwhile asks late, and waits for the answer.
    """

    def __init__(
        self,
        seconds: float,
        on_silence: Callable[[], object],
        *,
        ask: Callable[[], object] | None = None,
        ticker: Ticker | None = None,
    ) -> None:
        self._ask_after = min(ASK_SECONDS, seconds * 2 / 3)
        self._answer_within = seconds - self._ask_after
        self._on_silence = on_silence
        self._ask = ask
        self.tick_seconds = min(TICK_SECONDS, seconds / 10)
        self._ticker = ticker or this_loops_ticker()
        self._time = self._ticker.loop.time
        self._heard_at = self._time()
        self._asked_at: float | None = None  # since it was last heard
        self._ticker.add(self)

    @property
    def silent_seconds(self) -> float:
        """How long there has been no sign of life."""
        return self._time() - self._heard_at

    def heard(self) -> None:
        """There was a sign of life."""
        self._heard_at = self._time()
        self._asked_at = None

    def stop(self) -> None:
        """Watch no longer."""
        self._ticker.remove(self)

    def look(self, now: float) -> None:
        """Do what is due; called by the ticker."""
        if self._asked_at is None:
            if now - self._heard_at >= self._ask_after:
                self._asked_at = now
                if self._ask is not None:
                    self._ask()
        elif now - self._asked_at >= self._answer_within:
            self.stop()
            self._on_silence()


class Ticker:
    """One timer for all the watchdogs of an event loop."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._watchdogs: dict[Watchdog, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._seconds = math.inf

    @property
    def is_running(self) -> bool:
        """Whether there is anything to watch."""
        return self._timer is not None

    def add(self, watchdog: Watchdog) -> None:
        """Let it look at every tick."""
        self._watchdogs[watchdog] = None
        if watchdog.tick_seconds < self._seconds:
            self._wait(watchdog.tick_seconds)

    def remove(self, watchdog: Watchdog) -> None:
        """Let it look no more; without watchdogs there is no timer."""
        self._watchdogs.pop(watchdog, None)
        if not self._watchdogs:
            self._stop()
            if _local.ticker is self:  # nor should it keep its loop in memory
                _local.ticker = None

    def _wait(self, seconds: float) -> None:
        self._stop()
        self._seconds = seconds
        self._timer = self.loop.call_later(seconds, self._tick)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._seconds = math.inf

    def _tick(self) -> None:
        self._stop()
        now = self.loop.time()
        for watchdog in list(self._watchdogs):
            if watchdog in self._watchdogs:  # none before it has stopped it
                watchdog.look(now)
        if self._watchdogs:
            self._wait(min(watchdog.tick_seconds for watchdog in self._watchdogs))


class _Local(threading.local):
    ticker: Ticker | None = None


_local = _Local()


def this_loops_ticker() -> Ticker:
    """The running loop's, of which a thread has one at a time."""
    loop = asyncio.get_running_loop()
    if _local.ticker is None or _local.ticker.loop is not loop:
        _local.ticker = Ticker(loop)
    return _local.ticker
