"""Audio whose samples can be identified, and an engine that reads them back.

`marked_audio` makes numbered words, one stretch of samples each; `MarkedEngine` hears
word 42 as "w0042" with its place to the millisecond, and anything that isn't a whole
word as `DAMAGE`. `check_marked` then tells which words were lost, doubled or moved. So
a test can prove that a client sends every sample once.

`markings.py` has the encoding. Words can be as quiet as a peak of 50 (of 32768), and
in noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .engine import Finished, HeardWord, Recognizer, Tell, TurnSettings
from .markings import (
    CLEAN,
    LEVEL_MS,
    LOUDEST,
    MOST_WORDS,
    NOISY,
    RAMP_MS,
    WORD_MS,
    Reader,
    Smoother,
    Sound,
    levels_of,
)
from .script import TurnTaker

DAMAGE = "x"
"""The text of a stretch of sound that isn't a whole word."""

PEAK = 15_000
"""The loudest sample of a word, unless another is asked for."""

_QUIET_MS = 6
"""This much silence ends a stretch."""

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class MarkedLayout:
    """Where words are: `gap_ms` apart within a turn, `turn_gap_ms` between turns.

    A turn ends by itself if `gap_ms` is less and `turn_gap_ms` more than the
    `min_turn_silence` in force. Neither is below 10 ms. The first word comes after
    `lead_ms`.
    """

    words_per_turn: int = 5
    gap_ms: int = 40
    turn_gap_ms: int = 1000
    lead_ms: int = 100

    def start_ms(self, number: int, first: int = 0) -> int:
        """Where word `number` starts in audio that begins with word `first`."""
        return self.lead_ms + self._place(number) - self._place(first)

    def _place(self, number: int) -> int:
        turns = number // self.words_per_turn
        return number * (WORD_MS + self.gap_ms) + turns * (
            self.turn_gap_ms - self.gap_ms
        )


_LAYOUT = MarkedLayout()


def marked_audio(
    count: int,
    *,
    sample_rate: int = 16_000,
    first: int = 0,
    layout: MarkedLayout = _LAYOUT,
    peak: int = PEAK,
    noise_rms: float = 0,
) -> Samples:
    """Mono PCM16 of `count` words, numbered from `first`, and a last turn's gap.

    `peak` is the loudest sample of a word. Beneath all lies white noise of `noise_rms`,
    the same each time; words are read as long as that is below a fifth of `peak`, or a
    tenth at 8 kHz.
    """
    if not 0 <= first <= first + count <= MOST_WORDS:
        raise ValueError(f"words are numbered from 0 to {MOST_WORDS - 1}")
    times = [0.0]
    levels = [0.0]
    end_ms = layout.lead_ms
    for number in range(first, first + count):
        start_ms = layout.start_ms(number, first)
        level = 0
        for place, next_level in enumerate((*levels_of(number), 0)):
            edge_ms = start_ms + place * LEVEL_MS
            times += (edge_ms, edge_ms + RAMP_MS)
            levels += (level * peak / LOUDEST, next_level * peak / LOUDEST)
            level = next_level
        end_ms = start_ms + WORD_MS
    samples = (end_ms + layout.turn_gap_ms) * sample_rate // 1000
    at_ms = np.arange(samples) * (1000 / sample_rate)
    sound = np.interp(at_ms, times, levels)
    if noise_rms:
        sound += np.random.default_rng(1).normal(0, noise_rms, samples)
    audio: Samples = np.round(sound).clip(-32768, 32767).astype(np.int16)
    return audio


def check_marked(
    words: Iterable[tuple[str, int]],
    *,
    first: int = 0,
    count: int | None = None,
    layout: MarkedLayout = _LAYOUT,
    offset_ms: int = 0,
    tolerance_ms: int = 2,
) -> list[str]:
    """What is wrong with `words`, (text, start in ms) pairs in order; nothing if [].

    They should be the words from `first` on, `count` of them if it is given, where
    `layout` puts them plus `offset_ms`. Capitals and punctuation don't matter.
    """
    problems = []
    expected, shift = first, offset_ms
    for text, start_ms in words:
        name = text.lower().strip(".,?!")
        if not (name.startswith("w") and name[1:].isdecimal()):
            problems.append(f"{name!r} at {start_ms} ms, w{expected:04d} expected")
            continue
        number = int(name[1:])
        if number != expected:
            problems.append(f"{name} at {start_ms} ms, w{expected:04d} expected")
        moved = start_ms - layout.start_ms(number, first) - shift
        if abs(moved) > tolerance_ms:
            problems.append(f"{moved:+} ms of audio before {name} at {start_ms} ms")
            shift += moved
        expected = number + 1
    if count is not None and expected != first + count:
        problems.append(f"the last word is w{expected - 1:04d} of {count}")
    return problems


