"""What can be made to go wrong with the embedded server: data, and its textual form.

    fault("reset,at=2000ms,on=1")

is a kind from `KINDS`, the moment of the session at which it strikes, the connections
that it strikes, and options of that kind. The text is the same in programs and on the
command line. This module only says what can go wrong; it does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from ...errors import OptionError
from ...rules import Parameter
from ...suggestions import did_you_mean
from .moments import BEGIN, CONNECT, EVERY, OPEN, At, On


class Option(NamedTuple):
    """An option of a kind of fault. If `default` is None it may be left out."""

    check: Parameter
    does: str
    default: Any = None


@dataclass(frozen=True)
class Kind:
    """What a fault does.

    `at` is its moment unless another is given. `connect` says whether it can strike at
    `connect`. A fault that `shapes` changes messages on their way to the client, from
    the one at which it strikes; it has happened when it first changes one.
    """

    does: str
    options: tuple[Option, ...] = ()
    at: At = BEGIN
    connect: Literal["never", "also", "only"] = "never"
    shapes: bool = False


_ERROR = Option(Parameter("error", str), "tells an Error of this text before it")
_CUT = Option(
    Parameter("cut", float, low=0), "resets the connection so many seconds later"
)
_LATE = Option(Parameter("seconds", float, low=0), "by how much", 11.0)
_MEGABYTE = 1024 * 1024
_KINDS: dict[str, Kind] = {
    "refuse": Kind(
        "stops listening for a while; a connection that is not answered yet is reset",
        (Option(Parameter("seconds", float, low=0), "how long", 5.0),),
        at=CONNECT,
        connect="also",
    ),
    "status": Kind(
        "answers the handshake with an HTTP status",
        (
            Option(Parameter("code", int, low=400, high=599), "the status", 503),
            Option(Parameter("retry-after", int, low=0), "a Retry-After header, in s"),
        ),
        at=CONNECT,
        connect="only",
    ),
    "reset": Kind("resets the TCP connection", connect="also"),
    "drop": Kind("closes the TCP connection without a close frame", connect="also"),
    "close": Kind(
        "closes the websocket",
        (
            Option(Parameter("code", int, low=1000, high=4999), "the code", 1011),
            _ERROR,
        ),
    ),
    "bad-reason": Kind(
        "closes the websocket with a reason that isn't UTF-8",
        (
            Option(Parameter("code", int, low=1000, high=4999), "the code", 1008),
            _ERROR,
        ),
    ),
    "expire": Kind("ends the session as if it had reached its longest duration (3008)"),
    "freeze": Kind(
        "neither reads nor writes any more, nor answers pings: a half-open connection",
        (_CUT,),
        connect="also",
    ),
    "stop-reading": Kind(
        "reads nothing more, so that the client's socket fills up", (_CUT,)
    ),
    "mute": Kind("reads and answers pings, but tells nothing more", (_CUT,)),
    "trickle": Kind(
        "writes slowly from here on",
        (
            Option(Parameter("seconds", float, low=0.001), "before every write", 0.2),
            Option(Parameter("size", int, low=1), "bytes a write; else a message"),
        ),
    ),
    "garbage": Kind("sends text that is not JSON"),
    "unknown": Kind("sends a message of a type that v3 does not have"),
    "wrong-types": Kind("sends a Turn whose fields have the wrong types"),
    "binary": Kind("sends a binary message"),
    "huge": Kind(
        "sends a very long Warning",
        (Option(Parameter("size", int, low=1), "its bytes", _MEGABYTE + 1000),),
    ),
    "duplicate": Kind("tells every Turn twice", shapes=True),
    "reorder": Kind("swaps Turns: one is told after the next one", shapes=True),
    "late-begin": Kind("tells Begin late", (_LATE,), at=OPEN, shapes=True),
    "late-final": Kind(
        "tells each Turn with end_of_turn late, and after it what follows",
        (_LATE,),
        shapes=True,
    ),
    "late-termination": Kind("tells Termination late", (_LATE,), shapes=True),
    "expires-at": Kind(
        "tells a wrong expires_at in Begin",
        (
            Option(Parameter("seconds", float), "so much later than it is", 0.0),
            Option(Parameter("value", str), "this JSON or text in its place"),
        ),
        at=OPEN,
        shapes=True,
    ),
    "no-words": Kind("tells Turns with end_of_turn without their words", shapes=True),
    "early-end": Kind(
        "lets words end early in Turns with end_of_turn",
        (Option(Parameter("ms", int, low=1), "by how much", 100),),
        shapes=True,
    ),
    "no-turns": Kind("swallows every SpeechStarted and Turn", (_CUT,), shapes=True),
    "no-partials": Kind("swallows Turns without end_of_turn", shapes=True),
    "no-final": Kind("swallows Turns with end_of_turn", (_CUT,), shapes=True),
    "no-termination": Kind(
        "swallows Termination, and leaves the connection open", (_CUT,), shapes=True
    ),
    "ignore-terminate": Kind("pays no heed to Terminate", (_CUT,), shapes=True),
}
KINDS: Mapping[str, Kind] = MappingProxyType(_KINDS)
"""Every kind of fault by its name."""

_CHANCE = Parameter("chance", float, low=0, high=1)
_SEED = Parameter("seed", int)
_LASTS = Parameter("lasts", float, low=0)
_COMMON = ("at", "on", "chance", "seed", "lasts")
_OPTIONS = ("code", "error", "retry-after", "seconds", "size", "cut", "ms", "value")


@dataclass(frozen=True)
class Fault:
    """What goes wrong, when, and for whom. `fault` makes one from text.

    It strikes each connection in `on` once, with the probability `chance`; the random
    numbers depend on `seed` alone. It spares connections that come more than `lasts`
    seconds after it first happened. The other fields are options of its `kind`.
    Raises `OptionError` for unknown kinds, values out of range, and options that
    don't go together.
    """

    kind: str
    at: At
    on: On = EVERY
    chance: float = 1.0
    seed: int = 0
    lasts: float | None = None
    code: int | None = None
    error: str | None = None
    retry_after: int | None = None
    seconds: float | None = None
    size: int | None = None
    cut: float | None = None
    ms: int | None = None
    value: str | None = None

    def __post_init__(self) -> None:
        kind = _kind(self.kind)
        _CHANCE.check(self.chance)
        _SEED.check(self.seed)
        if self.lasts is not None:
            _LASTS.check(self.lasts)
        if self.at == CONNECT and kind.connect == "never":
            raise OptionError(f"{self.kind} can't strike at connect, only from open on")
        if self.at != CONNECT and kind.connect == "only":
            raise OptionError(f"{self.kind} can only strike at connect, not {self.at}")
        options = {option.check.name: option for option in kind.options}
        for name in _OPTIONS:
            value = getattr(self, _field(name))
            if name not in options and value is not None:
                raise _no_option(self.kind, name)
            if name in options and (value, options[name].default) != (None, None):
                options[name].check.check(value)

    def __str__(self) -> str:
        said = [self.kind, f"at={self.at}", f"on={self.on}"]
        if self.chance < 1:
            said += [f"chance={self.chance:g}", f"seed={self.seed}"]
        values = {name: getattr(self, _field(name)) for name in ("lasts", *_OPTIONS)}
        said += [f"{name}={v}" for name, v in values.items() if v is not None]
        return ",".join(said)


def fault(text: str) -> Fault:
    """The fault that `text` describes, with defaults for what it leaves out.

    `KIND[,at=MOMENT][,on=CONNECTIONS][,chance=0..1][,seed=N][,lasts=SECONDS]`, and then
    `,OPTION=VALUE…`. CONNECTIONS are `every`, `2` (the second only), `1-3` or `2-`. No
    value can contain a comma. Raises `OptionError` with a hint for anything else.
    """
    name, *said = text.split(",")
    kind = _kind(name)
    known = {option.check.name: option.check for option in kind.options}
    known |= {"chance": _CHANCE, "seed": _SEED, "lasts": _LASTS}
    values: dict[str, Any] = {"at": kind.at}
    values |= {_field(o.check.name): o.default for o in kind.options}
    seen = set()
    for part in said:
        option, equals, value = part.partition("=")
        if not equals or option in seen:
            raise OptionError(
                f"{part!r} in the fault {text!r} must be OPTION=VALUE, and only once"
            )
        seen.add(option)
        if option == "at":
            values["at"] = At.parse(value)
        elif option == "on":
            values["on"] = On.parse(value)
        elif option in known:
            values[_field(option)] = known[option].check(known[option].parse(value))
        else:
            raise _no_option(name, option)
    return Fault(name, **values)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        hint = did_you_mean(name, KINDS)
        raise OptionError(
            f"there is no fault {name!r}{hint}; choose of {', '.join(KINDS)}"
        )
    return KINDS[name]


def _field(option: str) -> str:
    return option.replace("-", "_")


def _no_option(kind: str, name: str) -> OptionError:
    takes = [*_COMMON, *(option.check.name for option in KINDS[kind].options)]
    hint = did_you_mean(name, takes)
    return OptionError(f"{kind} takes no {name!r}{hint}; it takes {', '.join(takes)}")
