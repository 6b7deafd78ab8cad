"""From AssemblyAI's turns to LiveKit's speech events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from livekit.agents import LanguageCode
from livekit.agents.metrics import STTMetrics
from livekit.agents.metrics.base import Metadata
from livekit.agents.stt import (
    STT,
    RecognitionUsage,
    SpeechData,
    SpeechEvent,
    SpeechEventType,
)
from livekit.agents.types import TimedString

from ..messages import SpeechStarted, Turn, Word

DEFAULT_LANGUAGE = "en"
"""Told when the server names none."""

PASSING = (SpeechEventType.START_OF_SPEECH, SpeechEventType.INTERIM_TRANSCRIPT)
"""Events that a later one makes up for."""

ACCOMPANYING = (SpeechEventType.END_OF_SPEECH, SpeechEventType.RECOGNITION_USAGE)
"""Events that come along with others, so that no bound of their own is needed."""

_INTERIM = SpeechEventType.INTERIM_TRANSCRIPT
_PREFLIGHT = SpeechEventType.PREFLIGHT_TRANSCRIPT
_FINAL = SpeechEventType.FINAL_TRANSCRIPT
_END = SpeechEventType.END_OF_SPEECH

_NO_SPEAKER = (None, "", "PENDING", "UNKNOWN")


class TurnTranslator:
    """Makes speech events of one stream's turns."""

    def __init__(self) -> None:
        self._utterance_start = 0.0  # of the next one in this turn; 0 before the first
        # The words told last, as the server and as LiveKit has them: most come again.
        self._words: list[Word] = []
        self._timed: list[TimedString] = []
        self._offset = 0.0

    def events(self, turn: Turn, offset: float) -> list[SpeechEvent]:
        """What LiveKit is told of `turn`, in order.

        An interim transcript if it has words, a preflight transcript if an utterance
        was completed, and of a final turn the final transcript and the end of speech.
        `offset` is added to the words' times, in seconds.
        """
        words = self._timed_words(turn.words, offset)
        start, end = _span(words)
        confidence = mean_confidence(turn.words)
        spoken = language(turn.language_code)
        who = speaker(turn.speaker_label)
        scores = _scores(turn)
        # By place: with keywords, dataclasses take twice as long.
        events = []
        if words:
            text = " ".join(words)
            interim = SpeechData(
                spoken, text, start, end, confidence, who, None, words, metadata=scores
            )
            events.append(SpeechEvent(_INTERIM, "", [interim]))
        if turn.utterance:
            begin = self._utterance_start or start
            places = [i for i, word in enumerate(words) if _start(word) >= begin]
            preflight = SpeechData(
                spoken,
                turn.utterance,
                begin,
                end,
                mean_confidence([turn.words[i] for i in places]),
                who,
                None,
                [words[i] for i in places],
                metadata=scores,
            )
            events.append(SpeechEvent(_PREFLIGHT, "", [preflight]))
            self._utterance_start = end
        if turn.is_final:
            text = turn.transcript
            final = SpeechData(
                spoken, text, start, end, confidence, who, None, words, metadata=scores
            )
            events.append(SpeechEvent(_FINAL, "", [final]))
            events.append(SpeechEvent(_END))
            self._utterance_start = 0.0
        return events

    def _timed_words(self, words: list[Word], offset: float) -> list[TimedString]:
        """`timed_words`, reusing those that LiveKit would not see changed."""
        if offset != self._offset:
            self._words, self._timed, self._offset = [], [], offset
        before = self._words
        known = len(before)
        if words[:known] == before:  # as a turn grows
            timed = self._timed + timed_words(words[known:], offset)
        else:
            timed = [
                self._timed[place]
                if place < known
                and (before[place] == word or _is_told(before[place], word))
                else _timed_word(word, offset)
                for place, word in enumerate(words)
            ]
        self._words, self._timed = words, timed
        return list(timed)  # theirs to change


def whole_recording(
    turns: Sequence[Turn], spoken_language: str | None, session_id: str | None
) -> SpeechEvent:
    """One final transcript of all the ended `turns` of a recording."""
    heard = [word for turn in turns for word in turn.words]
    words = timed_words(heard, 0.0)
    start, end = _span(words)
    told = [turn.language_code for turn in turns if turn.language_code]
    speakers = {speaker(turn.speaker_label) for turn in turns}
    data = SpeechData(
        language=language(told[0] if told else spoken_language),
        text=" ".join(turn.transcript for turn in turns if turn.transcript),
        start_time=start,
        end_time=end,
        confidence=mean_confidence(heard),
        words=words,
        speaker_id=speakers.pop() if len(speakers) == 1 else None,
    )
    return SpeechEvent(_FINAL, session_id or "", [data])


def speech_began(started: SpeechStarted, stream_start: float) -> SpeechEvent:
    """The start of speech, by the wall clock if the server says when it was."""
    at = None
    if started.timestamp is not None:
        at = stream_start + started.timestamp / 1000
    return SpeechEvent(type=SpeechEventType.START_OF_SPEECH, speech_start_time=at)


def usage(seconds: float) -> SpeechEvent:
    """So much audio was sent."""
    return SpeechEvent(
        type=SpeechEventType.RECOGNITION_USAGE,
        recognition_usage=RecognitionUsage(audio_duration=seconds),
    )


def usage_metrics(plugin: STT[Any], seconds: float, unix_now: float) -> STTMetrics:
    """The same as LiveKit's metrics have it."""
    return STTMetrics(
        request_id="",
        timestamp=unix_now,
        duration=0.0,
        label=plugin.label,
        audio_duration=seconds,
        streamed=True,
        metadata=Metadata(model_name=plugin.model, model_provider=plugin.provider),
    )


def timed_words(words: Sequence[Word], offset: float) -> list[TimedString]:
    """LiveKit's words: times in seconds, moved by `offset`."""
    return [_timed_word(word, offset) for word in words]


def mean_confidence(words: Sequence[Word]) -> float:
    """Of the words, from 0 to 1; 0 if there are none."""
    if not words:
        return 0.0
    return sum([word.confidence for word in words]) / len(words)


def speaker(label: str | None) -> str | None:
    """The speaker, or None while the server doesn't know."""
    return None if label in _NO_SPEAKER else label


@lru_cache(maxsize=128)
def language(code: str | None) -> LanguageCode:
    """The language as LiveKit writes it."""
    return LanguageCode(code or DEFAULT_LANGUAGE)


def _timed_word(word: Word, offset: float) -> TimedString:
    start, end = word.start / 1000 + offset, word.end / 1000 + offset
    return TimedString(word.text, start, end, word.confidence, offset)


def _is_told(told: Word, word: Word) -> bool:
    """Whether LiveKit's `told` serves for `word`: it may have become final since."""
    return (
        told.text == word.text
        and told.start == word.start
        and told.end == word.end
        and told.confidence == word.confidence
    )


def _span(words: Sequence[TimedString]) -> tuple[float, float]:
    if not words:
        return 0.0, 0.0
    return _start(words[0]), float(words[-1].end_time or 0.0)


def _start(word: TimedString) -> float:
    return float(word.start_time or 0.0)


def _scores(turn: Turn) -> dict[str, Any] | None:
    scores = {}
    if turn.end_of_turn_confidence is not None:
        scores["end_of_turn_confidence"] = turn.end_of_turn_confidence
    if turn.language_confidence is not None:
        scores["language_confidence"] = turn.language_confidence
    return scores or None
