"""An event loop's clock, turned by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


class Timer:
    """As far as it is used, a `TimerHandle`."""

    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at, self.callback, self.is_cancelled = at, callback, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """A loop whose time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(
        self, delay: float, callback: Callable[..., object], /, *args: object
    ) -> Any:
        return self.call_at(self.now + delay, callback, *args)

    def call_at(
        self, at: float, callback: Callable[..., object], /, *args: object
    ) -> Any:
        self.timers.append(Timer(at, partial(callback, *args)))
        return self.timers[-1]

    @property
    def waiting(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]

    def run(self, seconds: float) -> None:
        """Let time pass, and call what comes due."""
        self.run_to(self.now + seconds)

    def run_to(self, end: float) -> None:
        """The same, until the clock says `end`."""
        while due := [timer for timer in self.waiting if timer.at <= end]:
            timer = min(due, key=lambda timer: timer.at)
            self.timers.remove(timer)
            self.now = max(self.now, timer.at)
            timer.callback()
        self.now = end

    def block(self, seconds: float) -> None:
        """Let time pass without a turn of the loop."""
        self.now += seconds
