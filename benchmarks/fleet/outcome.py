"""What is simulated, and what becomes of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WORDS_A_SECOND = 1.25
"""Of a call in which the caller speaks half of the time."""


FOR_EVER = 10**9
"""Attempts."""


@dataclass(frozen=True)
class Setting:
    """What is simulated; seconds. `per_minute` is what the account may open."""

    streams: int = 10_000
    hosts: int = 200
    outage: float = 90.0
    per_minute: int = 4000
    replay: float = 120.0
    max_retries: int = FOR_EVER
    patience: float = math.inf
    seed: int = 1


@dataclass(frozen=True)
class Budget:
    """Who shares a book."""

    name: str
    colour: str
    books: Callable[[Setting], int]
    """How many there are; 0 for no budget."""


BUDGETS = (
    Budget("none", "#bc4c00", lambda _: 0),
    Budget("per host", "#8250df", lambda setting: setting.hosts),
    Budget("shared", "#0969da", lambda _: 1),
)


@dataclass
class Outcome:
    """What became of a fleet. Counters are by second since its region was lost."""

    budget: Budget
    connects: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    """Of them, as too many."""
    asks: Counter[int] = field(default_factory=Counter)
    """Of the books, by all."""
    opened_at: list[float] = field(default_factory=list)
    """When each stream had a session again."""
    level_at: list[float] = field(default_factory=list)
    """When each had been heard up to the present again."""
    lost_seconds: float = 0.0
    """Of audio that replay buffers could not keep."""
    gave_up: int = 0
    """Streams."""

    def figures(self) -> dict[str, float]:
        """The rows of the table."""
        return {
            "connects in a minute, at most": most_in_a_minute(self.connects),
            "refused as too many": self.refused.total(),
            "streams that gave up": self.gave_up,
            "half of the streams open after, s": _after(self.opened_at, 0.5),
            "all open after, s": _after(self.opened_at, 1),
            "all level after, s": _after(self.level_at, 1),
            "words lost": round(self.lost_seconds * WORDS_A_SECOND),
            "operations a second on a budget, at most": max(
                self.asks.values(), default=0
            ),
        }


def most_in_a_minute(seconds: Counter[int]) -> int:
    """In any 60 of them."""
    most = total = 0
    for second in range(max(seconds, default=0) + 1):
        total += seconds[second] - seconds[second - 60]
        most = max(most, total)
    return most


def _after(moments: list[float], share: float) -> float:
    """When so many of them are over; NaN if there are none."""
    if not moments:
        return math.nan
    return sorted(moments)[math.ceil(len(moments) * share) - 1]


def table(outcomes: Sequence[Outcome]) -> str:
    """In Markdown."""
    columns = [outcome.figures() for outcome in outcomes]
    head = ["budget", *(outcome.budget.name for outcome in outcomes)]
    rows = [[name, *(f"{each[name]:,.0f}" for each in columns)] for name in columns[0]]
    lines = [head, ["---", *["--:"] * len(outcomes)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
