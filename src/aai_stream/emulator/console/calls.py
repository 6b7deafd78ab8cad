"""All sessions of a server as pages see them, and the lanes that they make up.

A lane is a stream: the sessions of one caller's audio, one after the other. That two
sessions are of one stream is known from their audio alone; see `matching.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from ..clock import Clock
from ..faults.running import Applied
from .session import Session, Turn

MOST_OVER = 100
"""How many sessions are shown after their end."""
REJOIN_SECONDS = 60.0
"""So long after its end a session can go on in another one."""


class Calls:
    """A `Watcher`. `sessions` are those that are shown, by connection."""

    def __init__(self, clock: Clock) -> None:
        self.sessions: dict[int, Session] = {}
        self._clock = clock
        self._version = 0
        self._listeners: set[asyncio.Event] = set()

    @property
    def version(self) -> int:
        """The number of the last change."""
        return self._version

    def now(self) -> float:
        """Seconds, by the server's clock."""
        return self._clock.monotonic()

    def listen(self, news: asyncio.Event) -> None:
        """Set `news` whenever something changes."""
        self._listeners.add(news)

    def forget(self, news: asyncio.Event) -> None:
        """Don't set `news` any more."""
        self._listeners.discard(news)

    def changed(self) -> int:
        """Something has changed; gives the number of that change."""
        self._version += 1
        for news in self._listeners:
            news.set()
        return self._version

    def connection(self, number: int) -> Session:
        """A session, in a lane of its own until its audio proves another one."""
        session = Session(number, self.now, self.changed, self._came, self._ended)
        session.lane = number
        session.began = self.now()
        self.sessions[number] = session
        session.touch_facts()
        return session

    def struck(self, applied: Applied) -> None:
        """A fault has happened."""
        if session := self.sessions.get(applied.connection):
            session.struck(str(applied.fault))

    def lane(self, number: int) -> list[Session]:
        """The sessions of a lane, in their order."""
        return [s for s in self.sessions.values() if s.lane == number]

    def words(self, session: Session, turn: Turn) -> list[tuple[int, int, str]]:
        """The words of a turn that no earlier session of its lane has told as final."""
        covered = max(self._ends_of_finals(session), default=0)
        shift = session.offset_ms
        return [w for w in turn.words if (w[0] + w[1]) / 2 + shift >= covered]

    def _ends_of_finals(self, session: Session) -> Iterator[int]:
        for earlier in self.lane(session.lane):
            if earlier.number < session.number:
                for turn in earlier.turns.values():
                    if turn.final and turn.words:
                        yield turn.words[-1][1] + earlier.offset_ms

    def _came(self, session: Session) -> None:
        matcher = session.matcher
        assert matcher is not None
        while probe := matcher.probe():
            at, pcm = probe
            # Sessions of one lane have the same audio at the same place of it.
            found = {
                (lost.lane, lost.offset + place - at)
                for lost in self._lost(session)
                if lost.recording is not None and lost.rate == session.rate
                for place in lost.recording.places(pcm)
            }
            if len(found) == 1:
                session.matcher = None
                self._join(session, *found.pop())
                return
        if matcher.over:
            session.matcher = None

    def _lost(self, session: Session) -> list[Session]:
        """The sessions that may go on in this one."""
        return [
            other
            for other in self.sessions.values()
            if other.number < session.number and self._may_go_on(other)
        ]

    def _may_go_on(self, session: Session) -> bool:
        """Whether it was lost, and not too long ago for another one to go on."""
        if not session.how or session.terminated:
            return False
        return session.end is None or session.end + REJOIN_SECONDS > self.now()

    def _join(self, session: Session, lane: int, offset: int) -> None:
        session.lane, session.offset = lane, offset
        for turn in session.turns.values():  # their words are others now
            turn.version = session.turns_version = self.changed()
        session.touch_facts()

    def _ended(self, session: Session) -> None:
        over = [s for s in self.sessions.values() if s.end is not None]
        for old in over:
            if not self._may_go_on(old):
                old.recording = None  # a minute of audio
        for old in over[: max(0, len(over) - MOST_OVER)]:
            del self.sessions[old.number]
        self.changed()
