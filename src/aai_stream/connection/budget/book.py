"""Where an account's sessions are counted, seen from one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from .limits import Limits

MOMENT = 0.001
"""Seconds by which one asks later than there is a place: what floats round, and what
clocks differ by, is no reason to ask twice."""

LOOK_SECONDS = 0.5
"""How often the first of the line asks, in case that another process left a place."""

CROWD_SECONDS = 0.25
"""No sooner do those ask who have others before them: where many places become free
one right after the other, they would ask for each."""

LOOK_SECONDS_LATER = 5.0
"""How often those ask who are far behind."""

FORGOTTEN_SECONDS = LOOK_SECONDS_LATER + 2
"""Who hasn't asked for so long holds nobody up."""


class Ask(NamedTuple):
    """One who waits for a place."""

    came: str
    """When, such that the earlier sorts first; no two are alike."""
    urgency: float
    """How much is at stake."""


class Turn(NamedTuple):
    """What became of it."""

    admitted: int
    """So many go, from the first on."""
    wait: float
    """Seconds until the book is to be asked again; infinity if there is no need."""
    in_use: int
    """How many sessions all processes have now, with those that go."""


class Book(Protocol):
    """Counts an account's sessions. What a process states, it states anew each time, so
    that a book that forgot all of it soon knows it again."""

    def turn(
        self,
        limits: Limits,
        asks: Sequence[Ask],
        held: int,
        begun: Mapping[str, float],
    ) -> Turn:
        """Let in whom there is a place for. Blocks; one thread at a time may call it.

        `asks` are those of this process who wait, most at stake first and then in the
        order in which they came; `held` is how many sessions it has. `begun` are those
        that went within the window, by when they came, with their age in seconds; who
        is left out has not used its place.
        """
        ...


def look_again(until: float, ahead: int) -> float:
    """When to ask again, who has `ahead` others before it and would go in `until`
    seconds: sooner, as others leave and end; those at the end, not so often."""
    wait = min(until + MOMENT, LOOK_SECONDS + ahead / 100, LOOK_SECONDS_LATER)
    return max(wait, CROWD_SECONDS) if ahead else wait
