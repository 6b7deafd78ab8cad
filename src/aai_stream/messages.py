"""AssemblyAI v3's messages as msgspec structs, and the one function that reads them.

Times are whole milliseconds. As they come off the wire they count from the first
sample of their session; `aai_stream.Stream` moves them to stream time with `retime`
before anyone sees them. Fields follow AssemblyAI's streaming API reference and its
Python SDK 1.8.2; whatever the server may leave out has a default here, because a
transcript that lacks a side remark is still a transcript.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_args

import msgspec

from .errors import MessageError

Whole = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""A number that any clock can do with."""

UnixSeconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
"""A moment before the year 10000, the last one that Python's calendar has."""


class _HasText:
    """Keeps a message's text where it is no field: neither compared nor shown."""

    __slots__ = ("_text",)
    _text: bytes | str


class Message(_HasText, msgspec.Struct, tag_field="type", kw_only=True, gc=False):
    """A message from the server; the subclass is its `type`."""

    @property
    def raw(self) -> dict[str, Any]:
        """The message as it came, also what this version doesn't know; times are the
        server's, not the stream's. Parsed anew each time; empty for one that was made
        otherwise.

        Raises `MessageError` if what this version doesn't know can't be read.
        """
        text = getattr(self, "_text", None)
        raw: dict[str, Any] = {} if text is None else _parsed(text)
        return raw


class Begin(Message, tag="Begin"):
    """The session is open. `expires_at` is in unix seconds, None also where the server
    told something else."""

    id: str = ""
    expires_at: UnixSeconds | None = None
    configuration: dict[str, Any] | None = None
    """What the server understood: model, mode, api_version and the like."""


class SpeechStarted(Message, tag="SpeechStarted"):
    """Speech began at `timestamp` ms. Universal-3 models only, once a turn."""

    timestamp: Whole | None = None
    confidence: float | None = None


class Word(msgspec.Struct, kw_only=True, gc=False):
    """One word of a turn; `start` and `end` in ms."""

    text: str = ""
    start: Whole = 0
    end: Whole = 0
    confidence: float = 0.0
    word_is_final: bool = False
    speaker: str | None = None
    speaker_confidence: float | None = None


MOST_WORDS = 10_000
"""A turn with more, an hour of speech, is no turn."""


class Turn(Message, tag="Turn"):
    """A whole turn as understood so far; replaces the last one of its `turn_order`.

    A stream counts its turns on over its sessions; one that a lost session left
    unfinished is told anew under the same number.
    """

    turn_order: Whole = 0
    transcript: str = ""
    words: Annotated[list[Word], msgspec.Meta(max_length=MOST_WORDS)] = []
    end_of_turn: bool = False
    turn_is_formatted: bool = False
    end_of_turn_confidence: float | None = None
    utterance: str | None = None
    """The text since the last pause, filled when a pause or the turn's end comes."""
    language_code: str | None = None
    language_confidence: float | None = None
    speaker_label: str | None = None
    """`A`, `B`, …; `PENDING` and `UNKNOWN` mean that no speaker is known."""
    speaker_confidence: float | None = None
    is_final: bool = False
    """Whether nothing more will be said of this turn, as the stream sees it. With
    `format_turns` that is its formatted version, which follows the first one that ends;
    or the first one told once more, if the server leaves the other out."""


class Termination(Message, tag="Termination"):
    """The session is over, everything was said; the answer to Terminate."""

    audio_duration_seconds: float | None = None
    session_duration_seconds: float | None = None


class Error(Message, tag="Error"):
    """What went wrong; a close with the same code follows."""

    error: str
    error_code: int | None = None
    error_type: str | None = None
    param: str | None = None
    """Which parameter it is about."""
    retryable: bool | None = None
    retry_after_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None


class Warning(Message, tag="Warning"):
    """Something was not as the server likes it, for example an unknown parameter."""

    warning: str
    warning_code: int | None = None


class Heartbeat(Message, tag="Heartbeat"):
    """Every 5 s when `session_heartbeat` is on; counts this session's audio."""

    total_audio_received_ms: Whole
    total_duration_ms: Whole
    realtime_factor: float
    max_speech_probability: float = 0.0


class Silence(Message, tag="Silence"):
    """Nothing was said from `start_ms` to `end_ms`; may overlap its predecessor."""

    start_ms: Whole
    end_ms: Whole


class Revision(msgspec.Struct, kw_only=True, gc=False):
    """New speakers for one turn that was told before."""

    turn_order: Whole
    speaker_label: str | None = None
    words: list[Word] = []


class SpeakerRevision(Message, tag="SpeakerRevision"):
    """The speakers of earlier turns, corrected; text, times and the words' confidence
    stay as the turns told them: a revision has its confidences on another scale."""

    revisions: list[Revision] = []


class LLMGatewayResponse(Message, tag="LLMGatewayResponse"):
    """What the `llm_gateway` made of a turn."""

    turn_order: Whole
    transcript: str = ""
    data: Any = None


class AudioLost(msgspec.Struct, kw_only=True, gc=False):
    """Audio that no final turn will cover. Told by the stream, not by the server."""

    start_sample: int
    end_sample: int
    """Samples of the stream, at its own rate; `end_sample` is the first that is not
    lost."""
    start_ms: int
    end_ms: int
    why: str


class SilenceSkipped(msgspec.Struct, kw_only=True, gc=False):
    """Silence, as loud all along, that was not sent while audio waited: what
    is said now is heard the sooner. Told by the stream, as `AudioLost` is."""

    start_sample: int
    end_sample: int
    start_ms: int
    end_ms: int


