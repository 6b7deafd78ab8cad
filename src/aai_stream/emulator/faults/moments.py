"""When a fault strikes, and which connections: moments, and numbers of connections."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ...errors import OptionError
from ...suggestions import did_you_mean

MOMENTS: Mapping[str, str] = MappingProxyType(
    {
        "connect": "a client asks for a websocket and has had no answer",
        "open": "it has its websocket, and nothing has been told",
        "begin": "Begin has been told",
        "2000ms": "so much of the session's audio has come and led to what it leads to",
        "5s": "so many seconds have passed since Begin",
        "turn:3": "the third Turn message, whatever it tells, has been told",
        "final:2": "the second Turn message with end_of_turn has been told",
        "terminate": "Terminate has come and has not been obeyed",
    }
)
"""When a fault can strike, as it is written; numbers are examples."""

_COUNTED = {"audio": "ms", "seconds": "s", "turn": "turn:", "final": "final:"}
_SINGLE = ("connect", "open", "begin", "terminate")


@dataclass(frozen=True)
class At:
    """A moment of a session: the `count`-th time, ms or second of `event`.

    `event` is `audio` (counted in ms), `seconds`, `turn` or `final`; or `connect`,
    `open`, `begin` or `terminate`, which come once. Raises `OptionError` for any other.
    """

    event: str
    count: float = 1

    def __post_init__(self) -> None:
        fits = self.count == 1 if self.event in _SINGLE else self.event in _COUNTED
        least = 0 if self.event == "seconds" else 1
        if not fits or not least <= self.count < float("inf"):
            raise _not_a_moment(f"{self.event} {self.count}")

    @classmethod
    def parse(cls, text: str) -> At:
        """The moment that `text` describes. Raises `OptionError` if it is none."""
        if text in _SINGLE:
            return cls(text)
        if number := re.fullmatch(r"(\d{1,9})ms", text, re.ASCII):
            return cls("audio", int(number[1]))
        if number := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", text, re.ASCII):
            return cls("seconds", float(number[1]))
        if number := re.fullmatch(r"(turn|final):(\d{1,9})", text, re.ASCII):
            return cls(number[1], int(number[2]))
        raise _not_a_moment(text)

    def __str__(self) -> str:
        if self.event in _SINGLE:
            return self.event
        unit = _COUNTED[self.event]
        count = f"{self.count:.12g}"
        return unit + count if unit.endswith(":") else count + unit


@dataclass(frozen=True)
class On:
    """Connections by number, counted from 1: `first` to `last`, or without end."""

    first: int = 1
    last: int | None = None

    def __post_init__(self) -> None:
        if self.first < 1 or (self.last is not None and self.last < self.first):
            raise _no_connections(str(self))

    @classmethod
    def parse(cls, text: str) -> On:
        """The connections that `text` describes. Raises `OptionError` if it doesn't."""
        if text == "every":
            return EVERY
        number = re.fullmatch(r"(\d{1,9})(-(\d{1,9})?)?", text, re.ASCII)
        if number is None:
            raise _no_connections(text)
        first = int(number[1])
        if number[2] is None:
            return cls(first, first)
        return cls(first, int(number[3]) if number[3] else None)

    def __contains__(self, number: int) -> bool:
        return self.first <= number and (self.last is None or number <= self.last)

    def __str__(self) -> str:
        if self.first == self.last:
            return str(self.first)
        if self.last is None:
            return "every" if self.first == 1 else f"{self.first}-"
        return f"{self.first}-{self.last}"


EVERY = On()
CONNECT = At("connect")
OPEN = At("open")
BEGIN = At("begin")


def _not_a_moment(text: str) -> OptionError:
    return OptionError(
        f"{text!r} is no moment at which a fault can strike"
        f"{did_you_mean(text, MOMENTS)}; "
        f"moments are {', '.join(MOMENTS)}, with any numbers from 1 on"
    )


def _no_connections(text: str) -> OptionError:
    return OptionError(
        f"{text!r} are no connections; write every, 2 for the second only, 1-3 or 2-"
    )
