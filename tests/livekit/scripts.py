"""What a server might say: raw messages, each after so much audio.

Some scripts are what AssemblyAI says in every call, some what it might say one day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any] | str | bytes
"""Sent as JSON, as it is, or as a binary message."""


@dataclass(frozen=True)
class Step:
    """Sent when `at_ms` of audio have come."""

    at_ms: int
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Script:
    """Steps, what is told after Terminate, audio pushed after the last step, and what
    Begin has besides the usual."""

    steps: tuple[Step, ...] = ()
    after_terminate: tuple[Message, ...] = ()
    tail_ms: int = 0
    begin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of audio pushed."""
        last_ms = self.steps[-1].at_ms if self.steps else 0
        return (last_ms + self.tail_ms) / 1000


def script(
    *told: Message | Sequence[Message],
    after_terminate: Sequence[Message] = (),
    tail_ms: int = 0,
    begin: Mapping[str, Any] | None = None,
) -> Script:
    """A script of steps 500 ms apart; those in a list are one step."""
    steps = [
        Step(
            500 * number, (one,) if isinstance(one, (dict, str, bytes)) else tuple(one)
        )
        for number, one in enumerate(told, start=1)
    ]
    return Script(tuple(steps), tuple(after_terminate), tail_ms, begin or {})


def words(text: str, at_ms: int = 200, **more: Any) -> list[dict[str, Any]]:
    """The words of `text`, 250 ms each, the less certain the later."""
    return [
        {
            "text": word,
            "start": at_ms + 250 * i,
            "end": at_ms + 250 * (i + 1),
            "confidence": round(0.99 - i / 100 % 0.9, 2),
            "word_is_final": True,
            **more,
        }
        for i, word in enumerate(text.split())
    ]


def turn(text: str, at_ms: int = 200, **fields: Any) -> dict[str, Any]:
    """A partial Turn."""
    return {
        "type": "Turn",
        "turn_order": 0,
        "turn_is_formatted": False,
        "end_of_turn": False,
        "transcript": "",
        "end_of_turn_confidence": 0.0,
        "words": words(text, at_ms, word_is_final=False),
        "utterance": "",
        **fields,
    }


def final(text: str, at_ms: int = 200, **fields: Any) -> dict[str, Any]:
    """A Turn that ends, in the style of Universal-3."""
    return turn(
        text,
        at_ms,
        **{
            "end_of_turn": True,
            "turn_is_formatted": True,
            "transcript": text,
            "utterance": text,
            "end_of_turn_confidence": 1.0,
            "words": words(text, at_ms),
            **fields,
        },
    )


def plain(text: str, at_ms: int = 200, **fields: Any) -> dict[str, Any]:
    """A partial Turn in the style of Universal-Streaming: its words are final."""
    return turn(
        text, at_ms, **{"transcript": text, "words": words(text, at_ms), **fields}
    )


def without(message: dict[str, Any], *names: str) -> dict[str, Any]:
    """The message without these fields."""
    return {k: v for k, v in message.items() if k not in names}


def started(at_ms: int = 200) -> dict[str, Any]:
    return {"type": "SpeechStarted", "timestamp": at_ms, "confidence": 0.8}


HELLO = "Hello world."
UNIVERSAL_3 = script(
    [started(), turn("Hello")],
    turn("Hello world", end_of_turn_confidence=0.25),
    turn("Hello world.", end_of_turn_confidence=0.75),
    final(HELLO),
)
SEVERAL_TURNS = script(
    [started(), turn("Hello")],
    final(HELLO),
    [started(1200), turn("How", 1200, turn_order=1)],
    turn("How are you", 1200, turn_order=1, end_of_turn_confidence=0.5),
    final("How are you?", 1200, turn_order=1),
    [started(2600), final("Fine.", 2600, turn_order=2)],
)
PAUSES = script(
    turn("hello"),
    plain("hello world", utterance="hello world", end_of_turn_confidence=0.2),
    plain("hello world how"),
    plain("hello world how are you", utterance="how are you"),
    plain("hello world how are you", end_of_turn=True, end_of_turn_confidence=0.9),
    plain("bye", 3000, turn_order=1, utterance="bye", end_of_turn=True),
)


def formatted(*, utterance: str) -> Script:
    """Each turn ends twice, the second time formatted."""
    return script(
        plain("hello"),
        plain("hello world", utterance="hello world", end_of_turn=True),
        final(HELLO, utterance=utterance),
        plain("how are", 1600, turn_order=1),
        plain("how are you", 1600, turn_order=1, end_of_turn=True),
        final("How are you?", 1600, turn_order=1, utterance=utterance),
        turn("so", 2600, turn_order=2),
        plain("so", 2600, turn_order=2, utterance="so", end_of_turn=True),
        final("So.", 2600, turn_order=2, utterance=utterance),
    )


