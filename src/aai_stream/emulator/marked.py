"""Audio whose samples say who they are, and an engine that reads them back.

`marked_audio` makes numbered words, one stretch of samples each; `MarkedEngine` hears
word 42 as "w0042" with its place to the millisecond, and anything that isn't a whole
word as `DAMAGE`. `check_marked` then tells what was lost, doubled or moved, in words
and in the gaps between them. It proves that a client sends every sample once.

A word is eleven levels of 20 ms: two to find it (up, down), six octal digits of its
number and three of a checksum. Levels are read relative to the first, far from their
edges, so they survive resampling, mixing down and mu-law; edges are located between
samples, so a word that is 1 ms too long or too short is damaged.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .engine import Finished, HeardWord, Recognizer, TurnSettings
from .script import Tell, TurnTaker

DAMAGE = "x"
"""The text of a stretch of sound that isn't a whole word."""

_LEVELS = 11
_LEVEL_MS = 20
_RAMP_MS = 2
_WORD_MS = _LEVELS * _LEVEL_MS
_UNIT = 3000
_FOUND = (5, -5)
"""The first two levels, in units; digits have levels -4 to 4 but never 0."""
_QUIET = 600
"""Samples up to this are silence."""
_QUIET_MS = 15
"""This much silence ends a stretch."""
_EDGE_MS = 0.75
"""How far an edge may be from its place."""
_OFF_LEVEL = 0.3
"""How far a sample may be from its level, in units."""

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class MarkedLayout:
    """Where words are: `gap_ms` apart within a turn, `turn_gap_ms` between turns.

    A turn ends by itself if `gap_ms` is less and `turn_gap_ms` more than the
    `min_turn_silence` in force. The first word comes after `lead_ms`.
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
        return number * (_WORD_MS + self.gap_ms) + turns * (
            self.turn_gap_ms - self.gap_ms
        )


_LAYOUT = MarkedLayout()


def marked_audio(
    count: int,
    *,
    sample_rate: int = 16_000,
    first: int = 0,
    layout: MarkedLayout = _LAYOUT,
) -> Samples:
    """Mono PCM16 of `count` words, numbered from `first`, and a last turn's gap."""
    if not 0 <= first <= first + count <= 8**6:
        raise ValueError(f"words are numbered from 0 to {8**6 - 1}")
    times = [0.0]
    levels = [0.0]
    end_ms = layout.lead_ms
    for number in range(first, first + count):
        start_ms = layout.start_ms(number, first)
        level = 0
        for place, next_level in enumerate((*_levels(number), 0)):
            edge_ms = start_ms + place * _LEVEL_MS
            times += (edge_ms, edge_ms + _RAMP_MS)
            levels += (level * _UNIT, next_level * _UNIT)
            level = next_level
        end_ms = start_ms + _WORD_MS
    samples = (end_ms + layout.turn_gap_ms) * sample_rate // 1000
    at_ms = np.arange(samples) * (1000 / sample_rate)
    audio: Samples = np.round(np.interp(at_ms, times, levels)).astype(np.int16)
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
    """Hears `marked_audio` at any sample rate, from any sample on."""

    def __init__(self, *, capacity: int = 10_000) -> None:
        self.capacity = capacity

    async def start(self) -> None:
        """Nothing to load."""

    def open(self, sample_rate: int, settings: TurnSettings, tell: Tell) -> Recognizer:
        """A recogniser; what it tells doesn't depend on how the audio is cut up."""
        return _MarkedRecognizer(sample_rate, TurnTaker(settings, tell))

    async def aclose(self) -> None:
        """Nothing to stop."""