class MarkedEngine:
    """Hears `marked_audio` at any sample rate, from any sample on.

    `peak` is how loud that is; with `noisy` it is heard in noise, and less sharply.
    """

    def __init__(
        self,
        *,
        capacity: int = 10_000,
        peak: int = PEAK,
        noisy: bool = False,
    ) -> None:
        self.capacity = capacity
        self._peak = peak
        self._hearing = NOISY if noisy else CLEAN

    async def start(self) -> None:
        """Nothing to load."""

    def open(self, sample_rate: int, settings: TurnSettings, tell: Tell) -> Recognizer:
        """A recogniser; what it tells doesn't depend on how the audio is cut up."""
        smoother = Smoother(1 + round(self._hearing.smooth_ms * sample_rate / 1000))
        return _MarkedRecognizer(
            sample_rate,
            smoother,
            Reader(sample_rate, self._peak, self._hearing),
            TurnTaker(settings, tell),
        )

    async def aclose(self) -> None:
        """Nothing to stop."""


class _MarkedRecognizer:
    def __init__(
        self, sample_rate: int, smoother: Smoother, reader: Reader, turns: TurnTaker
    ) -> None:
        self._rate = sample_rate
        self._smoother = smoother
        self._reader = reader
        self._turns = turns
        self._quiet = sample_rate * _QUIET_MS // 1000
        self._longest = 2 * sample_rate * WORD_MS // 1000
        self._heard = 0
        # The open stretch, in samples: its first loud one, the one after its last, and
        # the messages since its start. None: there is silence.
        self._start: int | None = None
        self._end = 0
        self._pieces: list[Sound] = []

    async def hear(self, pcm: bytes) -> None:
        samples = self._smoother.feed(np.frombuffer(pcm, np.int16))
        base = self._heard
        if self._start is not None and base - self._start < self._longest:
            self._pieces.append(samples)
        loud = np.flatnonzero(np.abs(samples) > self._reader.quiet)
        if loud.size:
            pauses = np.flatnonzero(np.diff(loud) > self._quiet)
            starts = [int(loud[0]), *loud[pauses + 1].tolist()]
            ends = [*loud[pauses].tolist(), int(loud[-1])]
            for start, end in zip(starts, ends, strict=True):
                self._silence_until(base + start)
                if self._start is None:
                    self._start = base + start
                    self._pieces = [samples[start:]]
                self._end = base + end + 1
        self._heard = base + len(samples)
        self._silence_until(self._heard)

    def configure(self, settings: TurnSettings) -> None:
        self._turns.settings = settings

    def force_endpoint(self) -> None:
        self._turns.end(self._ms(self._heard))

    def finish(self) -> None:
        self._close_stretch(self._heard)
        self._turns.end(self._ms(self._heard))
        self._turns.tell(Finished())

    def close(self) -> None:
        self._pieces.clear()

    def _ms(self, sample: float) -> int:
        return round(sample * 1000 / self._rate)

    def _silence_until(self, sample: int) -> None:
        """Nothing loud has come between the open stretch and `sample`."""
        if self._start is not None and sample - self._end > self._quiet:
            self._close_stretch(self._end + self._quiet)
        if self._start is None:
            self._turns.quiet(self._ms(sample))

    def _close_stretch(self, heard: int) -> None:
        """Tell what the open stretch is, if any, having heard up to sample `heard`."""
        start, self._start = self._start, None
        if start is None or self._end - start < self._reader.click:
            return
        sound = np.concatenate(self._pieces)[: self._end - start]
        word = self._word(start, self._end, self._reader.read(sound))
        self._turns.speech(word.start_ms)
        self._turns.said(word, word.end_ms, finished=True, heard_ms=self._ms(heard))

    def _word(self, start: int, end: int, found: tuple[int, float] | None) -> HeardWord:
        if found is None:
            return HeardWord(DAMAGE, self._ms(start), self._ms(end), 0.0)
        number, offset = found
        start_ms = self._ms(start + offset)
        return HeardWord(f"w{number:04d}", start_ms, start_ms + WORD_MS, 1.0)
