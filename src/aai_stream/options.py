"""A stream's parameters, checked against the table: the query of its handshake, and the
UpdateConfiguration of every live change.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import OptionError
from .models import DEFAULT_MODEL
from .parameters import PARAMETERS, RENAMED
from .suggestions import did_you_mean

if TYPE_CHECKING:
    from .messages import Turn


class Options:
    """Checked parameters of a stream; never changes once made.

    None means "not given" everywhere. `extra_params` go into the query as they are,
    unchecked, and win over an option of the same name: the way to a parameter that
    this version doesn't know, or whose range AssemblyAI has widened since.

    Raises `OptionError` for an unknown name, a bad value, or a parameter that the
    chosen model is known not to take; the latter is sent all the same, for the server
    to ignore, if not `match_model`.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        extra_params: Mapping[str, Any] | None = None,
        *,
        match_model: bool = True,
    ) -> None:
        self._match_model = match_model
        self._values = self._checked(values, values.get("speech_model"))
        self._extra = dict(extra_params or {})

    @property
    def model(self) -> str:
        """The speech model in use, the server's default if none was chosen."""
        return str(self._values.get("speech_model", DEFAULT_MODEL))

    def query(self) -> dict[str, str]:
        """The query of the handshake: lists and objects as JSON, booleans in JSON's
        words. An empty list or string says no more than its absence and is left out.
        """
        given = {k: v for k, v in self._values.items() if v not in ([], "")}
        return {k: _query_value(v) for k, v in (given | self._extra).items()}

    def updated(self, live: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
        """The options after a live change, and the UpdateConfiguration that makes it.

        Raises `OptionError` if any parameter can't be changed live or is bad; then
        nothing changes.
        """
        changes = self._checked(live, self.model)
        for name in changes:
            if not PARAMETERS[name].live:
                allowed = ", ".join(p.name for p in PARAMETERS.values() if p.live)
                raise OptionError(
                    f"{name} can't be changed while a stream is open; "
                    f"these can: {allowed}"
                )
        after = Options(
            self._values | changes, self._extra, match_model=self._match_model
        )
        return after, {"type": "UpdateConfiguration", **changes}

    def not_understood(self, configuration: Mapping[str, Any]) -> list[str]:
        """Names whose value in `Begin.configuration` is not what was asked for.

        The server ignores what it doesn't know without a word; this finds it.
        """
        asked = {"model" if k == "speech_model" else k: k for k in self._values}
        return [
            name
            for key, name in asked.items()
            if configuration.get(key, self._values[name]) != self._values[name]
        ]

    @property
    def heartbeat(self) -> bool:
        """Whether the server was asked to send Heartbeats."""
        return (self._values | self._extra).get("session_heartbeat") in (True, "true")

    @property
    def inactivity_timeout(self) -> int | None:
        """After how many seconds without audio or KeepAlive the server ends a session;
        None for never."""
        seconds: int | None = self._values.get("inactivity_timeout")
        return seconds

    @property
    def formats_turns(self) -> bool:
        """Whether the server was asked to tell turns that have ended formatted."""
        return (self._values | self._extra).get("format_turns") in (True, "true")

    def is_final(self, turn: Turn) -> bool:
        """Whether nothing more is said of a turn that has ended: with `format_turns`,
        its formatted version still follows the first one."""
        return turn.turn_is_formatted or not self.formats_turns

    def _checked(self, values: Mapping[str, Any], model: str | None) -> dict[str, Any]:
        checked: dict[str, Any] = {}
        given = {k: v for k, v in _renamed(values).items() if v is not None}
        refuse_unknown(given, PARAMETERS)
        for name, value in given.items():
            checked[name] = PARAMETERS[name].check(value)
            if self._match_model:
                PARAMETERS[name].check_model(model or DEFAULT_MODEL)
        return checked


def refuse_unknown(names: Iterable[str], taken: Collection[str]) -> None:
    """Raise `OptionError` if any of `names` is none of those that are `taken`."""
    for name in names:
        if name not in taken:
            hint = did_you_mean(name, (n for n in taken if n not in RENAMED))
            raise OptionError(
                f"there is no parameter {name!r}{hint}; "
                "extra_params sends what we don't know"
            )


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` under today's names; where both are given, today's name wins."""
    renamed = dict(values)
    for old, new in RENAMED.items():
        value = renamed.pop(old, None)
        if value is not None:
            warnings.warn(
                f"{old} is deprecated, use {new}", DeprecationWarning, stacklevel=5
            )
            if renamed.get(new) is None:
                renamed[new] = value
    return renamed


def _query_value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
