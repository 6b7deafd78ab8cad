"""What pages can make go wrong: presets, any fault by its text, and how far each is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import OptionError
from ..faults import KINDS, fault
from ..faults.kinds import Fault
from ..faults.moments import EVERY
from ..faults.running import Faults

SCOPES = ("session", "open", "next", "all")
"""One session; all that are open; the next connection; all, those to come as well."""


class Preset(NamedTuple):
    """An outage by a click."""

    name: str
    text: str
    does: str
    live: bool
    """It can strike a session that is open."""


def _preset(name: str, text: str, does: str | None = None) -> Preset:
    made = fault(text)
    return Preset(name, text, does or KINDS[made.kind].does, _strikes_open(made))


def _strikes_open(made: Fault) -> bool:
    """Whether it can strike a session that is open."""
    return made.at.event not in ("connect", "open")


PRESETS = (
    _preset("Reset", "reset"),
    _preset("Freeze", "freeze"),
    _preset("503", "status,code=503"),
    _preset(
        "Too many sessions",
        "close,at=open,code=1008,error=Unauthorized Connection: "
        "Too many concurrent sessions",
        "refuses the session: the account has too many at once",
    ),
    _preset("Expiry", "expire"),
    _preset("Slow", "trickle,seconds=0.5"),
    _preset("Garbage", "garbage"),
)


class Outages:
    """Changes `faults`, and tells of them. `changed` is called when it has."""

    def __init__(self, faults: Faults, changed: Callable[[], int]) -> None:
        self._faults = faults
        self._changed = changed
        self.version = 0

    def start(
        self, text: str, scope: str, *, number: int | None, seconds: float | None
    ) -> None:
        """Let the fault `text` happen to whom `scope` says.

        `number` is the session, for that scope; `seconds` how long it lasts for
        `all`, None for until it is stopped. Raises `OptionError`.
        """
        made = fault(text)
        if scope in ("session", "open"):
            if not _strikes_open(made) or made.on != EVERY:
                raise OptionError(
                    f"{made} strikes connections that are to come; choose the next "
                    "connection or all"
                )
            if scope == "session" and number is None:
                raise OptionError("no session is chosen")
            self._faults.strike(made, number if scope == "session" else None)
        elif scope == "next":
            if made.on == EVERY:
                made = fault(f"{text},on=1")
            self._faults.append(made)
        elif scope == "all":
            lasts = seconds is not None and made.lasts is None
            self._faults.append(fault(f"{text},lasts={seconds:g}") if lasts else made)
        else:
            raise OptionError(f"scope {scope!r} must be one of {', '.join(SCOPES)}")
        self.version = self._changed()

    def stop(self) -> None:
        """Let nothing more happen."""
        self._faults.clear()
        self.version = self._changed()

    def happened(self) -> None:
        """A fault has happened."""
        self.version = self._changed()

    def told(self, now: float) -> dict[str, Any]:
        """The faults that are on, and the last that happened, for a page."""
        on = [
            {
                "text": _short(state.fault),
                "times": state.times,
                "left": None if state.ends == math.inf else state.ends - now,
                "spent": state.spent,
            }
            for state in self._faults.states
            if state.ends > now and not (state.spent and state.times)
        ]
        applied = [
            {"text": _short(a.fault), "session": a.connection, "ms": a.audio_ms}
            for a in self._faults.applied[-20:]
        ]
        return {"on": on, "applied": applied}


def _short(made: Fault) -> str:
    text = str(made).replace(",on=every", "").replace(",at=begin", "")
    return re.sub(r"\.0(?=,|$)", "", text)
