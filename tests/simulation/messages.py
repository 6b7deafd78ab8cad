"""What a service's session says, besides turns."""

from __future__ import annotations

import random
from typing import Any

UNIVERSAL_3 = ("universal-3-6-pro", "universal-3-5-pro", "u3-rt-pro")


def is_on(asked: dict[str, Any], name: str) -> bool:
    """Whether an option was asked for, by query or live."""
    return asked.get(name) in ("true", True)


def begin(
    number: int, expires_at: float, model: str, asked: dict[str, Any]
) -> dict[str, Any]:
    """It echoes eight fields only; US models have no mode."""
    mode = asked.get("mode", "balanced") if model in UNIVERSAL_3 else None
    flags = ("speaker_labels", "redact_pii", "filter_profanity")
    return {
        "type": "Begin",
        "id": f"session-{number}",
        "expires_at": round(expires_at),
        "configuration": {
            "model": model,
            "mode": mode,
            "api_version": "2025-05-12",
            "domain": None,
            "voice_focus": None,
            **{name: is_on(asked, name) for name in flags},
        },
    }


def turn(order: int, words: list[dict[str, Any]]) -> dict[str, Any]:
    """What every Turn has."""
    return {
        "type": "Turn",
        "turn_order": order,
        "transcript": " ".join([word["text"] for word in words]),
        "words": words,
        "utterance": "",
    }


def moved(words: list[dict[str, Any]], ms: int) -> list[dict[str, Any]]:
    """The same words at other times."""
    if not ms:
        return words
    return [
        {**w, "start": max(0, w["start"] + ms), "end": max(0, w["end"] + ms)}
        for w in words
    ]


def termination(audio_seconds: float, seconds: float) -> dict[str, Any]:
    """Its numbers are rounded: of 0.6 s of audio 1 is left, of the session 0."""
    return {
        "type": "Termination",
        "audio_duration_seconds": -int(-audio_seconds // 1),
        "session_duration_seconds": int(seconds),
    }


def heartbeat(audio_seconds: float, seconds: float) -> dict[str, Any]:
    """What the session was sent so far."""
    return {
        "type": "Heartbeat",
        "total_audio_received_ms": int(audio_seconds * 1000),
        "total_duration_ms": int(seconds * 1000),
        "realtime_factor": audio_seconds / max(seconds, 0.001),
        "max_speech_probability": 0.5,
    }


def revision(dice: random.Random, finals: list[dict[str, Any]]) -> dict[str, Any]:
    """Of some turns; the words' confidences are on another scale."""
    chosen = dice.sample(finals, min(len(finals), 2))
    revisions = [
        {
            "turn_order": turn["turn_order"],
            "speaker_label": "C",
            "words": [{**word, "confidence": 0.01} for word in turn["words"]],
        }
        for turn in chosen
    ]
    return {"type": "SpeakerRevision", "revisions": revisions}


def odd(dice: random.Random, text: bytes) -> bytes:
    """What no client may trip over; `text` may be cut in the middle of its bytes."""
    return dice.choice(
        (
            text[: dice.randint(0, len(text) - 1)],
            b'{"type":"Warning","warning_code":7,"warning":"w"}',
            b'{"type":"Novelty","words":3}',
            b'{"type":"LLMGatewayResponse","turn_order":0,"transcript":"t","data":{}}',
            b'{"type":"Turn","turn_order":"first","words":7}',
            b"[]",
            b'{"type":"Turn","words":[{"text":"\xff',
        )
    )
