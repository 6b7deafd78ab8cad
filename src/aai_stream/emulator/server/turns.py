"""The engine's hypotheses as v3 Turn messages, in the style of each model family.

Universal-3: a SpeechStarted before each turn's first Turn; partials are guesses,
written as formatted text and flagged so; the final has `utterance`.
Universal-Streaming: words become final one by one and `transcript` holds those only;
`utterance` is filled at a pause and at the end; with `format_turns` a second, formatted
final follows the first.
Source: captures of the service for Universal-3 and speakers, AssemblyAI's message
sequence pages for the rest. No I/O here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engines.engine import HeardWord, Hypothesis
from .guesses import guess

WORD_IS_FINAL_AFTER_MS = 700
"""Universal-Streaming: a word is final when this much more audio has been heard."""

_QUESTION_WORDS = {"are", "can", "do", "how", "is", "what", "when", "where", "who"}
_LANGUAGE_CONFIDENCE = 0.99

PENDING = "PENDING"
"""The speaker of a turn of a single word, until a SpeakerRevision names it."""
_SPEAKER_CONFIDENCE = 0.95
_REVISED = 0.012
"""A SpeakerRevision's word confidences are on another scale: 0.84 became 0.01."""


@dataclass(frozen=True)
class Style:
    """How a session's turns are told."""

    universal_3: bool = True
    format_turns: bool = False
    """Universal-Streaming: tell a formatted final as well."""
    speaker_labels: bool = False
    language_code: str | None = "en"
    """None: the model speaks one language and doesn't say which."""
    language_detection: bool = False
    steady_partials: bool = False
    """Universal-3: don't guess, and format nothing but finals."""


@dataclass
class _Turn:
    """What has been told of the open turn."""

    started_ms: int | None = None
    final: list[HeardWord] = field(default_factory=list)
    uttered: int = 0
    """How many of the words an earlier `utterance` has covered."""
    last: dict[str, Any] | None = None
    partials: int = 0


class TurnTeller:
    """One session's turns, counted from 0. Change `style` at any time."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self._order = 0
        self._turn = _Turn()
        self._ended_ms = 0  # the last word of the last final
        self._pending: list[dict[str, Any]] = []  # revisions of turns told as PENDING

    def speech_started(self, at_ms: int) -> None:
        """Speech began at `at_ms`. It is told together with the turn's first Turn."""
        self._turn.started_ms = at_ms

    def hypothesis(self, heard: Hypothesis) -> list[dict[str, Any]]:
        """The messages that tell `heard`; none if it says nothing new."""
        turn, guesses = self._turn, self._guesses
        words: Sequence[HeardWord] = self._glue(heard)
        if guesses and not heard.end_of_turn:
            words = guess(words, turn.partials, self._ended_ms)
        if not words and not heard.end_of_turn:
            return []
        told = self._tell(heard, words)
        if told == turn.last:
            return []
        turn.partials += 1
        messages = [told]
        if turn.last is None and turn.started_ms is not None and self.style.universal_3:
            messages.insert(0, _speech_started(turn.started_ms, words))
        turn.last = told
        if heard.end_of_turn:
            if self.style.format_turns and not self.style.universal_3:
                messages.append(_formatted(told))
            self._over(words, messages[-1])
        return messages

    def _over(self, words: Sequence[HeardWord], told: dict[str, Any]) -> None:
        if words:
            self._ended_ms = words[-1].end_ms
            speaker = words[0].speaker
            if told.get("speaker_label") == PENDING and speaker is not None:
                self._pending.append(_revision(told, speaker))
        self._order += 1
        self._turn = _Turn()

    def farewell(self) -> list[dict[str, Any]]:
        """What is told at the end of the session, if no turn is open then."""
        if self.style.universal_3 or self._turn.last is not None:
            return []
        return [self._tell(Hypothesis((), 0, True, 1.0), [])]

    def revision(self) -> list[dict[str, Any]]:
        """The SpeakerRevision: the speakers of turns that were told without one."""
        revisions, self._pending = self._pending, []
        if not revisions:
            return []
        return [{"type": "SpeakerRevision", "revisions": revisions}]

    @property
    def _guesses(self) -> bool:
        return self.style.universal_3 and not self.style.steady_partials

    def _glue(self, heard: Hypothesis) -> list[HeardWord]:
        """The turn's words: those told as final, then what the engine has after them.

        Advances what is final. The engine may have changed its mind about words that
        were final already; what was told stays, and the rest goes on where it ends.
        """
        final = self._turn.final
        words = [*final, *_after(final, heard.words)]
        final[:] = words[: self._count_final(heard, words)]
        return words

    def _count_final(self, heard: Hypothesis, words: Sequence[HeardWord]) -> int:
        if heard.end_of_turn:
            return len(words)
        if self.style.universal_3:
            return 0
        if heard.pause:
            return len(words)
        limit = heard.heard_ms - WORD_IS_FINAL_AFTER_MS
        count = len(self._turn.final)
        while count < len(words) and words[count].end_ms <= limit:
            count += 1
        return count

    def _tell(self, heard: Hypothesis, words: Sequence[HeardWord]) -> dict[str, Any]:
        style, turn = self.style, self._turn
        final = len(turn.final)
        label = _label(words)
        message: dict[str, Any] = {
            "type": "Turn",
            "turn_order": self._order,
            "turn_is_formatted": False,
            "end_of_turn": heard.end_of_turn,
            "transcript": _text(words if style.universal_3 else words[:final]),
            "end_of_turn_confidence": round(heard.end_of_turn_confidence, 6),
            "words": [
                _word(w, i < final, style, label=label) for i, w in enumerate(words)
            ],
            "utterance": "",
        }
        if heard.end_of_turn or (heard.pause and not style.universal_3):
            message["utterance"] = _text(words[turn.uttered :])
            turn.uttered = len(words)
            if style.language_code is not None:
                message["language_code"] = style.language_code
                if style.language_detection:
                    message["language_confidence"] = _LANGUAGE_CONFIDENCE
        if style.speaker_labels:
            message["speaker_label"] = label
            message["speaker_confidence"] = _speaker_confidence(label)
        if self._guesses or (style.universal_3 and heard.end_of_turn):
            message = _formatted(message)
        if style.universal_3 and heard.end_of_turn:
            message["utterance"] = message["transcript"]
        return message


