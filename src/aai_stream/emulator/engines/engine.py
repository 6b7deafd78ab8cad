"""The interface between the server and what hears for it.

An *engine* opens one *recogniser* for each session. A recogniser gets the session's
audio as mono PCM16 at the session's rate, and calls back with what it hears. All times
are milliseconds of that audio. What is heard depends on the audio alone, never on the
wall clock: the same audio gives the same text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec


class HeardWord(msgspec.Struct, frozen=True, gc=False):
    """One word as heard so far."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    """From 0 to 1. A guess while the turn is open, the decoder's own when it ends."""
    speaker: str | None = None


class SpeechStarted(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Someone began to speak; comes once before a turn's first `Hypothesis`."""

    at_ms: int


class Hypothesis(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The whole current turn as heard so far. It replaces the previous one."""

    words: tuple[HeardWord, ...]
    heard_ms: int
    """How much of the session's audio this rests on."""
    end_of_turn: bool
    """The turn is over; the next `Hypothesis` belongs to a new turn."""
    end_of_turn_confidence: float
    """From 0 to 1. It rises during silence in an open turn, and is 1 at its end."""
    pause: bool = False
    """Silence has just reached `TurnSettings.min_silence_ms` and the turn goes on."""


SILENCE_EVERY_MS = 1000


class Silence(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Nothing to transcribe in this stretch; one every `SILENCE_EVERY_MS` or so."""

    start_ms: int
    end_ms: int


class Raw(msgspec.Struct, frozen=True, gc=False, tag=True):
    """What the client gets as it is, for example from a capture.

    `message` is JSON; a string is text that isn't.
    """

    message: Any


class Ended(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The connection ends here, as another one did; nothing comes after it.

    `freeze` leaves it open, with nobody there; `mute` with somebody who says nothing.
    """

    how: Literal["close", "reset", "freeze", "mute"]
    code: int = 1000
    reason: str = ""


class Finished(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to `Recognizer.finish`; nothing comes after it."""


class Broken(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The recogniser failed and can't go on, for example because its worker died."""

    why: str


Heard = SpeechStarted | Hypothesis | Silence | Raw | Ended | Finished | Broken
Tell = Callable[[Heard], None]


class TurnSettings(msgspec.Struct, frozen=True, gc=False):
    """When a turn ends: the v3 parameters of the same names."""

    min_silence_ms: int
    """`min_turn_silence`: a turn that sounds finished ends after this much silence."""
    max_silence_ms: int
    """`max_turn_silence`: any turn ends after this much silence."""
    longest_ms: float = math.inf
    """A turn that reaches this length ends there, in the middle of speech."""


class Recognizer(Protocol):
    """Hears one session. It is called in the order of the client's messages."""

    async def hear(self, pcm: bytes) -> None:
        """Take the next audio: mono PCM16, native order, at the session's rate.

        Waits while more than a few seconds are queued, so that a client which sends
        faster than the engine decodes is held back by its own socket.
        """

    def configure(self, settings: TurnSettings) -> None:
        """Use other turn settings from here in the audio on."""

    def force_endpoint(self) -> None:
        """End the current turn here in the audio, if one is open."""

    def finish(self) -> None:
        """No more audio: end the open turn, then tell `Finished`."""

    def close(self) -> None:
        """Release everything at once. Nothing is told after this."""


class Engine(Protocol):
    """Opens recognisers. `start` and `aclose` belong to the server's own life."""

    capacity: int
    """How many sessions at once; the server refuses the next one."""

    async def start(self) -> None:
        """Load what is needed (models, workers) before the first session."""

    def open(self, sample_rate: int, settings: TurnSettings, tell: Tell) -> Recognizer:
        """A recogniser for one new session.

        `tell` is called on the event loop, in the order of the audio. A recogniser
        that breaks tells `Broken` and nothing after it.
        """

    async def aclose(self) -> None:
        """Stop the workers and forget the models."""


Handshake = Literal["accept", "reset", "freeze"] | int
"""The answer to a handshake; a number is an HTTP status that refuses it."""


def _nothing() -> None: ...


@dataclass(frozen=True, kw_only=True)
class Part:
    """What an engine does on one connection."""

    open: Callable[[int, TurnSettings, Tell], Recognizer]
    """As `Engine.open`, once the websocket is there."""
    handshake: Handshake = "accept"
    begins: bool = True
    """Whether there is a Begin."""
    configuration: Mapping[str, Any] | None = None
    """What Begin says of it; None for what the client asked for."""
    opening: tuple[Heard, ...] = ()
    """What is told after Begin, or in its place."""
    is_recorded: bool = False
    """All messages but Begin and Termination are the recogniser's."""
    leave: Callable[[], None] = _nothing
    """Called when the connection is over."""


@runtime_checkable
class Rehearsal(Engine, Protocol):
    """An engine that has a say in whole connections, not only in what is heard."""

    def meet(self) -> Part:
        """A client asks for a connection."""
