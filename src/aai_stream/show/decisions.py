"""What the client decided, read and put into a sentence."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import InputError
from ..recorder.format import Decided
from .saying import seconds, stamp


class Failure(msgspec.Struct):
    """An exception."""

    text: str = ""
    code: int | None = None


class Opened(msgspec.Struct):
    """As `protocol.events.Opened`."""

    seconds: float
    model: str = ""


class Resumed(msgspec.Struct):
    """As `protocol.events.Resumed`."""

    sample: int
    sent: int
    after: str = ""


class CaughtUp(msgspec.Struct):
    """As `protocol.events.CaughtUp`."""

    seconds: float


class Admitted(msgspec.Struct):
    """As `protocol.events.Admitted`."""

    seconds: float


class Over(msgspec.Struct):
    """As `protocol.events.Over`."""

    outcome: str
    failure: Failure | None = None


class Retry(msgspec.Struct):
    """As `protocol.events.Retry`."""

    failure: Failure
    seconds: float


class Note(msgspec.Struct):
    """As `protocol.events.Note`."""

    text: str
    level: int = 20


class Other(msgspec.Struct):
    """One that this version doesn't know."""

    what: str
    fields: dict[str, Any]


Decision = Opened | Resumed | CaughtUp | Admitted | Over | Retry | Note | Other

_KINDS: dict[str, type[Decision]] = {
    kind.__name__: kind
    for kind in (Opened, Resumed, CaughtUp, Admitted, Over, Retry, Note)
}


def read_decision(entry: Decided) -> Decision:
    """`entry` with its fields; raises `InputError` if they are not as they should
    be."""
    kind = _KINDS.get(entry.what)
    if kind is None:
        return Other(entry.what, entry.fields)
    try:
        return msgspec.convert(entry.fields, kind)
    except msgspec.ValidationError as exc:
        raise InputError(f"a {entry.what} of the call can't be read: {exc}") from None


def sentence(decision: Decision, session: int | None, rate: int) -> str:
    """What was decided about `session`; audio has `rate`."""
    who = "a session" if session is None else f"session {session}"
    match decision:
        case Opened(seconds=took, model=model):
            return f"{who} is open after {seconds(took)}{model and f': {model}'}"
        case Resumed():
            return _resumed(decision, who, rate)
        case CaughtUp(seconds=took):
            return f"{who} has caught up after {seconds(took)}"
        case Admitted(seconds=took):
            return f"waited {seconds(took)} for a place among the account's sessions"
        case Over():
            return _over(decision, who)
        case Retry(failure=failure, seconds=wait):
            return f"{failure.text}; trying again in {seconds(wait)}"
        case Note(text=text):
            return text
        case Other(what=what, fields=fields):
            return f"{what}: {msgspec.json.encode(fields).decode()}"


def _resumed(resumed: Resumed, who: str, rate: int) -> str:
    where = stamp(1000 * resumed.sample / rate)
    again = (resumed.sent - resumed.sample) / rate
    if not resumed.after and not resumed.sample:
        return f"{who} hears the stream from its beginning"
    if again > 0:
        return f"{who} goes on at {where}: {seconds(again)} are sent again"
    if again < 0:
        return f"{who} goes on at {where}: {seconds(-again)} are left out"
    return f"{who} goes on at {where}"


def _over(over: Over, who: str) -> str:
    why = over.failure.text if over.failure is not None else ""
    match over.outcome:
        case "ended":
            return f"{who} has ended"
        case "replaced":
            return f"{who} was replaced, as planned"
        case "closed":
            return f"{who} was closed: nobody wanted it any more"
        case "not_opened":
            return f"{who} could not be opened: {why}"
        case _:
            return f"{who} {over.outcome}: {why}"
