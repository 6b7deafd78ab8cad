"""A waveform at several scales, for a page that draws what is visible."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FINEST_MS = 10
_FACTOR = 4
_COARSEST = 1000
"""A level of fewer buckets needs none above it."""


@dataclass(frozen=True)
class Level:
    """A waveform in buckets of `ms`. `peaks` is base64: of each the lowest and the
    highest sample, as signed bytes."""

    ms: int
    peaks: str


def peaks(audio: npt.NDArray[np.int16], rate: int) -> list[Level]:
    """The waveform of mono audio, finest level first, each four times as coarse as the
    one before."""
    # Bucket i is from the sample at i * 10 ms on, also where that is no whole number.
    count = -(-len(audio) * 1000 // (FINEST_MS * rate))
    starts = np.arange(count, dtype=np.int64) * (FINEST_MS * rate) // 1000
    if not count:
        return [Level(FINEST_MS, "")]
    lows = np.minimum.reduceat(audio, starts) >> 8
    highs = np.maximum.reduceat(audio, starts) >> 8
    ms, levels = FINEST_MS, [_level(FINEST_MS, lows, highs)]
    while len(lows) > _COARSEST:
        starts = np.arange(0, len(lows), _FACTOR)
        lows = np.minimum.reduceat(lows, starts)
        highs = np.maximum.reduceat(highs, starts)
        ms *= _FACTOR
        levels.append(_level(ms, lows, highs))
    return levels


def _level(ms: int, lows: npt.NDArray[np.int16], highs: npt.NDArray[np.int16]) -> Level:
    pairs = np.stack([lows, highs], axis=1).astype(np.int8)
    return Level(ms, base64.b64encode(pairs.tobytes()).decode())
