"""Time as the server sees it. Tests put a clock of their own in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Don't make the call; no effect once it was made."""


class Clock(Protocol):
    """Tells the time and makes calls later. All times are in seconds."""

    def unix(self) -> float:
        """The time of day, since the epoch."""

    def monotonic(self) -> float:
        """Time that only goes forward, from an arbitrary start."""

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call `call` on the event loop when `seconds` have passed."""


class LoopClock:
    """Real time, on the running event loop."""

    def unix(self) -> float:
        """`time.time`."""
        return time.time()

    def monotonic(self) -> float:
        """`time.monotonic`."""
        return time.monotonic()

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """`call_later` of the running event loop."""
        return asyncio.get_running_loop().call_later(seconds, call)


async def pause(clock: Clock, seconds: float) -> None:
    """Return when `seconds` have passed."""
    if seconds > 0:
        passed = asyncio.Event()
        timer = clock.call_later(seconds, passed.set)
        try:
            await passed.wait()
        finally:
            timer.cancel()


class Timers:
    """Timers with names, at most one of each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: dict[str, Timer] = {}

    def arm(self, name: str, seconds: float, call: Callable[[], object]) -> None:
        """Call `call` in `seconds`, instead of what `name` was armed with before."""
        self.disarm(name)
        self._timers[name] = self._clock.call_later(seconds, call)

    def armed(self, name: str) -> bool:
        """Whether `name` was armed, and not disarmed since."""
        return name in self._timers

    def disarm(self, name: str) -> None:
        """Cancel the call for `name`; no effect if there is none."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def clear(self) -> None:
        """Disarm all of them."""
        for name in list(self._timers):
            self.disarm(name)
