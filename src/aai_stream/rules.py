"""What a parameter's value must be: type, range, length, choices, model."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from .errors import OptionError
from .models import KNOWN_MODELS
from .suggestions import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a parameter's value must be, besides its type.

    `low` and `high` bound a number, or the length of a string; `most` bounds the items
    of a list. An item should have no more characters than `longest`, but may. `models`
    is the family that takes the parameter, None meaning all; models that we don't know
    are never refused.
    """

    models: frozenset[str] | None = None
    low: float | None = None
    high: float | None = None
    most: int | None = None
    longest: int | None = None
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Parameter(Rule):
    """A name, the type and the rule of its values, whether it can change live, and what
    it does, as a sentence in Markdown."""

    name: str
    type: type
    live: bool = False
    does: str = ""

    def check(self, value: object) -> Any:
        """`value` as it goes to the server, or `OptionError`."""
        if self.type is list:
            return self._check_list(value)
        if self.type is float and type(value) is int:
            value = float(value)
        if type(value) is not self.type:
            raise self._error(value, f"must be {_TYPE_NAMES[self.type]}")
        if self.choices is not None and value not in self.choices:
            hint = did_you_mean(str(value), self.choices)
            raise self._error(value, f"must be one of {', '.join(self.choices)}", hint)
        if isinstance(value, str):
            if self.high is not None and len(value) > self.high:
                raise OptionError(
                    f"{self.name} is {len(value)} characters long; "
                    f"at most {self.high:g} are allowed"
                )
        elif isinstance(value, (int, float)) and not self._in_range(value):
            raise self._error(value, f"must be {self._range()}")
        return value

    def _check_list(self, value: object) -> list[str]:
        if isinstance(value, str):  # short for a list of one, or of none
            value = [value] if value else []
        if not isinstance(value, (list, tuple)):
            raise self._error(value, "must be a list of strings")
        items = list(value)
        if self.most is not None and len(items) > self.most:
            raise OptionError(
                f"{self.name} has {len(items)} items; at most {self.most} are allowed"
            )
        for item in items:
            if not isinstance(item, str) or not item:
                raise self._error(item, "takes strings that are not empty")
        if self.name == "language_codes":
            self._check_languages(items)
        return items

    def _check_languages(self, codes: list[str]) -> None:
        for code in codes:
            if code != "multi" and not re.fullmatch("[a-z]{2,3}", code):
                raise self._error(code, "takes ISO 639-1 codes such as en, or multi")
        if "multi" in codes and len(codes) > 1:
            raise OptionError(f"{self.name}: multi can't go with other codes")

    def too_long(self, value: Any) -> str | None:
        """What to warn of if `value`, which was checked, has items that are longer than
        they should be: how many, since AssemblyAI documents a limit and takes more."""
        if self.longest is None or value is None:
            return None
        items = [value] if isinstance(value, str) else value
        count = sum(len(item) > self.longest for item in items)
        if not count:
            return None
        return (
            f"{self.name} has {count} of more than {self.longest} characters, "
            "which AssemblyAI may not use"
        )

    def fits(self, model: str) -> bool:
        """Whether `model` takes this parameter, as far as we know."""
        return self.models is None or model in self.models or model not in KNOWN_MODELS

    def check_model(self, model: str) -> None:
        """Raise `OptionError` if `model` is known not to take this parameter."""
        if self.fits(model):
            return
        assert self.models is not None
        raise OptionError(
            f"{self.name} does not work with speech_model {model!r}; "
            f"it needs one of {', '.join(sorted(self.models))}"
        )

    def parse(self, text: str) -> Any:
        """The value that `text` writes down: JSON, or for strings the bare text."""
        if self.type is str:
            return text
        try:
            return msgspec.json.decode(text.encode())
        except msgspec.DecodeError:
            if self.type is list:
                return text.split(",")
            raise self._error(text, f"must be {_TYPE_NAMES[self.type]}") from None

    def _in_range(self, value: float) -> bool:
        # Written so that NaN is out of every range.
        above = self.low is None or value >= self.low
        below = self.high is None or value <= self.high
        return above and below and math.isfinite(value)

    def _range(self) -> str:
        if self.low is not None and self.high is not None:
            return f"from {self.low:g} to {self.high:g}"
        return f"at least {self.low:g}" if self.low is not None else "a finite number"

    def _error(self, value: object, rule: str, hint: str = "") -> OptionError:
        # What people said, and secrets, must not reach a log.
        private = self.name in _PRIVATE and not isinstance(value, (int, float))
        shown = f"this {type(value).__name__}" if private else repr(value)
        return OptionError(f"{self.name} {rule}, not {shown}{hint}")


_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list of strings",
    dict: "a JSON object",
}


_PRIVATE = {
    "agent_context",
    "keyterms_prompt",
    "llm_gateway",
    "prompt",
    "webhook_auth_header_value",
    "webhook_url",
}


def check_seconds(name: str, value: object) -> None:
    """Raise `OptionError` unless `value`, of the option `name`, is above 0."""
    if not isinstance(value, (int, float)) or not value > 0:
        raise OptionError(f"{name} must be above 0 s, not {value!r}")
