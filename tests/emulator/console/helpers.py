"""Sessions told by hand, and sound that is nowhere else."""

from __future__ import annotations

import numpy as np

from aai_stream.emulator.console.calls import Calls
from aai_stream.emulator.console.session import Session
from tests.emulator.helpers import Message

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return rng.integers(-9000, 9000, round(seconds * RATE), np.int16).tobytes()


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


def begin(calls: Calls, number: int, *, rate: int = RATE) -> Session:
    session = calls.connection(number)
    session.opened({"speech_model": "u3-rt-pro"}, rate)
    session.told({"type": "Begin", "id": f"id-{number}"})
    return session


def hear(session: Session, audio: bytes) -> None:
    """Audio in messages of 50 ms."""
    size = 2 * session.rate // 20
    for at in range(0, len(audio), size):
        session.audio(audio[at : at + size])


def turn(order: int, *words: tuple[str, int, int], final: bool = False) -> Message:
    return {
        "type": "Turn",
        "turn_order": order,
        "transcript": " ".join(text for text, _, _ in words),
        "words": [{"text": t, "start": a, "end": b} for t, a, b in words],
        "end_of_turn": final,
    }
