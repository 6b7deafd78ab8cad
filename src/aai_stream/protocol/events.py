"""What the protocol has to say besides messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from ..messages import Event


class Level(IntEnum):
    """How much a note matters; the numbers are those of `logging`."""

    DEBUG = 10
    INFO = 20
    WARNING = 30


@dataclass(frozen=True)
class Report:
    """Something for those who watch, not for the caller."""


@dataclass(frozen=True)
class Note(Report):
    """A line for the log. `session` is the one that it is about, `failure` why."""

    level: Level
    text: str
    session: str = ""
    failure: Exception | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Retry:
    """A session was lost, or could not be opened; another is opened in `seconds`.

    `counts`: it uses up a retry. Waiting for a place among an account's sessions
    doesn't. `session` was lost; empty if it could not be opened.
    """

    failure: Exception
    seconds: float
    counts: bool
    session: str = ""


@dataclass(frozen=True)
class Admitted(Report):
    """A new session had to wait `seconds` for others: of this process, this account."""

    seconds: float


@dataclass(frozen=True)
class Opened(Report):
    """A session has begun, `seconds` after it was asked for. It may be on standby."""

    session: str
    model: str
    expires_at: int | None
    seconds: float


@dataclass(frozen=True)
class Resumed(Report):
    """A session hears the stream from `sample` on.

    Up to `sent`, sessions before it were sent the audio, or it was let go. `after` is
    the one before, empty for the first.
    """

    session: str
    sample: int
    sent: int
    after: str


@dataclass(frozen=True)
class CaughtUp(Report):
    """A session that audio waited for has been sent all of it, after `seconds`."""

    session: str
    seconds: float


class Outcome(Enum):
    """What became of a session."""

    ENDED = "ended"
    """It came to its end as asked."""
    REPLACED = "replaced"
    """Its successor took over, as planned."""
    CLOSED = "closed"
    """Nobody wanted it any more."""
    LOST = "lost"
    NOT_OPENED = "not_opened"
    """It failed before its Begin."""


@dataclass(frozen=True)
class Over(Report):
    """A session is over; each that is asked for is so once. Moments are those of the
    protocol's clock, `began_at` is None if there was no Begin."""

    session: str
    outcome: Outcome
    failure: Exception | None
    asked_at: float
    began_at: float | None
    audio_seconds: float
    """What it was sent, padding included."""


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

Told = Event | Retry | Report
"""What a stream tells."""