class _MarkedRecognizer:
    def __init__(self, sample_rate: int, turns: TurnTaker) -> None:
        self._rate = sample_rate
        self._reader = _Reader(sample_rate)
        self._turns = turns
        self._quiet = sample_rate * _QUIET_MS // 1000
        self._longest = 2 * sample_rate * _WORD_MS // 1000
        self._heard = 0
        # The open stretch, in samples: its first loud one, the one after its last, and
        # the messages since its start. None: there is silence.
        self._start: int | None = None
        self._end = 0
        self._pieces: list[Samples] = []

    async def hear(self, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, np.int16)
        base = self._heard
        if self._start is not None and base - self._start < self._longest:
            self._pieces.append(samples)
        loud = np.flatnonzero((samples > _QUIET) | (samples < -_QUIET))
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
        if self._start is None:
            return
        sound = np.concatenate(self._pieces)[: self._end - self._start]
        word = self._word(self._start, self._end, self._reader.read(sound))
        self._start = None
        self._turns.speech(word.start_ms)
        self._turns.said(word, word.end_ms, finished=True, heard_ms=self._ms(heard))

    def _word(self, start: int, end: int, found: tuple[int, float] | None) -> HeardWord:
        if found is None:
            return HeardWord(DAMAGE, self._ms(start), self._ms(end), 0.0)
        number, offset = found
        start_ms = self._ms(start + offset)
        return HeardWord(f"w{number:04d}", start_ms, start_ms + _WORD_MS, 1.0)


class _Reader:
    """Reads one stretch of sound."""

    def __init__(self, sample_rate: int) -> None:
        self._per_ms = sample_rate / 1000
        first = (_RAMP_MS + _EDGE_MS) * self._per_ms
        length = (_LEVEL_MS - _RAMP_MS - 2 * _EDGE_MS) * self._per_ms
        starts = np.arange(_LEVELS) * _LEVEL_MS * self._per_ms + first
        self._flat = np.ceil(starts).astype(int)[:, None] + np.arange(int(length))
        self._sync = slice(int(first), int(first + length))

    def read(self, sound: Samples) -> tuple[int, float] | None:
        """The number of the word that `sound` is, and where in it the word starts.

        The latter in samples, a little before the first. None if it isn't a word.
        """
        x = sound.astype(np.float64)
        sync = x[self._sync]
        unit = float(sync.mean()) / _FOUND[0] if sync.size else 0.0
        if unit * _FOUND[0] / 2 <= _QUIET:
            return None
        up = int(np.argmax(x >= unit * _FOUND[0] / 2))
        if up == 0:
            return None  # it begins in the middle
        start = _crossing(x, up, unit * _FOUND[0] / 2) - _RAMP_MS / 2 * self._per_ms
        places = self._flat + round(start)
        if places[0, 0] < 0 or places[-1, -1] >= len(x):
            return None
        flat = x[places] / unit
        levels = np.round(flat.mean(axis=1))
        if np.abs(flat - levels[:, None]).max() > _OFF_LEVEL:
            return None
        half = abs(levels[-1]) * unit / 2
        down = len(x) - int(np.argmax(np.abs(x[::-1]) >= half))
        end = _crossing(np.abs(np.append(x, 0.0)), down, half)
        length_ms = (end - start) / self._per_ms - _RAMP_MS / 2
        if abs(length_ms - _WORD_MS) > _EDGE_MS:
            return None
        number = _number(levels)
        return None if number is None else (number, start)


def _crossing(x: npt.NDArray[np.float64], after: int, level: float) -> float:
    """Where `x` crosses `level` between the samples `after` - 1 and `after`."""
    before = float(x[after - 1])
    return after - 1 + (level - before) / (float(x[after]) - before)


def _levels(number: int) -> list[int]:
    """The levels of word `number`, in units."""
    code = number << 9 | _checksum(number)
    digits = [code >> shift & 7 for shift in range(24, -1, -3)]
    return [*_FOUND, *(digit - 4 if digit < 4 else digit - 3 for digit in digits)]


def _number(levels: npt.NDArray[np.float64]) -> int | None:
    """The number of the word with these `levels`, if they are one's."""
    if tuple(levels[:2]) != _FOUND or levels[2:].min() < -4 or levels[2:].max() > 4:
        return None
    code = 0
    for level in levels[2:]:
        code = code << 3 | int(level + 4 if level < 0 else level + 3)
    number = code >> 9
    return number if list(levels) == _levels(number) else None


def _checksum(number: int) -> int:
    return zlib.crc32(number.to_bytes(4, "big")) & 0x1FF
