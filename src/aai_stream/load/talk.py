"""What a load server says: turns, word by word, in step with the audio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..models import is_universal_3

STEP_MS = 250
"""Of audio, between two Turns."""

_TURN, _AT = 999_999_001, 999_999_100
"""Stand for the turn's number, and for times, which follow in steps."""


@dataclass(frozen=True)
class Talk:
    """The same turn over and over, as one family of models tells it."""

    words: Sequence[str]
    opening: bytes | None
    """A message before each turn's first, a template for the time."""
    templates: Sequence[bytes]
    """The Turns of a turn, for its number and its words' times."""

    @property
    def steps(self) -> int:
        """Turns of one turn: a partial for each word, then the final."""
        return len(self.templates)

    def said(self, step: int, from_ms: int = 0) -> list[bytes]:
        """The messages that are due `STEP_MS * (step + 1)` ms after `from_ms`, where
        the talk began in the session's audio; none before.

        A word is told when it has been said, and again in each Turn that follows.
        """
        if step < 0:
            return []
        turn, step = divmod(step, self.steps)
        began = from_ms + turn * self.steps * STEP_MS
        times = [turn]
        for word in range(min(step + 1, len(self.words))):
            times += (began + word * STEP_MS + 10, began + word * STEP_MS + 200)
        message = self.templates[step] % tuple(times)
        if step or self.opening is None:
            return [message]
        return [self.opening % (began + 10), message]


def _universal_3() -> Talk:
    """Formatted words, none of them final before the turn is."""
    words = ["Could", "you", "move", "my", "appointment", "to", "Thursday", "morning?"]

    def turn(step: int) -> dict[str, Any]:
        final = step == len(words)
        text = " ".join(words[: step + 1])
        return {
            "turn_order": _TURN,
            "turn_is_formatted": final,
            "end_of_turn": final,
            "transcript": text,
            "end_of_turn_confidence": 1.0 if final else 0.0721,
            "words": _words(words[: step + 1], len(words) if final else 0),
            "utterance": text if final else "",
            "language_code": "en",
            "language_confidence": 0.9931,
            "type": "Turn",
        }

    return Talk(
        words,
        b'{"type": "SpeechStarted", "timestamp": %d, "confidence": 0.9}',
        [_template(turn(step)) for step in range(len(words) + 1)],
    )


def _universal_streaming() -> Talk:
    """Words become final one by one; the last one told is not in the transcript."""
    text = "i would like to move my appointment to thursday morning at nine"
    words = text.split()

    def turn(step: int) -> dict[str, Any]:
        final = step == len(words)
        said = " ".join(words[:step])
        return {
            "turn_order": _TURN,
            "turn_is_formatted": False,
            "end_of_turn": final,
            "transcript": said,
            "end_of_turn_confidence": 0.8718 if final else 0.0132,
            "words": _words(words[: step + 1], step),
            "utterance": said if final else "",
            "type": "Turn",
        }

    return Talk(words, None, [_template(turn(step)) for step in range(len(words) + 1)])


def _words(texts: Sequence[str], final: int) -> list[dict[str, Any]]:
    """The first `final` of them are final."""
    return [
        {
            "start": _AT + 2 * number,
            "end": _AT + 2 * number + 1,
            "text": text,
            "confidence": 0.91875,
            "word_is_final": number < final,
        }
        for number, text in enumerate(texts)
    ]


def _template(message: dict[str, Any]) -> bytes:
    template = json.dumps(message)
    for stand_in in (_TURN, *range(_AT, _AT + 2 * len(message["words"]))):
        template = template.replace(str(stand_in), "%d")
    return template.encode()


UNIVERSAL_3 = _universal_3()
UNIVERSAL_STREAMING = _universal_streaming()


def talk_of(model: str) -> Talk:
    """As `model` tells it."""
    return UNIVERSAL_3 if is_universal_3(model) else UNIVERSAL_STREAMING


def begin(name: str, model: str) -> bytes:
    """Begin of the session `name`."""
    return json.dumps(
        {
            "type": "Begin",
            "id": name,
            "expires_at": 4_000_000_000,
            "configuration": {"model": model, "api_version": "2025-05-12"},
        }
    ).encode()


def termination(seconds: float) -> bytes:
    """Termination after `seconds` of audio."""
    ended = {"audio_duration_seconds": seconds, "session_duration_seconds": seconds}
    return json.dumps({"type": "Termination", **ended}).encode()
