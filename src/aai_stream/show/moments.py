"""What happened in a call, moment by moment, as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..recorder.format import Decided, Entries, Finished, Opening, Told
from .clock import Clock, Instant, Pause
from .decisions import Admitted, Note, Over, Retry, read_decision, sentence
from .saying import seconds, stamp
from .sessions import Sessions
from .turns import Gap, TurnShown

_TOGETHER_SECONDS = 0.1
"""What is lost, and what is decided then, are one moment."""
_AT_ONCE_SECONDS = 0.01
"""Who waits no longer for a place has not waited."""

ENDINGS = {
    "ended": "the call has ended",
    "closed": "the stream was closed",
    "failed": "the stream has failed",
    "full": "the recording ends here: it was full",
}
CUT_OFF = "cut off"


@dataclass(frozen=True)
class Moment:
    """Something happened.

    Attributes:
        at: when.
        kind: `session`, `outage`, `turn`, `gap`, `warning`, `note` or `end`.
        text: what.
        session: the one that it is about, if it is about one.
    """

    at: Instant
    kind: str
    text: str
    session: int | None = None


def moments(
    entries: Sequence[Entries],
    clock: Clock,
    sessions: Sessions,
    turns: Iterable[TurnShown],
    gaps: Iterable[Gap],
) -> list[Moment]:
    """All of a call's, in the order of time."""
    found: list[Moment] = []
    for entry in entries:
        at = clock.at(entry.unix)
        match entry:
            case Opening():
                text = f"session {entry.session} is asked for"
                found.append(Moment(at, "session", text, entry.session))
            case Decided():
                _decided(found, entry, at, sessions, clock.rate)
            case Told(message={"type": "Error", "error": str(text)}):
                found.append(Moment(at, "warning", f"the server reports: {text}"))
            case Told(message={"type": "Warning", "warning": str(text)}):
                found.append(Moment(at, "warning", f"the server warns: {text}"))
            case Finished():
                found.append(Moment(at, "end", ENDINGS.get(entry.why, entry.why)))
    if entries and not isinstance(entries[-1], Finished):
        text = "the recording was cut off here: its process died, or records yet"
        found.append(Moment(clock.at(entries[-1].unix), "end", text))
    found += map(_turn, turns)
    found += map(_gap, gaps)
    found += map(_pause, clock.pauses())
    return sorted(found, key=lambda moment: moment.at.unix)


def _decided(
    found: list[Moment], entry: Decided, at: Instant, sessions: Sessions, rate: int
) -> None:
    decision = read_decision(entry)
    number = sessions.number_of(entry)
    text = sentence(decision, number, rate)
    match decision:
        case Retry():
            last = found[-1] if found else None
            if (
                last is not None
                and last.kind == "outage"
                and at.unix - last.at.unix < _TOGETHER_SECONDS
            ):
                wait = f"; trying again in {seconds(decision.seconds)}"
                found[-1] = replace(last, text=last.text + wait)
            else:
                found.append(Moment(at, "outage", text, number))
        case Over(outcome="lost" | "not_opened"):
            found.append(Moment(at, "outage", text, number))
        case Admitted(seconds=waited) if waited < _AT_ONCE_SECONDS:
            pass
        case Note(level=level):
            kind = "warning" if level >= 30 else "note"
            found.append(Moment(at, kind, text, number))
        case _:
            found.append(Moment(at, "session", text, number))


def _turn(turn: TurnShown) -> Moment:
    who = f"{turn.speaker}: " if turn.speaker else ""
    if not turn.is_final:
        return Moment(turn.at, "turn", f"{who}{turn.text} … (never final)")
    late = "" if turn.latency is None else f"  ({seconds(turn.latency)} after its end)"
    return Moment(turn.at, "turn", f"{who}{turn.text}{late}")


def _gap(gap: Gap) -> Moment:
    span = f"{stamp(gap.start_ms)} to {stamp(gap.end_ms)}"
    if gap.is_lost:
        return Moment(gap.at, "gap", f"audio lost, {span}: {gap.why}")
    return Moment(gap.at, "gap", f"silence left out, {span}")


def _pause(pause: Pause) -> Moment:
    return Moment(pause.at, "note", f"nothing was pushed for {seconds(pause.seconds)}")
