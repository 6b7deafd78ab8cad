"""What a session was asked to do, by its query and by UpdateConfiguration.

Names, types and ranges come from `aai_stream.parameters`. A bad value of a known
parameter is refused. Unknown names, and those that don't fit the model or can't be
changed any more, are ignored: the server's log says so, the client isn't told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import OptionError
from ...models import KNOWN_MODELS, MULTILINGUAL, is_universal_3
from ...parameters import PARAMETERS, RENAMED
from ...rules import Parameter
from ..engines.engine import TurnSettings
from .service import Service
from .turns import Style

_BY_NAME: dict[str, Parameter] = dict(PARAMETERS) | {
    old: PARAMETERS[name] for old, name in RENAMED.items()
}
_DECODABLE = ("pcm_s16le", "pcm_mulaw")

# (min_turn_silence, max_turn_silence) in ms, by mode; then for models without modes.
_SILENCES = {
    "min_latency": (128, 640),
    "balanced": (128, 1280),
    "max_accuracy": (512, 2560),
}
_DEFAULT_MODE = "balanced"
_UNIVERSAL_STREAMING_SILENCES = (400, 1280)
_SILENCE_RANGE = (50, 10_000)


@dataclass(frozen=True)
class Settings:
    """The parameters of one session, under their current names. Immutable."""

    values: Mapping[str, Any]
    service: Service

    @property
    def model(self) -> str:
        """The speech model: what was asked for, or what was chosen instead."""
        return str(self.values["speech_model"])

    @property
    def universal_3(self) -> bool:
        """Whether the model belongs to the Universal-3 family."""
        return is_universal_3(self.model)

    @property
    def sample_rate(self) -> int:
        """Samples a second of the audio that will come."""
        return int(self.values.get("sample_rate", 16_000))

    @property
    def mulaw(self) -> bool:
        """Whether the audio is mu-law; PCM16 otherwise."""
        return self.values.get("encoding") == "pcm_mulaw"

    def ms(self, audio_bytes: int) -> float:
        """How long so many bytes of audio last."""
        width = 1 if self.mulaw else 2
        return audio_bytes * 1000 / (width * self.sample_rate)

    @property
    def silences(self) -> TurnSettings:
        """The silences that end a turn: what was asked for, or the model's own."""
        shortest, longest = _UNIVERSAL_STREAMING_SILENCES
        if self.universal_3:
            mode = self.values.get("mode", _DEFAULT_MODE)
            shortest, longest = _SILENCES.get(mode, _SILENCES[_DEFAULT_MODE])
        low = _clamped(self.values.get("min_turn_silence", shortest))
        high = _clamped(self.values.get("max_turn_silence", longest))
        # As documented: 1 leaves the end of a turn to the longest silence alone, and
        # 0 to the shortest. What lies between would take a model.
        threshold = self.values.get("end_of_turn_confidence_threshold")
        if threshold == 0:
            high = low
        elif threshold == 1:
            low = high
        return TurnSettings(
            min_silence_ms=low,
            max_silence_ms=max(low, high),
            longest_ms=(
                self.service.longest_labelled_turn_ms
                if self.on("speaker_labels")
                else self.service.longest_turn_ms
            ),
        )

    @property
    def style(self) -> Style:
        """How turns are told."""
        speaks_one = not self.universal_3 and self.model not in MULTILINGUAL
        codes = [c for c in self.values.get("language_codes", ()) if c != "multi"]
        return Style(
            universal_3=self.universal_3,
            format_turns=self.on("format_turns"),
            speaker_labels=self.on("speaker_labels"),
            language_code=None if speaks_one else (codes or ["en"])[0],
            language_detection=self.on("language_detection"),
            steady_partials=self.service.steady_partials,
        )

    def on(self, name: str) -> bool:
        """Whether the boolean parameter `name` was asked for."""
        return self.values.get(name) is True

    def configuration(self, api_version: str) -> dict[str, Any]:
        """`Begin.configuration`: eight fields, whatever else was asked for."""
        mode = self.values.get("mode", _DEFAULT_MODE) if self.universal_3 else None
        return {
            "model": self.model,
            "mode": mode,
            "api_version": api_version,
            "speaker_labels": self.on("speaker_labels"),
            "redact_pii": self.on("redact_pii"),
            "filter_profanity": self.on("filter_profanity"),
            "domain": self.values.get("domain"),
            "voice_focus": self.values.get("voice_focus"),
        }

    def updated(self, fields: Mapping[str, Any]) -> tuple[Settings, list[str]]:
        """The settings after an UpdateConfiguration, and what of it was ignored.

        Raises `OptionError` if a live parameter has a bad value.
        """
        values: dict[str, Any] = {}
        complaints = []
        for name, value in fields.items():
            parameter = _BY_NAME.get(name)
            if parameter is None:
                complaints.append(_unknown(name))
            elif not parameter.live:
                complaints.append(
                    f"{parameter.name} can't be changed in an open session"
                )
            elif value is not None:
                _put(values, name, parameter, value)
        complaints += _drop_unused(values, self.model)
        return Settings({**self.values, **values}, self.service), complaints


def read_query(
    query: Iterable[tuple[str, str]], service: Service
) -> tuple[Settings, list[str]]:
    """The settings that a handshake's query asks for, and what of it was ignored.

    Raises `OptionError` if a parameter has a bad value, or for an encoding that this
    server can't decode.
    """
    values: dict[str, Any] = {}
    complaints = []
    for name, text in query:
        parameter = _BY_NAME.get(name)
        if parameter is not None:
            # The SDK writes Python's booleans.
            written = text.lower() if parameter.type is bool else text
            _put(values, name, parameter, parameter.parse(written))
        elif name != "token":
            complaints.append(_unknown(name))
    values.setdefault("speech_model", _default_model(values, service))
    settings = Settings(values, service)
    if settings.model not in KNOWN_MODELS:
        allowed = ", ".join(f"'{name}'" for name in sorted(KNOWN_MODELS))
        raise OptionError(f"Invalid 'speech_model': Input should be {allowed}")
    if values.get("encoding", _DECODABLE[0]) not in _DECODABLE:
        raise OptionError(
            f"encoding {values['encoding']} can't be decoded by this embedded server; "
            f"use {' or '.join(_DECODABLE)}"
        )
    complaints += _drop_unused(values, settings.model)
    return settings, complaints


def _default_model(values: Mapping[str, Any], service: Service) -> str:
    """The model of a session that asks for none."""
    if values.get("language_codes") == ["multi"]:
        (multilingual,) = MULTILINGUAL
        return multilingual
    return service.default_model


def _put(values: dict[str, Any], name: str, parameter: Parameter, value: Any) -> None:
    most = parameter.most
    if most is not None and isinstance(value, list) and len(value) > most:
        raise OptionError(f"Invalid '{name}': Value error, Max {most} items")
    checked = parameter.check(value)
    if name == parameter.name:
        values[name] = checked
    else:  # an old name, which yields to the current one
        values.setdefault(parameter.name, checked)


def _drop_unused(values: dict[str, Any], model: str) -> list[str]:
    """Remove from `values` what doesn't fit `model`, and say what that was."""
    complaints = []
    for name in list(values):
        try:
            PARAMETERS[name].check_model(model)
        except OptionError as why:
            # Off is what it is anyway: the official plugin says so to every model.
            if values.pop(name) is not False:
                complaints.append(str(why))
    return complaints


def _unknown(name: str) -> str:
    return f"there is no parameter {name[:60]!r}"


def _clamped(silence_ms: int) -> int:
    low, high = _SILENCE_RANGE
    return min(max(silence_ms, low), high)
