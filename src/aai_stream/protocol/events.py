"""What the protocol has to say besides messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ..messages import Event


class Level(IntEnum):
    """How much a note matters; the numbers are those of `logging`."""

    DEBUG = 10
    INFO = 20
    WARNING = 30


@dataclass(frozen=True)
class Note:
    """A line for the log."""

    level: Level
    text: str


@dataclass(frozen=True)
class Retry:
    """A session was lost, or could not be opened; another is opened in `seconds`.

    `counts`: it uses up a retry. Waiting for a place among an account's sessions
    doesn't.
    """

    failure: Exception
    seconds: float
    counts: bool


@dataclass(frozen=True)
class LostTurn:
    """A turn that its session never ended; all in ms.

    It lies somewhere between `start` and `end`. `words`: from where to where it was
    told to have words; None if it wasn't.
    """

    start: int
    end: int
    words: tuple[int, int] | None


Tells = Event | LostTurn | Note
"""What a session tells."""

Told = Event | Note | Retry
"""What a stream tells."""
