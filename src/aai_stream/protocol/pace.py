"""How fast audio that has waited may follow."""

from __future__ import annotations

import math

from ..errors import OptionError

CATCH_UP_RATE = 1.25
"""Times real time. AssemblyAI works through a backlog at about this speed, so that
sending faster gains nothing, and may close with 3007."""

BURST_SECONDS = 1.0
"""This much audio may go at once before the rate applies: a handshake's worth."""


def check_rate(rate: object) -> None:
    """Raise `OptionError` for a rate that could not keep up with live audio."""
    if not isinstance(rate, (int, float)) or not rate > 1:
        raise OptionError(f"catch_up_rate must be above 1, not {rate!r}")


class Pacer:
    """Lets audio pass at `rate` times real time, after a burst; `inf` lets all pass.

    Audio that comes live is never held back, since it uses up less than is granted.
    """

    def __init__(self, rate: float, sample_rate: int) -> None:
        self._rate = rate
        self._sample_rate = sample_rate
        self._burst_seconds = BURST_SECONDS
        self._unpaid_seconds = self._burst_seconds / rate  # so much may pass unpaid
        self._paid_at = -math.inf  # when all that has passed is paid for
        self.opens_at = -math.inf
        """When more may pass."""

    def spend(self, samples: int, now: float) -> None:
        """So many samples pass."""
        paid_at = self._paid_at
        cost = samples / (self._rate * self._sample_rate)
        self._paid_at = (now if now > paid_at else paid_at) + cost
        self.opens_at = self._paid_at - self._unpaid_seconds

    def slow_down(self) -> None:
        """The server found this too fast: halve what is above real time."""
        self._rate = 1 + (min(self._rate, CATCH_UP_RATE) - 1) / 2
        self._burst_seconds /= 2
        self._unpaid_seconds = self._burst_seconds / self._rate
