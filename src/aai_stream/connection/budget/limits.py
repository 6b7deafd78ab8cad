"""An account's limits, and who may go by them. Pure: what there is, is arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...errors import OptionError

SESSIONS_PER_MINUTE = 100
"""The least limit of a paid account."""

WINDOW_SECONDS = 61.0
"""For so long a session that began counts: a minute, and a second for connects that
take their time."""


class Decision(NamedTuple):
    """What became of those of one process who wait."""

    admitted: int
    """So many of them go: those with most at stake."""
    leaving: float
    """So many of the sessions that began within the window, the oldest first, must have
    left it before the next of them may go. Infinity if that takes a session's end, 0 if
    all go."""


@dataclass(frozen=True)
class Limits:
    """New sessions a minute, and sessions at once; `math.inf` is no limit.

    Of the new ones all that are allowed may go at once; from then on, one goes for each
    that is a minute old. A part of a session is none: 2.5 a minute are 2.

    Raises `OptionError` for a limit below 1, and for a part of a session at once.
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
    def most_begun(self) -> float:
        """How many may begin within the window."""
        return self.per_minute if self.per_minute == math.inf else self.per_minute // 1

    def share(self, parts: int) -> Limits:
        """One of so many equal parts, with at least one session."""
        return Limits(
            max(1, self.per_minute / parts),
            self.max_sessions
            if self.max_sessions == math.inf
            else max(1, self.max_sessions // parts),
        )

    def free(self, begun: int, held: int) -> float:
        """How many may go now, when `begun` sessions began within the window and `held`
        are open."""
        return max(0, min(self.most_begun - begun, self.max_sessions - held))

    def decide(self, ranks: Sequence[int], begun: int, held: int) -> Decision:
        """Who goes of those with these ranks, from low to high, in the line of all.

        A place is for the first of the line, who takes it when it asks next: who comes
        after never takes it, and no two go for the one place.
        """
        free = self.free(begun, held)
        going = sum(rank < free for rank in ranks)
        if going == len(ranks):
            return Decision(going, 0)
        then = ranks[going] + 1  # so many go until it has gone
        if held + then > self.max_sessions:
            return Decision(going, math.inf)
        return Decision(going, begun + then - self.most_begun)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
