"""A stream's sessions: the one that hears it, one on standby, one being opened."""

from __future__ import annotations

import math

from ..messages import Event
from .events import LostTurn, Note, Tells
from .session import Session, State

OVERLAP_SECONDS = 60.0
"""How long before its end a session's successor is opened; of short sessions, the last
fifth."""

SHORTEST_SECONDS = 45.0
"""No session is replaced before, though the clock may say so: none is made for less
than a minute."""

LONGEST_SECONDS = 86_400.0
"""No session lasts longer; one that says so has no end that could be planned for."""

MOST_EARLY = 1000
"""Messages kept from a session that hears nothing yet."""


class Lineup:
    """Which sessions there are, and when the next one is due.

    Attributes:
        present: hears the stream, or did so last.
        standby: is ready to take over.
        opening: is being opened.
        open_at: when the next one is to be opened, unless one is being opened.
        count: how many have heard the stream.
    """

    def __init__(self) -> None:
        self.present: Session | None = None
        self.standby: Session | None = None
        self.opening: Session | None = None
        self.open_at = math.inf
        self.count = 0
        self._early: list[Event | LostTurn] = []  # told before it hears the stream
        self._heard_samples = 0  # by sessions before the present one
        self._malformed = 0  # likewise

    @property
    def listening(self) -> Session | None:
        """The session that hears the stream, if one does."""
        present = self.present
        return None if present is None or present.is_over else present

    @property
    def is_open(self) -> bool:
        """Whether a session hears the stream."""
        return self.listening is not None

    @property
    def is_sent_audio(self) -> bool:
        """Whether a session hears the stream, and has not been asked to end."""
        return self.present is not None and self.present.state is State.OPEN

    @property
    def wants_next(self) -> bool:
        """Whether there will be another session."""
        is_coming = self.opening is not None or self.standby is not None
        return is_coming or self.open_at < math.inf

    @property
    def living(self) -> list[Session]:
        """The sessions of which something may come."""
        sessions = (self.listening, self.standby, self.opening)
        return [session for session in sessions if session is not None]

    def open(self, session: Session) -> None:
        """`session` is being opened."""
        self.open_at = math.inf
        self._early = []
        self.opening = session

    def keep_early(self, told: list[Tells]) -> list[Note]:
        """Keep what a session tells that hears nothing yet. Returns what is for the
        log."""
        if len(self._early) < MOST_EARLY:
            self._early += [event for event in told if not isinstance(event, Note)]
        return [event for event in told if isinstance(event, Note)]

    def stand_by(self) -> None:
        """The session that is being opened is ready."""
        self.standby, self.opening = self.opening, None

    def take_over(self, now: float) -> list[Event | LostTurn]:
        """Move to the session on standby; returns what it has told so far."""
        if self.present is not None:
            self._heard_samples = self.heard_samples
            self._malformed = self.malformed_messages
            self.present.over()
        assert self.standby is not None
        self.present, self.standby = self.standby, None
        self.count += 1
        self.open_at = _successor_due(self.present, now)
        early, self._early = self._early, []
        return early

    def keep_only_present(self) -> None:
        """Want no successor."""
        self.open_at = math.inf
        for session in (self.standby, self.opening):
            if session is not None:
                session.over()
        self.standby = self.opening = None

    def stop(self) -> None:
        """Want no session any more."""
        self.keep_only_present()
        if self.present is not None:
            self.present.over()

    @property
    def heard_samples(self) -> int:
        """Samples that servers were sent, padding and repetitions included."""
        present = 0 if self.present is None else self.present.timeline.samples
        return self._heard_samples + present

    @property
    def malformed_messages(self) -> int:
        """Messages that could not be read."""
        present = 0 if self.present is None else self.present.malformed_messages
        return self._malformed + present


def _successor_due(session: Session, now: float) -> float:
    """When the successor of `session` is to be opened. If none can be had in time,
    expiry is a loss like any other."""
    if not now < session.expiry <= now + LONGEST_SECONDS:
        return math.inf
    lead = min(OVERLAP_SECONDS, (session.expiry - session.began_at) / 5)
    return max(session.expiry - lead, session.began_at + SHORTEST_SECONDS)
