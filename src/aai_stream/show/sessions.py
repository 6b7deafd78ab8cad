"""A call's sessions: what became of each, and what it was sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..recorder.format import (
    Closed,
    Connected,
    Decided,
    Entries,
    Opening,
    Received,
    Said,
    Sent,
)
from .clock import Clock, Instant
from .decisions import Opened, Over, Resumed, read_decision

Span = tuple[float, float]
"""From where to where, in ms of the stream."""


@dataclass
class Session:
    """A session as it was seen.

    Attributes:
        number: counted from 1.
        query: of its handshake.
        asked_at: when it was asked for.
        connected_at: when it had its websocket; None if it never had.
        began_at: when Begin came; None if it never did.
        over_at: when it was over; None if that isn't told.
        heard_at: the last that is known of it.
        id: AssemblyAI's name for it.
        model: what it spoke with.
        outcome: one of `protocol.events.Outcome`; empty if none is told.
        why: what failed, if it failed.
        code: the websocket's close code, or the HTTP status of a refusal.
        resumed_ms: from where on it heard the stream; None if it never did.
        after: the session before it, if there was one.
        sent: audio that no session had been sent before.
        replayed: audio that was sent before, and again to this one.
    """

    number: int
    query: dict[str, str]
    asked_at: Instant
    heard_at: Instant
    connected_at: Instant | None = None
    began_at: Instant | None = None
    over_at: Instant | None = None
    id: str = ""
    model: str = ""
    outcome: str = ""
    why: str = ""
    code: int | None = None
    resumed_ms: float | None = None
    after: int | None = None
    sent: list[Span] = field(default_factory=list)
    replayed: list[Span] = field(default_factory=list)

    @property
    def is_lost(self) -> bool:
        """It failed, before its Begin or after."""
        return self.outcome in ("lost", "not_opened")


class Sessions:
    """The sessions of a call, by number and by AssemblyAI's name.

    Entries are taken in their order; a session that is heard of without having been
    asked for is one that was asked for then.
    """

    def __init__(self, entries: Iterable[Entries], clock: Clock) -> None:
        self._clock = clock
        self._by_number: dict[int, Session] = {}
        self._by_name: dict[str, int] = {}
        self._furthest = 0
        for entry in entries:
            self._take(entry)

    @property
    def all(self) -> list[Session]:
        """In the order in which they were asked for."""
        return [session for _, session in sorted(self._by_number.items())]

    def number_of(self, decided: Decided) -> int | None:
        """Which session `decided` is about."""
        if decided.session is not None:
            return decided.session
        name = decided.fields.get("session")
        return self._by_name.get(name) if isinstance(name, str) else None

    def _take(self, entry: Entries) -> None:
        number = (
            self.number_of(entry)
            if isinstance(entry, Decided)
            else getattr(entry, "session", None)
        )
        if number is None:
            return
        at = self._clock.at(entry.unix)
        session = self._by_number.setdefault(number, Session(number, {}, at, at))
        session.heard_at = at
        match entry:
            case Opening():
                session.query = entry.query
                session.model = entry.query.get("speech_model", "")
            case Connected():
                session.connected_at = at
            case Received(message={"type": "Begin"} as message):
                session.began_at = at
                self._name(session, message.get("id"))
            case Sent():
                self._sent(session, entry)
            case Closed():
                session.code = entry.code
                session.over_at = session.over_at or at
            case Decided():
                self._decided(session, entry, at)
            case Received() | Said():
                pass

    def _name(self, session: Session, name: object) -> None:
        if isinstance(name, str) and name:
            session.id = name
            self._by_name[name] = session.number

    def _decided(self, session: Session, entry: Decided, at: Instant) -> None:
        match read_decision(entry):
            case Opened(model=model) if model:
                session.model = model
            case Resumed(sample=sample, after=after):
                session.resumed_ms = self._clock.ms(sample)
                session.after = self._by_name.get(after)
            case Over(outcome=outcome, failure=failure):
                session.over_at, session.outcome = at, outcome
                if failure is not None:
                    session.why = failure.text
                    session.code = failure.code or session.code

    def _sent(self, session: Session, entry: Sent) -> None:
        for start, samples, _, _ in entry.chunks:
            end = start + samples
            before = max(start, min(end, self._furthest))
            self._join(session.replayed, start, before)
            self._join(session.sent, before, end)
            self._furthest = max(self._furthest, end)

    def _join(self, spans: list[Span], start: int, end: int) -> None:
        if end <= start:
            return
        first, last = self._clock.ms(start), self._clock.ms(end)
        if spans and spans[-1][1] == first:
            first = spans.pop()[0]
        spans.append((first, last))


@dataclass(frozen=True)
class Outage:
    """No session was open from `start` on, as one was lost; until `end`, or until the
    call's last moment if none followed."""

    start: Instant
    end: Instant

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end.unix - self.start.unix


def outages(sessions: Iterable[Session], end: Instant) -> list[Outage]:
    """Where there was none, in a call whose last moment was `end`."""
    begun = [(s.began_at, s) for s in sessions if s.began_at is not None]
    begun.sort(key=lambda pair: pair[0].unix)
    found = []
    over: Instant | None = None  # when the last of those before was; None: there is one
    is_lost = False
    for number, (began, session) in enumerate(begun):
        if number and over is not None and over.unix < began.unix and is_lost:
            found.append(Outage(over, began))
        ends = session.over_at or end
        if number == 0 or over is None or ends.unix >= over.unix:
            over, is_lost = ends, session.is_lost
    if over is not None and is_lost and over.unix < end.unix:
        found.append(Outage(over, end))
    return found
