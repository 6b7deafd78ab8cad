"""Whether a session goes on where another one was cut, by the audio alone.

A client that lost a session sends again what was not final, sample for sample. Sound
from a microphone never repeats itself exactly, so one stretch that is found in exactly
one earlier session says where the new one begins. Silence says nothing.
"""

from __future__ import annotations

import numpy as np

PROBE_MS = 100
"""How much sound must be the same, sample for sample."""
KEPT_MS = 60_000
"""How much of the end of a session's audio is kept: the longest turn."""
SEARCH_MS = 10_000
"""The sound must come within so much audio of the new session."""
MOST_PROBES = 10
_LEAST_VALUES = 50
"""A stretch of fewer different values of samples is no evidence: silence, a tone."""


class Recording:
    """The last `KEPT_MS` of mono PCM16 at `rate`."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._pcm = bytearray()
        self._dropped = 0  # bytes before those that are kept
        self._most = 2 * rate * KEPT_MS // 1000

    def add(self, pcm: bytes) -> None:
        """The audio goes on with `pcm`."""
        self._pcm += pcm
        excess = len(self._pcm) - self._most
        if excess > self._most // 4:  # not with every message: that would copy it all
            del self._pcm[:excess]
            self._dropped += excess

    def places(self, pcm: bytes) -> list[int]:
        """Where `pcm` lies in it, in samples; two places at most."""
        found: list[int] = []
        at = self._pcm.find(pcm)
        while at >= 0 and len(found) < 2:
            if at % 2 == 0:
                found.append((self._dropped + at) // 2)
            at = self._pcm.find(pcm, at + 1)
        return found


class Matcher:
    """Looks for the first sound of a new session, at `rate`, in others."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pcm = bytearray()
        self._next = 0  # where the next probe begins, in samples
        self._left = MOST_PROBES

    def add(self, pcm: bytes) -> None:
        """The new session's audio goes on with `pcm`."""
        self._pcm += pcm

    @property
    def over(self) -> bool:
        """Whether so much audio has come that it can't be told any more."""
        return not self._left or self._next * 1000 > SEARCH_MS * self._rate

    def probe(self) -> tuple[int, bytes] | None:
        """The next stretch of sound and where it begins, in samples; None before it."""
        length = self._rate * PROBE_MS // 1000
        while (self._next + length) * 2 <= len(self._pcm) and not self.over:
            at = self._next
            self._next += length
            pcm = bytes(self._pcm[2 * at : 2 * (at + length)])
            if len(np.unique(np.frombuffer(pcm, np.int16))) >= _LEAST_VALUES:
                self._left -= 1
                return at, pcm
        return None
