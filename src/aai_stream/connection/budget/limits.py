"""An account's limits, and who may go by them. Pure: moments are arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...errors import OptionError

SESSIONS_PER_MINUTE = 100
"""The least limit of a paid account."""

ROUNDING = 1e-6
"""Of a place, so that what floats round away is none too few."""


class Decision(NamedTuple):
    """What became of those of one process who wait."""

    admitted: int
    """So many of them go: those with most at stake."""
    spent: float
    wait: float
    """Seconds until the next of them may go; infinity if that takes another's end."""


@dataclass(frozen=True)
class Limits:
    """New sessions a minute, and sessions at once; `math.inf` is no limit.

    Half a minute's sessions may go at once, then the rest one by one: half is what a
    bucket of tokens holds and half what flows into it, so that no 60 s see more than
    `per_minute`. `spent`, the moment at which all that went are paid for, is all that
    there is to remember of them.

    Raises `OptionError` for a limit below 1, and for a part of a session.
    """

    per_minute: float = math.inf
    max_sessions: float = math.inf

    def __post_init__(self) -> None:
        if not _is_number(self.per_minute) or not self.per_minute >= 1:
            raise OptionError(
                f"sessions_per_minute must be at least 1, not {self.per_minute!r}"
            )
        most = self.max_sessions
        if not _is_number(most) or not most >= 1 or most not in (math.inf, most // 1):
            raise OptionError(
                f"max_sessions must be a whole number from 1 on, not {most!r}"
            )

    @property
    def interval(self) -> float:
        """Seconds that one place takes to be free again."""
        return 120 / self.per_minute

    @property
    def burst(self) -> float:
        """Seconds' worth of places that may be taken at once, besides the first."""
        return max(0.0, 60 - self.interval)

    def share(self, parts: int) -> Limits:
        """One of so many equal parts, with at least one session."""
        return Limits(
            max(1, self.per_minute / parts),
            self.max_sessions
            if self.max_sessions == math.inf
            else max(1, self.max_sessions // parts),
        )

    def free(self, spent: float, held: int, now: float) -> float:
        """How many may go now, when `held` sessions are open."""
        places = math.inf
        if self.interval > 0:
            left = (now + self.burst - max(spent, now)) / self.interval
            places = math.floor(left + 1 + ROUNDING)
        return max(0, min(places, self.max_sessions - held))

    def until(self, spent: float, held: int, now: float, ahead: int) -> float:
        """Seconds until one may go who has `ahead` others before it; infinity if that
        takes a session's end."""
        if ahead >= self.max_sessions - held:
            return math.inf
        return max(0.0, max(spent, now) + ahead * self.interval - self.burst - now)

    def decide(
        self, ranks: Sequence[int], spent: float, held: int, now: float
    ) -> Decision:
        """Who goes of those with these ranks, from low to high, in the line of all.

        A place is for the first of the line, who takes it when it asks next: who comes
        after never takes it, and no two go for the one place.
        """
        free = self.free(spent, held, now)
        going = sum(rank < free for rank in ranks)
        if going:
            spent = max(spent, now) + going * self.interval
        if going == len(ranks):
            return Decision(going, spent, math.inf)
        ahead = ranks[going] - going
        return Decision(going, spent, self.until(spent, held + going, now, ahead))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
