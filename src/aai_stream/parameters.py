"""v3's parameters, written down once: name, type, purpose, range, models, live or not.

Type checkers read the `TypedDict`s, and `PARAMETERS` is made of them; their sentences
are in Markdown. Modes are open strings, as models are. Source: AssemblyAI's streaming
API reference.
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

    sample_rate: Annotated[
        int | None, "How many samples a second are sent.", Rule(low=8000, high=96000)
    ]
    encoding: Annotated[
        str | None,
        "How a sample is written.",
        Rule(choices=("pcm_s16le", "pcm_mulaw", "opus", "ogg_opus", "aac")),
    ]


class FixedParameters(TypedDict, total=False):
    """Parameters that are given when a stream is made, and not changed. None: not
    given."""

    speech_model: Annotated[
        str | None, "The model that hears; what is default differs by account."
    ]
    mode: Annotated[
        str | None,
        "`min_latency`, `balanced` or `max_accuracy`: how long the model waits, and so "
        "the silences that end a turn.",
        Rule(models=UNIVERSAL_3),
    ]
    previous_context_n_turns: Annotated[
        int | None,
        "How many earlier entries of the conversation help to understand a turn.",
        Rule(models=UNIVERSAL_3, low=0, high=100),
    ]
    language_detection: Annotated[
        bool | None,
        "Tell in each turn which language it is, and how sure that is.",
        Rule(models=UNIVERSAL_3 | MULTILINGUAL),
    ]
    speaker_labels: Annotated[bool | None, "Tell who speaks: A, B, …."]
    max_speakers: Annotated[
        int | None, "How many speakers there are at most.", Rule(low=1, high=10)
    ]
    speaker_labels_revision_interval_ms: Annotated[
        int | None,
        "How often speakers of earlier turns are told anew, in ms.",
        Rule(low=120_000),
    ]
    voice_focus: Annotated[
        str | None,
        "Hear one voice and not the noise around it: `near-field` for a headset, "
        "`far-field` for a room.",
        Rule(models=UNIVERSAL_3),
    ]
    noise_suppression_model: Annotated[str | None, OldNameOf("voice_focus")]
    voice_focus_threshold: Annotated[
        float | None,
        "How much `voice_focus` takes away.",
        Rule(models=UNIVERSAL_3, low=0, high=1),
    ]
    noise_suppression_threshold: Annotated[
        float | None, OldNameOf("voice_focus_threshold")
    ]
    domain: Annotated[
        str | None, "The field that is spoken about, such as `medical-v1`."
    ]
    redact_pii: Annotated[
        bool | None,
        "Replace what tells who somebody is, in final turns; others are not told then, "
        "unless `include_partial_turns` asks for them.",
    ]
    redact_pii_policies: Annotated[
        Strings | None, "What `redact_pii` replaces, such as `phone_number`."
    ]
    redact_pii_sub: Annotated[
        str | None, "What `redact_pii` writes instead: `hash` or `entity_name`."
    ]
    include_partial_turns: Annotated[
        bool | None,
        "Tell turns before they are final, too. With `redact_pii` nothing is replaced "
        "in these.",
    ]
    inactivity_timeout: Annotated[
        int | None,
        "After how many seconds without audio or a KeepAlive the server ends the "
        "session.",
        Rule(low=5, high=3600),
    ]
    llm_gateway: Annotated[
        dict[str, Any] | None,
        "Hand each final turn to a language model: which, and how.",
    ]
    webhook_url: Annotated[str | None, "Where AssemblyAI sends the transcript, too."]
    webhook_auth_header_name: Annotated[
        str | None, "A header that goes with it, by which you know the sender."
    ]
    webhook_auth_header_value: Annotated[str | None, "What that header says."]
    customer_support_audio_capture: Annotated[
        bool | None,
        "Let AssemblyAI record the audio, if you have agreed so with its support.",
    ]


class LiveParameters(TypedDict, total=False):
    """Parameters that can also be changed while a stream is open. None: not given."""

    # The server clamps both silences to its own range, so no range is refused here.
    min_turn_silence: Annotated[
        int | None,
        "How long a silence ends a turn that sounds finished, in ms.",
        Rule(low=0),
    ]
    min_end_of_turn_silence_when_confident: Annotated[
        int | None, OldNameOf("min_turn_silence")
    ]
    max_turn_silence: Annotated[
        int | None, "How long a silence ends any turn, in ms.", Rule(low=0)
    ]
    interruption_delay: Annotated[
        int | None,
        "How soon the first text of a turn is told, in ms.",
        Rule(models=UNIVERSAL_3, low=0, high=1000),
    ]
    continuous_partials: Annotated[
        bool | None,
        "Tell a long turn anew about every three seconds, also if nobody pauses.",
        Rule(models=UNIVERSAL_3),
    ]
    vad_threshold: Annotated[
        float | None,
        "How sure it must be that somebody speaks; more in a noisy place.",
        Rule(low=0, high=1),
    ]
    end_of_turn_confidence_threshold: Annotated[
        float | None,
        "How sure it must be that a turn has ended; AssemblyAI gives it up.",
        Rule(models=UNIVERSAL_STREAMING, low=0, high=1),
    ]
    format_turns: Annotated[
        bool | None,
        "Tell each turn again when it has ended, with capitals, punctuation and "
        "numbers.",
        Rule(models=UNIVERSAL_STREAMING),
    ]
    keyterms_prompt: Annotated[
        Strings | None,
        "Names and terms to expect; an empty list takes them back.",
        Rule(most=100, longest=50),
    ]
    prompt: Annotated[
        str | None,
        "What the audio is about, in words; an empty string takes it back.",
        Rule(models=UNIVERSAL_3, high=1750),
    ]
    agent_context: Annotated[
        str | None,
        "What the agent has just said, so that the answer is understood.",
        Rule(models=UNIVERSAL_3, high=1750),
    ]
    language_codes: Annotated[
        Strings | None,
        "Languages to expect, such as `en`; `multi` alone is any, an empty list takes "
        "them back.",
        Rule(models=UNIVERSAL_3, most=10),
    ]
    language_code: Annotated[Strings | None, OldNameOf("language_codes")]
    filter_profanity: Annotated[bool | None, "Mask swear words."]
    session_heartbeat: Annotated[
        bool | None, "Send a Heartbeat every five seconds: how far the server is."
    ]
    acknowledge_silence: Annotated[
        bool | None,
        "Send a Silence about once a second while nothing is understood.",
        Rule(models=UNIVERSAL_3),
    ]
    turn_left_pad_ms: Annotated[
        int | None,
        "Padding before a turn, in ms; AssemblyAI's clients send it, its documentation "
        "does not explain it.",
        Rule(low=0),
    ]


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
        does, *rules = hint.__metadata__
        if isinstance(does, OldNameOf):
            _RENAMED[name] = does.name
            continue
        (rule,) = rules or (Rule(),)
        taken = get_args(types[name])[0]
        _PARAMETERS[name] = Parameter(
            name,
            get_origin(taken) or taken,
            live=fields is LiveParameters,
            does=does,
            **vars(rule),
        )


for _fields in (AudioParameters, FixedParameters, LiveParameters):
    _read(_fields)
