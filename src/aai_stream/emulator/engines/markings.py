"""How a number is written into the samples of a word, and read back.

A word is eleven levels of 20 ms: two to find it (up, down), six octal digits of its
number and three of a checksum. Levels are read relative to the first, far from their
edges, so they survive resampling, mixing down and mu-law; edges are located between
samples, so a word that is 1 ms too long or too short is damaged. In noise, samples are
smoothed before they are read, and what is 3 ms too long or too short is damaged.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL_MS = 20
RAMP_MS = 2
_LEVELS = 11
WORD_MS = _LEVELS * LEVEL_MS
_FOUND = (5, -5)
"""The first two levels, in units; digits have levels -4 to 4 but never 0."""
LOUDEST = _FOUND[0]
MOST_WORDS = 8**6

Sound = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Hearing:
    """How words are told from silence and noise: times in ms, levels in units."""

    smooth_ms: float
    """Samples are the mean of so much before them."""
    quiet: float
    """The loudest silence."""
    edge_ms: float
    """How far an edge may be from its place."""
    off_level: float
    """How far a sample may be from its level."""
    click_ms: float
    """Sound that is shorter is no speech."""

    @property
    def ramp_ms(self) -> float:
        """How long it takes from one level to the next."""
        return RAMP_MS + self.smooth_ms


CLEAN = Hearing(smooth_ms=0, quiet=0.2, edge_ms=0.75, off_level=0.3, click_ms=4)
NOISY = Hearing(smooth_ms=5, quiet=0.5, edge_ms=3, off_level=0.6, click_ms=9)


class Smoother:
    """Running means of `size` samples, the same however these are cut up."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._before = np.zeros(size - 1, np.int64)

    def feed(self, samples: npt.NDArray[np.int16]) -> Sound:
        """As many means as there are samples, each of those up to that one."""
        known = np.concatenate([self._before, samples])
        self._before = known[len(samples) :]
        sums = np.cumsum(np.concatenate([[0], known]))
        means: Sound = (sums[self._size :] - sums[: -self._size]) / self._size
        return means


class Reader:
    """Reads one stretch of sound, in which the loudest level is about `peak`."""

    def __init__(self, sample_rate: int, peak: float, hearing: Hearing) -> None:
        self.quiet = hearing.quiet * peak / LOUDEST
        self.click = hearing.click_ms * sample_rate / 1000
        self._hearing = hearing
        self._per_ms = sample_rate / 1000
        ramp, edge = hearing.ramp_ms, CLEAN.edge_ms
        first = (ramp + edge) * self._per_ms
        length = (LEVEL_MS - ramp - 2 * edge) * self._per_ms
        starts = np.arange(_LEVELS) * LEVEL_MS * self._per_ms + first
        self._flat = np.ceil(starts).astype(int)[:, None] + np.arange(int(length))
        self._sync = slice(int(first), int(first + length))

    def read(self, x: Sound) -> tuple[int, float] | None:
        """The number of the word that `x` is, and where in it the word starts.

        The latter in samples, a little before the first. None if it isn't a word.
        """
        hearing, half_ramp_ms = self._hearing, self._hearing.ramp_ms / 2
        sync = x[self._sync]
        unit = float(sync.mean()) / LOUDEST if sync.size else 0.0
        if unit * LOUDEST / 2 <= self.quiet:
            return None
        up = int(np.argmax(x >= unit * LOUDEST / 2))
        if up == 0:
            return None  # it begins in the middle
        start = _crossing(x, up, unit * LOUDEST / 2) - half_ramp_ms * self._per_ms
        places = self._flat + round(start)
        if places[0, 0] < 0 or places[-1, -1] >= len(x):
            return None
        flat = x[places] / unit
        levels = np.round(flat.mean(axis=1))
        if np.abs(flat - levels[:, None]).max() > hearing.off_level:
            return None
        half = abs(levels[-1]) * unit / 2
        down = len(x) - int(np.argmax(np.abs(x[::-1]) >= half))
        end = _crossing(np.abs(np.append(x, 0.0)), down, half)
        length_ms = (end - start) / self._per_ms - half_ramp_ms
        if abs(length_ms - WORD_MS) > hearing.edge_ms:
            return None
        number = _number(levels)
        return None if number is None else (number, start)


def levels_of(number: int) -> list[int]:
    """The levels of word `number`, in units."""
    code = number << 9 | _checksum(number)
    digits = [code >> shift & 7 for shift in range(24, -1, -3)]
    return [*_FOUND, *(digit - 4 if digit < 4 else digit - 3 for digit in digits)]


def _crossing(x: Sound, after: int, level: float) -> float:
    """Where `x` crosses `level` between the samples `after` - 1 and `after`."""
    before = float(x[after - 1])
    return after - 1 + (level - before) / (float(x[after]) - before)


def _number(levels: Sound) -> int | None:
    """The number of the word with these `levels`, if they are one's."""
    if tuple(levels[:2]) != _FOUND or levels[2:].min() < -4 or levels[2:].max() > 4:
        return None
    code = 0
    for level in levels[2:]:
        code = code << 3 | int(level + 4 if level < 0 else level + 3)
    number = code >> 9
    return number if list(levels) == levels_of(number) else None


def _checksum(number: int) -> int:
    return zlib.crc32(number.to_bytes(4, "big")) & 0x1FF