class Unknown(msgspec.Struct, gc=False):
    """A message of a type that this version doesn't know; `raw` is as `Message.raw`."""

    type: str
    raw: dict[str, Any]


_Known = (
    Begin
    | SpeechStarted
    | Turn
    | Termination
    | Error
    | Warning
    | Heartbeat
    | Silence
    | SpeakerRevision
    | LLMGatewayResponse
)
Event = _Known | Unknown | AudioLost | SilenceSkipped
"""Anything that a stream tells."""

_decoder: msgspec.json.Decoder[_Known] = msgspec.json.Decoder(_Known)
_KNOWN_TYPES = {struct.__struct_config__.tag for struct in get_args(_Known)}
_FIELDS = [
    field
    for struct in (*get_args(_Known), Word, Revision)
    for field in msgspec.structs.fields(struct)
]
_WHOLE = {
    field.name
    for field in _FIELDS
    if field.type in (Whole, Whole | None, UnixSeconds | None, int | None)
}
_NESTED = {"words", "revisions"}
_ESSENTIAL = _NESTED | {
    "turn_order",
    "end_of_turn",
    "transcript",
    "text",
    "start",
    "end",
}
_SIDE_REMARKS = {
    field.name: field.type
    for field in _FIELDS
    if not field.required and field.name not in _ESSENTIAL
}


def decode(text: bytes | str) -> Event:
    """Read one text message of the server.

    A side remark of the wrong type, such as a confidence, is left out. Raises
    `MessageError` if the text isn't JSON, isn't an object, has no type, or has other
    fields of the wrong type. The error says where, never what: it quotes no content.
    """
    try:
        event = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _decode_unusual(text)
    event._text = text
    return event


def _parsed(text: bytes | str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise MessageError("not JSON, or a number out of range") from None


def _decode_unusual(text: bytes | str) -> Event:
    """Read what the typed decoder would not: unknown types, the untagged error, nulls,
    fractions, and side remarks of the wrong type."""
    raw = _parsed(text)
    if not isinstance(raw, dict):
        raise MessageError(f"expected a JSON object, got {type(raw).__name__}")
    kind = raw.get("type")
    if kind is None and isinstance(raw.get("error"), str):
        kind = "Error"
    if not isinstance(kind, str):
        raise MessageError("the message has no type")
    if kind not in _KNOWN_TYPES:
        return Unknown(type=kind, raw=raw)
    try:
        event: _Known = msgspec.convert(_tidied({**raw, "type": kind}), _Known)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise MessageError(f"{kind}: {exc}") from None
    event._text = text
    return event


def _tidied(message: Any) -> Any:
    """`message` with whole times, and without nulls and side remarks that can't be
    read, whose defaults then apply: it would be a pity to lose a turn for them."""
    if not isinstance(message, dict):
        return message
    tidied = {}
    for name, value in message.items():
        if name in _NESTED and isinstance(value, list):
            value = [_tidied(item) for item in value]
        elif name in _WHOLE and isinstance(value, float) and math.isfinite(value):
            value = round(value)
        if value is not None and _is_readable(name, value):
            tidied[name] = value
    return tidied


def _is_readable(name: str, value: Any) -> bool:
    try:
        msgspec.convert(value, _SIDE_REMARKS.get(name, Any))
    except msgspec.ValidationError:
        return False
    return True


def copy_of(turn: Turn) -> Turn:
    """Another `turn` of the same words."""
    copied = msgspec.structs.replace(turn)
    if (text := getattr(turn, "_text", None)) is not None:
        copied._text = text
    return copied


def redact(event: Error | Warning, clean: Callable[[str], str]) -> None:
    """Let `clean` have all text of `event`, in place: also what it was made of."""
    for name in event.__struct_fields__:
        if isinstance(value := getattr(event, name), str):
            setattr(event, name, clean(value))
    try:
        event._text = msgspec.json.encode(_cleaned(event.raw, clean))
    except MessageError:
        event._text = b"{}"


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item, clean) for item in value]
    if isinstance(value, dict):
        return {clean(k): _cleaned(v, clean) for k, v in value.items()}
    return value


Moved = Callable[[int], int]
"""From a session's ms to the stream's."""


def retime(event: Event, start: Moved, end: Moved) -> None:
    """Move the times of `event` in place, from session to stream time.

    `start` is for moments and for where something begins, `end` for where it ends.
    Heartbeat and Termination count what their session received and stay as they are.
    """
    if isinstance(event, Turn):
        _retime_words(event.words, start, end)
    elif isinstance(event, SpeechStarted) and event.timestamp is not None:
        event.timestamp = start(event.timestamp)
    elif isinstance(event, Silence):
        event.start_ms = start(event.start_ms)
        event.end_ms = end(event.end_ms)
    elif isinstance(event, SpeakerRevision):
        for revision in event.revisions:
            _retime_words(revision.words, start, end)


def _retime_words(words: Iterable[Word], start: Moved, end: Moved) -> None:
    for word in words:
        word.start = start(word.start)
        word.end = end(word.end)


def renumber(event: Event, first_turn: int) -> None:
    """Count the turns of `event` in place from `first_turn` on, not from 0."""
    if isinstance(event, (Turn, LLMGatewayResponse)):
        event.turn_order += first_turn
    elif isinstance(event, SpeakerRevision):
        for revision in event.revisions:
            revision.turn_order += first_turn
