"""v3's parameters, written down once: type, range, models, live or not.

Models and modes are open strings: AssemblyAI adds some every month, and what it doesn't
know it says itself. Source: AssemblyAI's streaming API reference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from .errors import OptionError

DEFAULT_MODEL = "universal-3-6-pro"
"""What the server uses when `speech_model` isn't given."""

UNIVERSAL_3 = frozenset(
    {
        "u3-rt-pro",
        "u3-rt-pro-beta-1",
        "u3-pro",
        "universal-3-5-pro",
        "universal-3-6",
        "universal-3-6-pro",
    }
)
MULTILINGUAL = frozenset({"universal-streaming-multilingual"})
UNIVERSAL_STREAMING = MULTILINGUAL | {"universal-streaming-english"}
_KNOWN_MODELS = UNIVERSAL_3 | UNIVERSAL_STREAMING


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    `low` and `high` bound a number, or the length of a string; `most` bounds the items
    of a list and `longest` each item's characters. `models` is the family that takes
    the parameter, None meaning all; models that we don't know are never refused.
    """

    name: str
    type: type
    live: bool = False
    models: frozenset[str] | None = None
    low: float | None = None
    high: float | None = None
    most: int | None = None
    longest: int | None = None
    choices: tuple[str, ...] | None = None
    old_name: str | None = None

    def check(self, value: object) -> Any:
        """`value` as it goes to the server, or `OptionError`."""
        if self.type is list:
            return self._check_list(value)
        if self.type is float and type(value) is int:
            value = float(value)
        if type(value) is not self.type:
            raise self._error(value, f"must be {_TYPE_NAMES[self.type]}")
        if self.choices is not None and value not in self.choices:
            raise self._error(value, f"must be one of {', '.join(self.choices)}")
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
            if self.longest is not None and len(item) > self.longest:
                raise OptionError(
                    f"{self.name} has an item of {len(item)} characters; "
                    f"at most {self.longest} are allowed"
                )
        if self.name == "language_codes":
            self._check_languages(items)
        return items

    def _check_languages(self, codes: list[str]) -> None:
        for code in codes:
            if code != "multi" and not re.fullmatch("[a-z]{2,3}", code):
                raise self._error(code, "takes ISO 639-1 codes such as en, or multi")
        if "multi" in codes and len(codes) > 1:
            raise OptionError(f"{self.name}: multi can't go with other codes")

    def check_model(self, model: str) -> None:
        """Raise `OptionError` if `model` is known not to take this parameter."""
        if self.models is None or model in self.models or model not in _KNOWN_MODELS:
            return
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

    def _error(self, value: object, rule: str) -> OptionError:
        # What people said, and secrets, must not reach a log.
        private = self.name in _PRIVATE and not isinstance(value, (int, float))
        shown = f"this {type(value).__name__}" if private else repr(value)
        return OptionError(f"{self.name} {rule}, not {shown}")


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

_ROWS = (
    Parameter("speech_model", str),
    Parameter("sample_rate", int, low=8000, high=96000),
    Parameter(
        "encoding",
        str,
        choices=("pcm_s16le", "pcm_mulaw", "opus", "ogg_opus", "aac"),
    ),
    Parameter("mode", str, models=UNIVERSAL_3),
    # The server clamps both silences to its own range, so no range is refused here.
    Parameter(
        "min_turn_silence",
        int,
        live=True,
        low=0,
        old_name="min_end_of_turn_silence_when_confident",
    ),
    Parameter("max_turn_silence", int, live=True, low=0),
    Parameter(
        "interruption_delay", int, live=True, models=UNIVERSAL_3, low=0, high=1000
    ),
    Parameter("continuous_partials", bool, live=True, models=UNIVERSAL_3),
    Parameter("vad_threshold", float, live=True, low=0, high=1),
    Parameter(
        "end_of_turn_confidence_threshold",
        float,
        live=True,
        models=UNIVERSAL_STREAMING,
        low=0,
        high=1,
    ),
    Parameter("format_turns", bool, live=True, models=UNIVERSAL_STREAMING),
    Parameter("keyterms_prompt", list, live=True, most=100, longest=50),
    Parameter("prompt", str, live=True, models=UNIVERSAL_3, high=1750),
    Parameter("agent_context", str, live=True, models=UNIVERSAL_3, high=1750),
    Parameter("previous_context_n_turns", int, models=UNIVERSAL_3, low=0, high=100),
    Parameter(
        "language_codes",
        list,
        live=True,
        models=UNIVERSAL_3,
        most=10,
        old_name="language_code",
    ),
    Parameter("language_detection", bool, models=UNIVERSAL_3 | MULTILINGUAL),
    Parameter("speaker_labels", bool),
    Parameter("max_speakers", int, low=1, high=10),
    Parameter("speaker_labels_revision_interval_ms", int, low=120_000),
    Parameter(
        "voice_focus", str, models=UNIVERSAL_3, old_name="noise_suppression_model"
    ),
    Parameter(
        "voice_focus_threshold",
        float,
        models=UNIVERSAL_3,
        low=0,
        high=1,
        old_name="noise_suppression_threshold",
    ),
    Parameter("domain", str),
    Parameter("filter_profanity", bool, live=True),
    Parameter("redact_pii", bool),
    Parameter("redact_pii_policies", list),
    Parameter("redact_pii_sub", str),
    Parameter("include_partial_turns", bool),
    Parameter("inactivity_timeout", int, low=5, high=3600),
    Parameter("session_heartbeat", bool, live=True),
    Parameter("acknowledge_silence", bool, live=True, models=UNIVERSAL_3),
    Parameter("turn_left_pad_ms", int, live=True, low=0),
    Parameter("llm_gateway", dict),
    Parameter("webhook_url", str),
    Parameter("webhook_auth_header_name", str),
    Parameter("webhook_auth_header_value", str),
    Parameter("customer_support_audio_capture", bool),
)

PARAMETERS: Mapping[str, Parameter] = MappingProxyType({p.name: p for p in _ROWS})
"""Every parameter of v3 by its name."""

RENAMED: Mapping[str, str] = MappingProxyType(
    {p.old_name: p.name for p in _ROWS if p.old_name is not None}
)
"""Names that v3 has given up, and what they are called today."""
