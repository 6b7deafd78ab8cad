"""A stream's parameters, checked against the table: the query of its handshake, and the
UpdateConfiguration of every live change.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import OptionError
from .models import DEFAULT_MODEL, MULTILINGUAL, is_universal_3
from .parameters import PARAMETERS, RENAMED
from .suggestions import did_you_mean

if TYPE_CHECKING:
    import logging

    from .messages import Turn


class Options:
    """Checked parameters of a stream; never changes once made.

    None means "not given" everywhere. `extra_params` go into the query as they are,
    unchecked, and win over an option of the same name: the way to a parameter that
    this version doesn't know, or whose range AssemblyAI has widened since.

    Raises `OptionError` for an unknown name, a bad value, or a parameter that the model
    asked for is known not to take; the latter is sent all the same, for the server to
    ignore, if not `match_model`. Where no model is asked for, the account has its own,
    which only a session's Begin tells: then all are taken.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        extra_params: Mapping[str, Any] | None = None,
        *,
        match_model: bool = True,
    ) -> None:
        self._match_model = match_model
        self._extra = dict(extra_params or {})
        self._values = self._checked(values)
        self._check_models(self._values, self.asked_model)

    @property
    def asked_model(self) -> str | None:
        """The speech model that was asked for; None leaves it to the account."""
        named = (self._values | self._extra).get("speech_model")
        return named if isinstance(named, str) and named else None

    def model(self, configuration: Mapping[str, Any]) -> str:
        """The model of a session with this `Begin.configuration`: the one it names,
        or else the one asked for, or else the default."""
        if (told := told_model(configuration)) is not None:
            return told
        if self.asked_model is not None:
            return self.asked_model
        if self._values.get("language_codes") == ["multi"]:
            return next(iter(MULTILINGUAL))  # which that alone chooses
        return DEFAULT_MODEL

    def query(self) -> dict[str, str]:
        """The query of the handshake: lists and objects as JSON, booleans in JSON's
        words. An empty list or string says no more than its absence and is left out.
        """
        given = {k: v for k, v in self._values.items() if v not in ([], "")}
        return {k: _query_value(v) for k, v in (given | self._extra).items()}

    def updated(
        self, live: Mapping[str, Any], told_model: str | None = None
    ) -> tuple[Options, dict[str, Any]]:
        """The options after a live change, and the UpdateConfiguration that makes it.

        `told_model` is what the session says that its model is, if it has.

        Raises `OptionError` if any parameter can't be changed live, is bad, or is not
        one of that model, or else of the one asked for; then nothing changes.
        """
        changes = self._checked(live)
        self._check_models(changes, told_model or self.asked_model)
        for name in changes:
            if not PARAMETERS[name].live:
                allowed = ", ".join(p.name for p in PARAMETERS.values() if p.live)
                raise OptionError(
                    f"{name} can't be changed while a stream is open; "
                    f"these can: {allowed}"
                )
        after = copy.copy(self)
        after._values = self._values | changes
        return after, {"type": "UpdateConfiguration", **changes}

    def differences(self, configuration: Mapping[str, Any]) -> list[str]:
        """In words, what of `Begin.configuration` is not what was asked for.

        The server ignores what it doesn't know, and what is not for its model, without
        a word; this finds it.
        """
        asked, told = self.asked_model, told_model(configuration)
        found = []
        if None not in (asked, told) and asked != told:
            found.append(f"the session's model is {told}, but {asked} was asked for")
        unfit = [
            name
            for name, value in self._values.items()
            if value is not False
            and value not in ([], "")
            and not _fits(name, value, told)
        ]
        if unfit:
            found.append(f"{told} does not take: {', '.join(unfit)}")
        ignored = [
            name
            for name, value in self._values.items()
            if name not in unfit and configuration.get(name, value) != value
        ]
        if ignored:
            found.append(f"the server did not take: {', '.join(ignored)}")
        return found

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

    def formats_turns(self, model: str) -> bool:
        """Whether a session with `model` tells turns that have ended again, formatted.
        Universal-3 models don't, whatever they were asked."""
        asked = (self._values | self._extra).get("format_turns") in (True, "true")
        return asked and not is_universal_3(model)

    def is_final(self, turn: Turn, model: str) -> bool:
        """Whether a session with `model` says nothing more of a turn: it has ended
        and, where they are told again, is formatted."""
        if not turn.end_of_turn:
            return False
        return turn.turn_is_formatted or not self.formats_turns(model)

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        given = {k: v for k, v in _renamed(values).items() if v is not None}
        refuse_unknown(given, PARAMETERS)
        return {name: PARAMETERS[name].check(value) for name, value in given.items()}

    def _check_models(self, values: Mapping[str, Any], model: str | None) -> None:
        if self._match_model and model is not None:
            for name, value in values.items():
                if not _fits(name, value, model):
                    PARAMETERS[name].check_model(model)


def told_model(configuration: Mapping[str, Any]) -> str | None:
    """The model that a `Begin.configuration` names, if it does."""
    model = configuration.get("model")
    return model if isinstance(model, str) and model else None


def _fits(name: str, value: Any, model: str | None) -> bool:
    """Whether `model` takes the parameter, as far as we know."""
    if model is None or PARAMETERS[name].fits(model):
        return True
    # Which chose that model, where no other was asked for.
    return name == "language_codes" and value == ["multi"] and model in MULTILINGUAL


def warn_of_lengths(logger: logging.Logger, values: Mapping[str, Any]) -> None:
    """Log what of `values`, which were checked, AssemblyAI documents otherwise."""
    for name in values.keys() & PARAMETERS.keys():
        if told := PARAMETERS[name].too_long(values[name]):
            logger.warning("%s", told)


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
