"""The server's view of time, one seam so that tests can turn the clock by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something due later."""

    def cancel(self) -> None:
        """Make sure that it doesn't happen; no effect once it has."""


class Clock(Protocol):
    """What time it is, and a call when it is later. All in seconds."""

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
    """Let `seconds` pass."""
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
        """Call `call` in `seconds`, in place of what `name` was armed with."""
        self.disarm(name)
        self._timers[name] = self._clock.call_later(seconds, call)

    def armed(self, name: str) -> bool:
        """Whether `name` was armed, and not disarmed since."""
        return name in self._timers

    def disarm(self, name: str) -> None:
        """Forget `name`; no effect if it isn't armed."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def clear(self) -> None:
        """Forget all of them."""
        for name in list(self._timers):
            self.disarm(name)
