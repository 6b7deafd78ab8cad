"""An engine that follows a script: in-process, immediate, the same every time.

    engine = ScriptEngine([
        say("hello world", at_ms=200),
        say("how are you", at_ms=1800, speaker="B"),
    ])

What it tells depends only on the amount of audio, not on its content, on how it was
cut, or on the wall clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .engine import (
    SILENCE_EVERY_MS,
    Finished,
    HeardWord,
    Hypothesis,
    Raw,
    Recognizer,
    Silence,
    SpeechStarted,
    Tell,
    TurnSettings,
)

_MS_PER_WORD = 250
_PARTIAL_EVERY_MS = 200


@dataclass(frozen=True)
class Said:
    """A stretch of speech in a script: a word, or a turn in which nothing is said."""

    start_ms: int
    end_ms: int
    word: HeardWord | None
    first: bool
    """A turn begins here."""
    last: bool
    """The turn sounds finished after this."""


@dataclass(frozen=True)
class Played:
    """A message in a script, which the client gets as it is."""

    start_ms: int
    message: dict[str, Any]


def play(message: dict[str, Any], *, at_ms: int) -> list[Played]:
    """A raw message for the client, told after `at_ms` of audio, or at Terminate.

    Begin, Termination and Errors are the server's own. It doesn't count turns that are
    told this way.
    """
    return [Played(at_ms, message)]


def say(
    *parts: str | int,
    at_ms: int,
    ms_per_word: int = _MS_PER_WORD,
    times_ms: Sequence[tuple[int, int]] | None = None,
    speaker: str | None = None,
    confidence: float = 0.9,
) -> list[Said]:
    """A scripted turn: words, and between them pauses as numbers of ms.

    `say("a table", 900, "for two", at_ms=0)` holds the turn open for 900 ms. Words take
    `ms_per_word` each from `at_ms` on, or the (start, end) pairs of `times_ms`. With no
    words at all, the turn is empty and `ms_per_word` long.
    """
    words: list[tuple[str, int, int]] = []
    now = at_ms
    for part in parts:
        if isinstance(part, int):
            now += part
            continue
        for text in part.split():
            words.append((text, now, now + ms_per_word))
            now += ms_per_word
    if times_ms is not None:
        pairs = zip(words, times_ms, strict=True)
        words = [(text, start, end) for (text, _, _), (start, end) in pairs]
    if not words:
        return [Said(at_ms, at_ms + ms_per_word, None, first=True, last=True)]
    return [
        Said(
            start,
            end,
            HeardWord(text, start, end, confidence, speaker),
            first=i == 0,
            last=i == len(words) - 1,
        )
        for i, (text, start, end) in enumerate(words)
    ]


class ScriptEngine:
    """Follows the same script in each session.

    `parts` are made by `say` and `play`. Raises `ValueError` unless they are in the
    order of their times.
    """

    def __init__(
        self, parts: Sequence[Sequence[Said | Played]] = (), *, capacity: int = 10_000
    ) -> None:
        self.capacity = capacity
        self._script = [one for part in parts for one in part]
        starts = [one.start_ms for one in self._script]
        if starts != sorted(starts):
            raise ValueError(
                "the parts of a script must be in the order of their times"
            )

    async def start(self) -> None:
        """Nothing to load."""

    def open(self, sample_rate: int, settings: TurnSettings, tell: Tell) -> Recognizer:
        """A recogniser that starts the script from the beginning."""
        return _ScriptRecognizer(self._script, sample_rate, TurnTaker(settings, tell))

    async def aclose(self) -> None:
        """Nothing to stop."""


class _ScriptRecognizer:
    def __init__(
        self, script: Sequence[Said | Played], sample_rate: int, turns: TurnTaker
    ) -> None:
        self._left = deque(script)
        self._sample_rate = sample_rate
        self._samples = 0
        self._turns = turns

    @property
    def _now_ms(self) -> int:
        return self._samples * 1000 // self._sample_rate

    async def hear(self, pcm: bytes) -> None:
        self._samples += len(pcm) // 2
        self._catch_up()

    def configure(self, settings: TurnSettings) -> None:
        self._turns.settings = settings

    def force_endpoint(self) -> None:
        self._turns.end(self._now_ms)

    def finish(self) -> None:
        self._turns.end(self._now_ms)
        for one in self._left:
            if isinstance(one, Played):
                self._turns.tell(Raw(one.message))
        self._turns.tell(Finished())

    def close(self) -> None:
        self._left.clear()

    def _catch_up(self) -> None:
        turns, now_ms = self._turns, self._now_ms
        while self._left and self._left[0].start_ms <= now_ms:
            said = self._left[0]
            if isinstance(said, Played):
                self._left.popleft()
                turns.tell(Raw(said.message))
                continue
            turns.quiet(said.start_ms)
            if said.first:
                turns.end(said.start_ms)
            turns.speech(said.start_ms)
            if said.end_ms > now_ms:
                return
            self._left.popleft()
            turns.said(said.word, said.end_ms, finished=said.last)
        turns.quiet(now_ms)


class TurnTaker:
    """Makes turns out of words and silence, by `TurnSettings`.

    Its methods are called in the order of the audio: `speech` when a word begins,
    `said` when it has ended, `quiet` as silence goes by. `settings` may change at any
    time. A word with which a turn reaches `settings.longest_ms` ends it.
    """

    def __init__(self, settings: TurnSettings, tell: Tell) -> None:
        self.settings = settings
        self.tell = tell
        self._began_ms = 0
        self._words: list[HeardWord] = []
        self._open = False
        self._ended_ms: int | None = None
        """Where the turn's last word ended; None before the first has."""
        self._finished = False
        self._silent_ms = 0
        """Silence up to here has been handled."""

    def speech(self, at_ms: int) -> None:
        """A word begins; so does a turn if none is open."""
        if not self._open:
            self._open = True
            self._began_ms = at_ms
            self.tell(SpeechStarted(at_ms))

    def said(
        self,
        word: HeardWord | None,
        end_ms: int,
        *,
        finished: bool,
        heard_ms: int | None = None,
    ) -> None:
        """A word, or an empty turn, has ended at `end_ms`.

        `finished`: the turn sounds finished, so that it ends after the shortest
        silence and not the longest. `heard_ms`: how much audio it took to know.
        """
        self._ended_ms = self._silent_ms = end_ms
        self._finished = finished
        if word is not None:
            heard_ms = end_ms if heard_ms is None else heard_ms
            self._words.append(word)
            self._tell_turn(heard_ms, 0.0)
            if end_ms - self._began_ms >= self.settings.longest_ms:
                self.end(heard_ms)

    def quiet(self, until_ms: int) -> None:
        """Nothing is said up to `until_ms`, since the last word or `quiet`."""
        if self._ended_ms is not None:
            self._hold_open(self._ended_ms, until_ms)
        if not self._open:
            while self._silent_ms + SILENCE_EVERY_MS <= until_ms:
                start_ms = self._silent_ms
                self._silent_ms += SILENCE_EVERY_MS
                self.tell(Silence(start_ms, self._silent_ms))

    def end(self, at_ms: int) -> None:
        """End the turn here, if one is open in which a word has ended."""
        if self._ended_ms is None:
            return
        self._tell_turn(at_ms, 1.0, end_of_turn=True)
        self._words = []
        self._open = False
        self._ended_ms = None
        self._silent_ms = at_ms

    def _hold_open(self, ended_ms: int, until_ms: int) -> None:
        """Let silence pass in the open turn: tell the pause, and in time the end."""
        shortest = ended_ms + self.settings.min_silence_ms
        longest = ended_ms + self.settings.max_silence_ms
        end_ms = shortest if self._finished else longest
        step = shortest
        while step <= until_ms and step < end_ms:
            if step > self._silent_ms:
                confidence = (step - ended_ms) / (longest - ended_ms)
                self._tell_turn(step, confidence, pause=step == shortest)
            step += _PARTIAL_EVERY_MS
        if end_ms <= until_ms:
            # If settings have changed, that may be earlier than what has been told.
            self.end(max(end_ms, self._silent_ms))
        else:
            self._silent_ms = until_ms

    def _tell_turn(
        self,
        heard_ms: int,
        confidence: float,
        *,
        end_of_turn: bool = False,
        pause: bool = False,
    ) -> None:
        words = tuple(self._words)
        self.tell(Hypothesis(words, heard_ms, end_of_turn, confidence, pause))
