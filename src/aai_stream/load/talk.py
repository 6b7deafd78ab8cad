"""What a load server says: Universal-3 turns, word by word, in step with the audio."""

from __future__ import annotations

import json
from typing import Any

STEP_MS = 250
"""Of audio, between two Turns."""

WORDS = ["Could", "you", "move", "my", "appointment", "to", "Thursday", "morning?"]
STEPS = len(WORDS) + 1
"""Turns of one turn: a partial for each word, then the final."""

_TURN, _AT = 999_999_001, 999_999_100
"""Stand for the turn's number, and for times, which follow in steps."""


def _message(step: int) -> bytes:
    """The Turn of `step`, as a template for its number and its words' times."""
    final = step == STEPS - 1
    texts = WORDS[: step + 1]
    message: dict[str, Any] = {
        "turn_order": _TURN,
        "turn_is_formatted": final,
        "end_of_turn": final,
        "transcript": " ".join(texts),
        "end_of_turn_confidence": 1.0 if final else 0.0721,
        "words": [
            {
                "start": _AT + 2 * number,
                "end": _AT + 2 * number + 1,
                "text": text,
                "confidence": 0.91875,
                "word_is_final": final,
            }
            for number, text in enumerate(texts)
        ],
        "utterance": " ".join(texts) if final else "",
        "language_code": "en",
        "language_confidence": 0.9931,
        "type": "Turn",
    }
    template = json.dumps(message)
    for stand_in in (_TURN, *range(_AT, _AT + 2 * len(texts))):
        template = template.replace(str(stand_in), "%d")
    return template.encode()


_TEMPLATES = [_message(step) for step in range(STEPS)]
_STARTED = b'{"type": "SpeechStarted", "timestamp": %d, "confidence": 0.9}'


def said(step: int, from_ms: int = 0) -> list[bytes]:
    """The messages that are due `STEP_MS * (step + 1)` ms after `from_ms`, where the
    talk began in the session's audio; none before.

    A word is told when it has been said. Before a turn's first comes SpeechStarted.
    """
    if step < 0:
        return []
    turn, step = divmod(step, STEPS)
    began = from_ms + turn * STEPS * STEP_MS
    times = [turn]
    for word in range(min(step + 1, len(WORDS))):
        times += (began + word * STEP_MS + 10, began + word * STEP_MS + 200)
    message = _TEMPLATES[step] % tuple(times)
    return [message] if step else [_STARTED % (began + 10), message]


def begin(name: str) -> bytes:
    """Begin of the session `name`."""
    configuration = {"model": "universal-3-6-pro", "api_version": "2025-05-12"}
    return json.dumps(
        {
            "type": "Begin",
            "id": name,
            "expires_at": 4_000_000_000,
            "configuration": configuration,
        }
    ).encode()


def termination(seconds: float) -> bytes:
    """Termination after `seconds` of audio."""
    ended = {"audio_duration_seconds": seconds, "session_duration_seconds": seconds}
    return json.dumps({"type": "Termination", **ended}).encode()
