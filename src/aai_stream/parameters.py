"""v3's parameters, written down once: name, type, range, models, live or not.

Type checkers read the `TypedDict`s, and `PARAMETERS` is made of them. Modes are open
strings, as models are. Source: AssemblyAI's streaming API reference.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import (
    Annotated,
    Any,
    NamedTuple,
    TypeAlias,
    TypedDict,
    get_args,
    get_origin,
    get_type_hints,
)

from .models import MULTILINGUAL, UNIVERSAL_3, UNIVERSAL_STREAMING
from .rules import Parameter, Rule


class OldNameOf(NamedTuple):
    """Marks a name that v3 has given up, and says what it is called today."""

    name: str


# The first of a union is what the server gets; a string is short for a list of one.
Strings: TypeAlias = list[str] | tuple[str, ...] | str


class AudioParameters(TypedDict, total=False):
    """What audio is sent: by a stream, which makes it so, not by its caller."""

    sample_rate: Annotated[int | None, Rule(low=8000, high=96000)]
    encoding: Annotated[
        str | None,
        Rule(choices=("pcm_s16le", "pcm_mulaw", "opus", "ogg_opus", "aac")),
    ]


class FixedParameters(TypedDict, total=False):
    """Parameters that are given when a stream is made, and not changed. None: not
    given."""

    speech_model: str | None
    mode: Annotated[str | None, Rule(models=UNIVERSAL_3)]
    previous_context_n_turns: Annotated[
        int | None, Rule(models=UNIVERSAL_3, low=0, high=100)
    ]
    language_detection: Annotated[bool | None, Rule(models=UNIVERSAL_3 | MULTILINGUAL)]
    speaker_labels: bool | None
    max_speakers: Annotated[int | None, Rule(low=1, high=10)]
    speaker_labels_revision_interval_ms: Annotated[int | None, Rule(low=120_000)]
    voice_focus: Annotated[str | None, Rule(models=UNIVERSAL_3)]
    noise_suppression_model: Annotated[str | None, OldNameOf("voice_focus")]
    voice_focus_threshold: Annotated[
        float | None, Rule(models=UNIVERSAL_3, low=0, high=1)
    ]
    noise_suppression_threshold: Annotated[
        float | None, OldNameOf("voice_focus_threshold")
    ]
    domain: str | None
    redact_pii: bool | None
    redact_pii_policies: Strings | None
    redact_pii_sub: str | None
    include_partial_turns: bool | None
    inactivity_timeout: Annotated[int | None, Rule(low=5, high=3600)]
    llm_gateway: dict[str, Any] | None
    webhook_url: str | None
    webhook_auth_header_name: str | None
    webhook_auth_header_value: str | None
    customer_support_audio_capture: bool | None


class LiveParameters(TypedDict, total=False):
    """Parameters that can also be changed while a stream is open. None: not given."""

    # The server clamps both silences to its own range, so no range is refused here.
    min_turn_silence: Annotated[int | None, Rule(low=0)]
    min_end_of_turn_silence_when_confident: Annotated[
        int | None, OldNameOf("min_turn_silence")
    ]
    max_turn_silence: Annotated[int | None, Rule(low=0)]
    interruption_delay: Annotated[
        int | None, Rule(models=UNIVERSAL_3, low=0, high=1000)
    ]
    continuous_partials: Annotated[bool | None, Rule(models=UNIVERSAL_3)]
    vad_threshold: Annotated[float | None, Rule(low=0, high=1)]
    end_of_turn_confidence_threshold: Annotated[
        float | None, Rule(models=UNIVERSAL_STREAMING, low=0, high=1)
    ]
    format_turns: Annotated[bool | None, Rule(models=UNIVERSAL_STREAMING)]
    keyterms_prompt: Annotated[Strings | None, Rule(most=100, longest=50)]
    prompt: Annotated[str | None, Rule(models=UNIVERSAL_3, high=1750)]
    agent_context: Annotated[str | None, Rule(models=UNIVERSAL_3, high=1750)]
    language_codes: Annotated[Strings | None, Rule(models=UNIVERSAL_3, most=10)]
    language_code: Annotated[Strings | None, OldNameOf("language_codes")]
    filter_profanity: bool | None
    session_heartbeat: bool | None
    acknowledge_silence: Annotated[bool | None, Rule(models=UNIVERSAL_3)]
    turn_left_pad_ms: Annotated[int | None, Rule(low=0)]


class Parameters(FixedParameters, LiveParameters, total=False):
    """Every parameter that a caller chooses."""


_PARAMETERS: dict[str, Parameter] = {}
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(_PARAMETERS)
"""Every parameter of v3 by its name."""

_RENAMED: dict[str, str] = {}
RENAMED: Mapping[str, str] = MappingProxyType(_RENAMED)
"""Names that v3 has given up, and what they are called today."""


def _read(fields: type) -> None:
    """Enter a `TypedDict`'s fields into both mappings."""
    types = get_type_hints(fields)
    for name, hint in get_type_hints(fields, include_extras=True).items():
        (mark,) = getattr(hint, "__metadata__", (Rule(),))
        if isinstance(mark, OldNameOf):
            _RENAMED[name] = mark.name
            continue
        taken = get_args(types[name])[0]
        _PARAMETERS[name] = Parameter(
            name,
            get_origin(taken) or taken,
            live=fields is LiveParameters,
            **vars(mark),
        )


for _fields in (AudioParameters, FixedParameters, LiveParameters):
    _read(_fields)