def _label(words: Sequence[HeardWord]) -> str:
    """Who says most of the `words`; `PENDING` if there are fewer than two."""
    speakers = Counter(word.speaker for word in words if word.speaker is not None)
    if len(words) < 2 or not speakers:
        return PENDING
    return str(speakers.most_common(1)[0][0])


def _revision(told: dict[str, Any], speaker: str) -> dict[str, Any]:
    """What a SpeakerRevision says of a turn that was `told` without its speaker."""
    known = {"speaker": speaker, "speaker_confidence": _speaker_confidence(speaker)}
    words = [
        {**word, **known, "confidence": round(word["confidence"] * _REVISED, 4)}
        for word in told["words"]
    ]
    return {
        "turn_order": told["turn_order"],
        "speaker_label": speaker,
        "words": words,
    }


def _speaker_confidence(label: str) -> float:
    return 0.0 if label == PENDING else _SPEAKER_CONFIDENCE


def _after(final: list[HeardWord], heard: Sequence[HeardWord]) -> list[HeardWord]:
    """Those words of `heard` that come after the `final` ones."""
    if not final:
        return list(heard)
    end = final[-1].end_ms
    if [w.text for w in heard[: len(final)]] == [w.text for w in final]:
        rest = list(heard[len(final) :])
    else:
        rest = [w for w in heard if w.start_ms + w.end_ms > 2 * end]
    return [_not_before(end, word) for word in rest]


def _not_before(start_ms: int, word: HeardWord) -> HeardWord:
    if word.start_ms >= start_ms:
        return word
    end_ms = max(start_ms, word.end_ms)
    return HeardWord(word.text, start_ms, end_ms, word.confidence, word.speaker)


def _word(word: HeardWord, final: bool, style: Style, *, label: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "start": word.start_ms,
        "end": word.end_ms,
        "text": word.text,
        "confidence": round(word.confidence, 6),
        "word_is_final": final,
    }
    if style.speaker_labels:
        speaker = PENDING if label == PENDING else word.speaker or label
        message["speaker"] = speaker
        message["speaker_confidence"] = _speaker_confidence(speaker)
    return message


def _speech_started(at_ms: int, words: Sequence[HeardWord]) -> dict[str, Any]:
    confidence = round(words[0].confidence, 6) if words else 0.0
    return {"type": "SpeechStarted", "timestamp": at_ms, "confidence": confidence}


def _text(words: Sequence[HeardWord]) -> str:
    return " ".join(word.text for word in words)


def _formatted(turn: dict[str, Any]) -> dict[str, Any]:
    """`turn`, formatted. Its `utterance` is empty: that has been told already."""
    texts = format_words([word["text"] for word in turn["words"]])
    words = [
        {**word, "text": text} for word, text in zip(turn["words"], texts, strict=True)
    ]
    return {
        **turn,
        "turn_is_formatted": True,
        "transcript": " ".join(texts),
        "words": words,
        "utterance": "",
    }


def format_words(texts: Sequence[str]) -> list[str]:
    """A sentence's words with capitals and punctuation, by simple rules.

    The first word and "I" get a capital. The last one gets a full stop or a question
    mark, unless it has its own.
    """
    words = ["I" + t[1:] if t == "i" or t.startswith("i'") else t for t in texts]
    if words:
        words[0] = words[0][:1].upper() + words[0][1:]
        if not words[-1].endswith((".", "?", "!")):
            asks = texts[0].lower() in _QUESTION_WORDS
            words[-1] += "?" if asks else "."
    return words
