"""How late an event loop is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

EVERY_SECONDS = 0.005


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that `percent` of `values` don't exceed; 0 if there are none."""
    if not values:
        return 0.0
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


class LagProbe:
    """Asks to be called every 5 ms and notes how much later than that it is called.

    A call that comes after the next ones were due stands for them, too: each of them
    was late, and a loop that hangs for a second counts as a second, not as one call.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late_ms: list[float] = []
        self._due = self._loop.time() + EVERY_SECONDS
        self._timer = self._loop.call_at(self._due, self._look)

    def restart(self) -> None:
        """Forget what was seen."""
        self._late_ms = []

    def late_ms(self) -> list[float]:
        """What was seen since; also a call that is overdue at this moment."""
        overdue = 1000 * (self._loop.time() - self._due)
        return [*self._late_ms, overdue] if overdue > 0 else self._late_ms

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        while self._due <= now:
            self._late_ms.append(1000 * (now - self._due))
            self._due += EVERY_SECONDS
        self._timer = self._loop.call_at(self._due, self._look)
