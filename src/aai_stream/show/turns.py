"""What the caller was told: turns, gaps, where speech began."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from ..errors import InputError
from ..messages import AudioLost, SilenceSkipped, SpeechStarted, Turn, Word
from ..recorder.format import Entries, Told
from .clock import Clock, Instant

T = TypeVar("T")


@dataclass(frozen=True)
class Telling:
    """A turn was told like this, `at` that moment."""

    at: Instant
    text: str


@dataclass
class TurnShown:
    """A turn as the caller was told it.

    Attributes:
        number: the stream's.
        told: each telling; the last one stands.
        words: of the last telling, with their stream times.
        speaker: its label, empty if none is known.
        is_final: nothing more will be said of it.
        latency: seconds from the push of its last word's end to its final telling.
    """

    number: int
    told: list[Telling] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    speaker: str = ""
    is_final: bool = False
    latency: float | None = None

    @property
    def at(self) -> Instant:
        """When it was told as it stands."""
        return self.told[-1].at

    @property
    def text(self) -> str:
        """What it says."""
        return self.told[-1].text


@dataclass(frozen=True)
class Gap:
    """Audio that nobody transcribes, from `start_ms` to `end_ms` of the stream; told
    `at` that moment. `is_lost`: it may have been speech; else it is silence."""

    at: Instant
    is_lost: bool
    start_ms: int
    end_ms: int
    why: str = ""


@dataclass
class Heard:
    """All of it.

    Attributes:
        turns: those with words, in their order.
        gaps: in the order in which they were told.
        speech: where speech began, in ms of the stream.
    """

    turns: list[TurnShown]
    gaps: list[Gap]
    speech: list[int]


def heard(entries: Iterable[Entries], clock: Clock) -> Heard:
    """What the caller was told. Raises `InputError` if it can't be read."""
    turns: dict[int, TurnShown] = {}
    found = Heard([], [], [])
    for entry in entries:
        if not isinstance(entry, Told):
            continue
        at = clock.at(entry.unix)
        match entry.message.get("type"):
            case "Turn":
                turn = _read(entry.message, Turn)
                if turn.words or turn.transcript:
                    shown = turns.setdefault(
                        turn.turn_order, TurnShown(turn.turn_order)
                    )
                    _tell(shown, turn, at, clock)
            case "AudioLost":
                lost = _read(entry.message, AudioLost)
                found.gaps.append(Gap(at, True, lost.start_ms, lost.end_ms, lost.why))
            case "SilenceSkipped":
                skipped = _read(entry.message, SilenceSkipped)
                found.gaps.append(Gap(at, False, skipped.start_ms, skipped.end_ms))
            case "SpeechStarted":
                if (ms := _read(entry.message, SpeechStarted).timestamp) is not None:
                    found.speech.append(ms)
    found.turns = [turn for _, turn in sorted(turns.items())]
    return found


def _tell(shown: TurnShown, turn: Turn, at: Instant, clock: Clock) -> None:
    text = turn.transcript or " ".join(word.text for word in turn.words)
    shown.told.append(Telling(at, text))
    shown.words = turn.words
    shown.speaker = turn.speaker_label or ""
    shown.is_final = turn.is_final
    if turn.is_final and turn.words:
        ends = clock.pushed_at(turn.words[-1].end * clock.rate / 1000)
        shown.latency = None if ends is None else at.unix - ends


def _read(message: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(message, kind)
    except msgspec.ValidationError as exc:
        raise InputError(
            f"a {kind.__name__} of the call can't be read: {exc}"
        ) from None