FORMATTED_AT_ONCE = script(
    [plain("so", utterance="so", end_of_turn=True), final("So.")],
    [
        plain("hello world", 700, turn_order=1, end_of_turn=True),
        final(HELLO, 700, turn_order=1),
    ],
    final("Now.", 1400, turn_order=2),
)

HOLA: dict[str, Any] = {"language_code": "es", "language_confidence": 0.75}
MULTILINGUAL = script(
    plain("hola", language_code="es"),
    plain("hola mundo", utterance="hola mundo", **HOLA),
    plain("hola mundo", end_of_turn=True, **HOLA),
    final("Ja, genau.", 1200, turn_order=1, language_code="de-CH"),
    final("Quite.", 1700, turn_order=2, language_code="English"),
    final("Hm.", 2200, turn_order=3, language_confidence=0.0),
)
SPEAKERS = script(
    turn("Hi", speaker_label="A"),
    final("Hi.", speaker_label="A"),
    final("Yes?", 900, turn_order=1, speaker_label="B"),
    final("Who?", 1400, turn_order=2, speaker_label="UNKNOWN"),
    final("Me.", 1900, turn_order=3, speaker_label=None),
    final("Ah.", 2400, turn_order=4, speaker_label=""),
)
PENDING = script(
    turn("Hi", speaker_label="PENDING"),
    final("Hi.", speaker_label="PENDING"),
    final("Yes?", 900, turn_order=1, speaker_label="A"),
)
WORD_SPEAKERS = script(final(HELLO, words=words(HELLO, speaker="A")))
EMPTY_TURNS = script(
    [started(), final("")],
    final("", 700, turn_order=1, words=[], utterance=None),
    turn("", 1200, turn_order=2),
    final("So.", 1700, turn_order=2),
)
AT_ONCE = script(
    [
        started(100),
        final("One.", 100),
        started(350),
        final("Two three.", 350, turn_order=1),
    ],
    final("Four.", 900, turn_order=2),
)
REPEATED = script(
    turn("Hello"),
    final(HELLO),
    [final(HELLO), turn("Hello")],
    final("So.", 1200, turn_order=1),
)
OUT_OF_ORDER = script(
    turn("Hello"),
    turn("So", 1200, turn_order=1),
    final("So.", 1200, turn_order=1),
    final(HELLO),
)
ASIDES: tuple[Message, ...] = (
    {"type": "Silence", "start_ms": 0, "end_ms": 100},
    {
        "type": "Heartbeat",
        "total_audio_received_ms": 100,
        "total_duration_ms": 100,
        "realtime_factor": 1.0,
    },
    {"type": "Warning", "warning": "mind", "warning_code": 1},
    {"type": "Error", "error": "well", "error_code": 3005},
    {
        "type": "SpeakerRevision",
        "revisions": [{"turn_order": 0, "speaker_label": "B", "words": words("Hi")}],
    },
    {"type": "LLMGatewayResponse", "turn_order": 0, "transcript": "Hi", "data": {}},
    {"type": "Brandnew", "x": [1]},
)
IN_BETWEEN = script(
    ASIDES,
    [started(), *ASIDES, turn("Hello"), *ASIDES],
    [*ASIDES, final(HELLO), *ASIDES],
    [ASIDES[0], final("So.", 1200, turn_order=1), ASIDES[-1]],
)
AFTER_TERMINATE = script(
    [started(), turn("Hello")],
    after_terminate=[
        turn("Hello world"),
        final(HELLO),
        started(900),
        turn("So", 900, turn_order=1),
    ],
)

USUAL = {
    "universal-3": UNIVERSAL_3,
    "several-turns": SEVERAL_TURNS,
    "pauses": PAUSES,
    "formatted": formatted(utterance=""),
    "formatted-utterance": formatted(utterance="Again."),
    "multilingual": MULTILINGUAL,
    "speakers": SPEAKERS,
    "word-speakers": WORD_SPEAKERS,
    "empty-turns": EMPTY_TURNS,
    "in-between": IN_BETWEEN,
    "after-terminate": AFTER_TERMINATE,
}
"""What the service says, by name."""

