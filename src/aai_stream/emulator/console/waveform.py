"""Audio as a page draws it: the lowest and the highest sample of every 50 ms."""

from __future__ import annotations

from collections import deque

import numpy as np

BUCKET_MS = 50
LONGEST_MS = 600_000
"""How much of a waveform is kept."""


class Waveform:
    """The waveform of mono PCM16 at `rate`, which comes in pieces of any length.

    Each bucket is a (lowest, highest) pair, from -128 to 127.
    """

    def __init__(self, rate: int) -> None:
        self.count = 0
        """How many buckets there have been."""
        self._size = max(1, rate * BUCKET_MS // 1000)
        self._rest = b""
        self._kept = deque[tuple[int, int]](maxlen=LONGEST_MS // BUCKET_MS)

    def add(self, pcm: bytes) -> None:
        """The audio goes on with `pcm`."""
        pcm = self._rest + pcm if self._rest else pcm
        whole = len(pcm) // (2 * self._size)
        self._rest = pcm[2 * self._size * whole :]
        if whole:
            samples = np.frombuffer(pcm, np.int16, whole * self._size)
            buckets = samples.reshape(whole, self._size)
            lows, highs = buckets.min(axis=1) >> 8, buckets.max(axis=1) >> 8
            self._kept.extend(zip(lows.tolist(), highs.tolist(), strict=True))
            self.count += whole

    def since(self, first: int) -> tuple[int, list[int]]:
        """What has come from bucket `first` on, as far as it is kept.

        Gives the number of the first bucket, and lowest and highest by turns.
        """
        first = max(first, self.count - len(self._kept))
        # From the right: that is where what is new lies.
        new = [self._kept[i] for i in range(first - self.count, 0)]
        return first, [value for pair in new for value in pair]
