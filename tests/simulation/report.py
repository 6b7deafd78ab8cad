"""What a face has told its caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from livekit.agents.stt import SpeechEvent, SpeechEventType

from aai_stream.messages import (
    AudioLost,
    Begin,
    Event,
    SilenceSkipped,
    SpeakerRevision,
    Turn,
)


@dataclass(frozen=True)
class Heard:
    """A word of a final turn; times in ms."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Loss:
    """A gap, in samples, and how much had been pushed when it was told."""

    start: int
    end: int
    why: str
    pushed: int


@dataclass
class Report:
    """What a face has told its caller, who has pushed so many samples."""

    pushed: Callable[[], int]
    begun: set[str] = field(default_factory=set)
    """Sessions, by their names; not by LiveKit's."""
    finals: list[list[Heard]] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    """Of the finals, by `Stream`."""
    lost: list[Loss] = field(default_factory=list)
    skipped: list[tuple[int, int]] = field(default_factory=list)
    revised: list[tuple[int, list[Heard]]] = field(default_factory=list)
    speech: list[str] = field(default_factory=list)
    """START, INTERIM, PREFLIGHT, FINAL, END, by LiveKit's."""
    usage: float | None = None
    """Seconds, by LiveKit's."""

    def take(self, event: Event) -> None:
        """Remember a message of `Stream`'s, or a remark of LiveKit's."""
        if isinstance(event, Turn):
            if event.is_final:
                self.orders.append(event.turn_order)
                self.finals.append(_heard(event.words))
        elif isinstance(event, AudioLost):
            span = event.start_sample, event.end_sample
            self.lost.append(Loss(*span, event.why, self.pushed()))
        elif isinstance(event, SilenceSkipped):
            start = event.start_sample
            if self.skipped and self.skipped[-1][1] == start:
                start = self.skipped.pop()[0]
            self.skipped.append((start, event.end_sample))
        elif isinstance(event, Begin):
            self.begun.add(event.id)
        elif isinstance(event, SpeakerRevision):
            self.revised += [
                (turn.turn_order, _heard(turn.words))
                for turn in event.revisions
                if turn.turn_order in self.orders  # or else nobody knows which it is
            ]

    def take_speech(self, event: SpeechEvent) -> None:
        """Remember an event of LiveKit's."""
        if event.type is SpeechEventType.RECOGNITION_USAGE:
            assert event.recognition_usage is not None
            self.usage = (self.usage or 0) + event.recognition_usage.audio_duration
            return
        self.speech.append(event.type.name.partition("_")[0])
        if event.type is SpeechEventType.FINAL_TRANSCRIPT:
            words = event.alternatives[0].words or []
            self.finals.append(
                [
                    Heard(
                        str(word),
                        round(1000 * float(word.start_time or 0.0)),
                        round(1000 * float(word.end_time or 0.0)),
                    )
                    for word in words
                ]
            )


def _heard(words: list[Any]) -> list[Heard]:
    return [Heard(word.text, word.start, word.end) for word in words]