_HI = words("Hi there")
ODD = {
    "words-no-transcript": script(final(HELLO, transcript="", utterance="")),
    "transcript-no-words": script(final(HELLO, words=[])),
    "transcript-no-words-no-utterance": script(final(HELLO, words=[], utterance="")),
    "no-words-field": script(without(final(HELLO), "words")),
    "no-transcript-field": script(without(final(HELLO), "transcript")),
    "no-end-field": script(without(final(HELLO), "end_of_turn"), final(HELLO)),
    "no-formatted-field": script(without(final(HELLO), "turn_is_formatted")),
    "no-utterance-field": script(without(final(HELLO), "utterance")),
    "no-confidence-field": script(without(final(HELLO), "end_of_turn_confidence")),
    "no-order-field": script(without(final(HELLO), "turn_order")),
    "type-only": script(
        {"type": "Turn"}, {"type": "Turn", "end_of_turn": True}, final(HELLO)
    ),
    "word-without-confidence": script(
        final(HELLO, words=[without(_HI[0], "confidence"), _HI[1]])
    ),
    "word-without-times": script(
        final(HELLO, words=[without(_HI[0], "start"), without(_HI[1], "end")])
    ),
    "word-without-text": script(final(HELLO, words=[without(_HI[0], "text"), _HI[1]])),
    "bare-word": script(final("Hi", words=[{"text": "Hi"}])),
    "zero-times": script(
        final(HELLO, words=[w | {"start": 0, "end": 0} for w in _HI]),
        final("So.", 700, turn_order=1),
    ),
    "first-word-at-0": script(turn("Hello", 0), final(HELLO, 0)),
    "backwards": script(
        turn("c b", words=_HI[::-1], utterance="c b"), final("c b", words=_HI[::-1])
    ),
    "overlap-earlier-turn": script(
        final(HELLO, 200), final("Early.", 0, turn_order=1), final("Then.", 900)
    ),
    "times-ahead-of-audio": script(final(HELLO, 60_000)),
    "negative-times": script(final("Hi", words=[_HI[0] | {"start": -20, "end": -10}])),
    "order-repeated": script(final(HELLO), final("So.", 700)),
    "order-skipped": script(final(HELLO), final("So.", 700, turn_order=7)),
    "order-falls": script(final(HELLO, turn_order=7), final("So.", 700)),
    "utterance-no-words": script(
        plain("", utterance="hello"), final(HELLO), plain("", utterance="so")
    ),
    "utterance-twice": script(
        plain("hello world", utterance="hello world"),
        plain("hello world", utterance="hello world"),
        final(HELLO),
    ),
    "unknown-types": script({"type": "Brandnew"}, {"type": "turn"}, final(HELLO)),
    "not-objects": script(*map(json.dumps, [None, 7, "Turn", [], True]), final(HELLO)),
    "bad-json": script("{", "", '{"type":"Turn"', "\x00", final(HELLO)),
    "no-type": script({}, {"type": None}, {"error": "old form"}, final(HELLO)),
    "binary": script(b"", b"\xff", final(HELLO)),
    "started-without-time": script({"type": "SpeechStarted"}, final(HELLO)),
    "started-alone": script(started(), started(700), started(0)),
    "started-late": script(turn("Hello"), started(), final(HELLO)),
    "extra-fields": script(started() | {"x": 1}, final(HELLO, x={"y": [None]})),
    "unicode": script(
        turn("héllo wörld 你好 🎉 a\u0301 \u202emirror"), final("Ünïcode 你好 🎉")
    ),
    "spaces-in-words": script(final(HELLO, words=[_HI[0] | {"text": " Hi  "}, _HI[1]])),
    "very-long": script(turn("word " * 199), final("word " * 200)),
    "second-begin": script(
        {"type": "Begin", "id": "session-2", "expires_at": 3}, final(HELLO)
    ),
    "nulls": script(
        turn("Hello", utterance=None, end_of_turn_confidence=None),
        final(
            HELLO, utterance=None, language_confidence=None, end_of_turn_confidence=None
        ),
    ),
    "null-start": script(started() | {"timestamp": None}, final(HELLO)),
    "null-flags": script(
        turn("Hello", end_of_turn=None),
        final(HELLO, turn_is_formatted=None, turn_order=None, speaker_label=None),
    ),
    "null-word-fields": script(
        final("Hi", words=[_HI[0] | {"word_is_final": None, "speaker": None}]),
    ),
    "whole-floats": script(
        started() | {"timestamp": 250.0},
        final("Hi", words=[_HI[0] | {"start": 200.0, "end": 450.0}]),
    ),
}
"""What it might say, by name."""

UNFORMATTED = ["pauses", "multilingual", "no-formatted-field", "null-flags"]
"""Of these, turns that end and are never told formatted, by name."""

NULLS = {
    "words": script(final("", words=None)),
    "word-start": script(final("Hi", words=[_HI[0] | {"start": None}])),
    "word-end": script(final("Hi", words=[_HI[0] | {"end": None}])),
    "language": script(final("Hi", language_code=None)),
}
"""Turns with a null that the published plugin stumbles over, by name."""

_BAD: dict[str, dict[str, Any]] = {
    "words-no-list": {"words": 7},
    "words-of-another-type": {"words": ["Hello", "world."]},
    "word-time-no-number": {"words": [_HI[0] | {"start": "soon"}]},
}
BAD = {
    name: script(final("Lost.", **fields), final(HELLO))
    for name, fields in _BAD.items()
}
"""What nothing can be made of, and then a turn, by name."""
