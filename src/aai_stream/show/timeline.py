"""A recorded call, understood: sessions, turns, gaps, latencies. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ..errors import InputError
from ..recorder.format import Closed, Entries, Finished, Meta, Received, Said
from .clock import Clock, Instant, Pause
from .latencies import Latencies, latencies
from .moments import CUT_OFF, Moment, moments
from .sessions import Outage, Session, Sessions, outages
from .turns import Gap, TurnShown, heard

_LAST_MOMENT = 253_402_300_799
"""Before the year 10000, the last one that Python's calendar has."""


@dataclass(frozen=True)
class MessageShown:
    """A message, or a close, of a session. `way` is `in` from the server, `out` to
    it."""

    at: Instant
    session: int
    way: str
    kind: str
    text: str


@dataclass(frozen=True)
class Timeline:
    """A call.

    Attributes:
        stream: its name in logs.
        host: the server's.
        began: when the recording began, in unix seconds.
        ended: when its last entry was made, likewise.
        how: `ended`, `closed`, `failed`, `full` or `cut off`.
        audio_ms: how much audio was pushed.
        pace: when it was pushed.
        pauses: where nothing was pushed.
        sessions: all that were asked for.
        outages: where no session was open.
        turns: with their words, each once, as told to the caller.
        gaps: audio that nobody transcribed.
        speech: where speech began, in ms of the stream.
        moments: what happened, in order.
        latencies: how long things took.
        messages: both ways, in order.
    """

    stream: str
    host: str
    began: float
    ended: float
    how: str
    audio_ms: float
    pace: list[Instant]
    pauses: list[Pause]
    sessions: list[Session]
    outages: list[Outage]
    turns: list[TurnShown]
    gaps: list[Gap]
    speech: list[int]
    moments: list[Moment]
    latencies: Latencies
    messages: list[MessageShown]

    @property
    def lost_sessions(self) -> int:
        """How many sessions failed, before their Begin or after."""
        return sum(session.is_lost for session in self.sessions)

    @property
    def lost_seconds(self) -> float:
        """How much audio was lost."""
        return sum(g.end_ms - g.start_ms for g in self.gaps if g.is_lost) / 1000


def timeline(meta: Meta, entries: Sequence[Entries]) -> Timeline:
    """Understand a call. Raises `InputError` if what it holds makes no sense."""
    for unix in (meta.began, *(entry.unix for entry in entries)):
        if not 0 <= unix <= _LAST_MOMENT:
            raise InputError(f"the call has the time {unix:g}, which is no unix time")
    try:
        return _timeline(meta, entries)
    except OverflowError:
        raise InputError("the call has a number beyond all measure") from None


def _timeline(meta: Meta, entries: Sequence[Entries]) -> Timeline:
    clock = Clock(entries, meta.sample_rate, meta.began)
    sessions = Sessions(entries, clock)
    told = heard(entries, clock)
    last = entries[-1] if entries else None
    ended = meta.began if last is None else last.unix
    return Timeline(
        stream=meta.stream,
        host=meta.host,
        began=meta.began,
        ended=ended,
        how=last.why if isinstance(last, Finished) else CUT_OFF,
        audio_ms=clock.end_ms,
        pace=clock.pace(),
        pauses=clock.pauses(),
        sessions=sessions.all,
        outages=outages(sessions.all, clock.at(ended)),
        turns=told.turns,
        gaps=told.gaps,
        speech=told.speech,
        moments=moments(entries, clock, sessions, told.turns, told.gaps),
        latencies=latencies(entries, clock, sessions.all, told.turns),
        messages=_messages(entries, clock),
    )


def _messages(entries: Sequence[Entries], clock: Clock) -> list[MessageShown]:
    found = []
    for entry in entries:
        if isinstance(entry, Received | Said | Closed):
            way = "out" if isinstance(entry, Said) else "in"
            at = clock.at(entry.unix)
            found.append(MessageShown(at, entry.session, way, *_kind_and_text(entry)))
    return found


def _kind_and_text(entry: Received | Said | Closed) -> tuple[str, str]:
    if isinstance(entry, Closed):
        return "close", f"{entry.code} {entry.reason}".rstrip()
    if isinstance(entry, Received) and entry.text is not None:
        return "", entry.text
    message = entry.message
    kind = message.get("type") if isinstance(message, dict) else None
    text = msgspec.json.encode(message).decode()
    return kind if isinstance(kind, str) else "", text
