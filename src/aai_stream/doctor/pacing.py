"""How often a server is connected to: accounts may open so many sessions a minute."""

from __future__ import annotations

import math

FREE_ACCOUNT = 5.0
"""New sessions a minute; a paid account has 100 or more."""


class Pace:
    """Spreads connections evenly. Moments are in seconds, `now` is an argument."""

    def __init__(self, per_minute: float = math.inf) -> None:
        self._interval = 60 / per_minute
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """How long the next one has to wait, whose place is taken by asking."""
        at = max(now, self._next)
        self._next = at + self._interval
        return at - now
