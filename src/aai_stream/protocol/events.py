"""What the protocol has to say besides messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


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
