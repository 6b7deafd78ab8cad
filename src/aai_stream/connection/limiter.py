"""How many new sessions a minute this process asks for, over all of its streams.

AssemblyAI counts new sessions a minute and refuses what is over an account's limit.
A hundred streams that lose their server at once would be over it at once.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ..errors import OptionError
from .addresses import is_loopback

SESSIONS_PER_MINUTE = 100
"""The least limit of a paid account."""

Urgency = Callable[[], float]
"""How much is at stake for one who waits; asked whenever a place is free."""


class Waiting:
    """One who waits for a place."""

    def __init__(self, urgency: Urgency, placed: asyncio.Future[None]) -> None:
        self.urgency = urgency
        self.placed = placed


class Line:
    """Decides who may open a session, and when: those with most at stake first, among
    equals those who came first. Moments are in seconds, `now` is an argument.

    A token bucket with jitter: half a minute's sessions at once, then the rest. Half is
    the bucket's size and half its flow, so that no minute sees more than `per_minute`.
    """

    def __init__(self, per_minute: float, jitter: Callable[[], float]) -> None:
        self._interval = 120 / per_minute
        self._burst_seconds = max(0.0, 60 - self._interval)
        # A longer one would bring those before and behind it too close together.
        self._longest_jitter = min(self._interval, self._burst_seconds)
        self._jitter = jitter
        self._spent = -math.inf  # the moment at which all admitted are paid for
        self._next = -math.inf  # when the next place is free
        self.waiting: list[Waiting] = []
        """In the order in which they came."""

    def join(self, one: Waiting) -> None:
        """Wait for a place."""
        self.waiting.append(one)

    def leave(self, one: Waiting) -> None:
        """Wait no longer; a place that `one` has already is free again."""
        if one in self.waiting:
            self.waiting.remove(one)
        else:
            self._spent -= self._interval
            self._next = self._spent - self._burst_seconds

    def admit(self, now: float) -> Waiting | None:
        """Who goes now, if there is somebody and a place."""
        if not self.waiting or now < self._next:
            return None
        one = max(self.waiting, key=lambda one: one.urgency())  # the first of equals
        self.waiting.remove(one)
        self._spent = max(now, self._spent) + self._interval
        self._next = self._spent - self._burst_seconds
        if self._next > now:
            self._next += self._jitter() * self._longest_jitter
        return one

    def wait(self, now: float) -> float:
        """Seconds until the next place is free."""
        return max(0.0, self._next - now)


def _call_later(seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, callback)


class ConnectLimiter:
    """Has streams, also of several event loops, wait in one `Line`.

    Raises `OptionError` unless `per_minute` is at least 1.
    """

    def __init__(
        self,
        per_minute: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        call_later: Callable[
            [float, Callable[[], object]], asyncio.TimerHandle
        ] = _call_later,
    ) -> None:
        if not isinstance(per_minute, (int, float)) or not per_minute >= 1:
            raise OptionError(
                f"sessions_per_minute must be at least 1, not {per_minute!r}"
            )
        self._line = Line(per_minute, jitter)
        self._clock = clock
        self._call_later = call_later
        self._lock = threading.Lock()  # loops in several threads may share a limiter
        self._timers: dict[asyncio.AbstractEventLoop, asyncio.TimerHandle] = {}

    async def admit(self, urgency: Urgency) -> None:
        """Wait until one more session may be opened.

        `urgency` says how much is at stake for this one: of those who wait when a place
        is free, the one with most gets it. It may be called in any thread.
        """
        one = Waiting(urgency, asyncio.get_running_loop().create_future())
        with self._lock:
            self._line.join(one)
        self._let_in()
        try:
            await one.placed
        except asyncio.CancelledError:
            with self._lock:
                self._line.leave(one)
            self._let_in()
            raise

    def _let_in(self) -> None:
        """Admit whom there is a place for. While somebody waits in this loop, do so
        again when the next place is free."""
        here = asyncio.get_running_loop()
        with self._lock:
            now = self._clock()
            while (one := self._line.admit(now)) is not None:
                loop = one.placed.get_loop()
                if loop is here:
                    _resolve(one.placed)
                    continue
                with suppress(RuntimeError):  # closed: nobody waits there any more
                    loop.call_soon_threadsafe(_resolve, one.placed)
            if (timer := self._timers.pop(here, None)) is not None:
                timer.cancel()
            if any(one.placed.get_loop() is here for one in self._line.waiting):
                self._timers[here] = self._call_later(
                    self._line.wait(now), self._let_in
                )


def _resolve(placed: asyncio.Future[None]) -> None:
    if not placed.done():
        placed.set_result(None)


_limiters: dict[tuple[str, str, float], ConnectLimiter] = {}


def shared_limiter(
    host: str, account: str, per_minute: float | None
) -> ConnectLimiter | None:
    """The limiter of all streams to `host` for `account`, an opaque name.

    `per_minute` is `SESSIONS_PER_MINUTE` if None, but on loopback, where no account is
    at risk; `math.inf` is no limit at all.
    """
    if per_minute is None:
        per_minute = math.inf if is_loopback(host) else SESSIONS_PER_MINUTE
    if per_minute == math.inf:
        return None
    limiter = ConnectLimiter(per_minute)
    return _limiters.setdefault((host, account, per_minute), limiter)
