"""How far a session has surely heard what it was sent, and had time to say what."""

from __future__ import annotations

import math
from collections import deque

SETTLED_SECONDS = 5.0
"""The server, since heard from, has had this long to say that somebody speaks."""

MARGIN_SECONDS = 2.0
"""This much before what has settled is taken as not heard yet in any case."""


class Hearing:
    """Remembers what one session was sent, and when that was worked through.

    It begins at the sample `start`. A server works through audio no faster than it was
    spoken, for all we know.

    Attributes:
        due: the sample up to which it may be sent before `sent` is to be called.
    """

    def __init__(self, sample_rate: int, start: int) -> None:
        self._rate = sample_rate
        # When worked through, and how far, by the second of audio; the ring keeps no
        # more than ten minutes.
        self._marks: deque[tuple[float, int]] = deque(maxlen=600)
        self._through_at = -math.inf  # what was marked is worked through
        self._marked = start
        self._settled = 0
        self.due = start + 1

    def sent(self, end: int, now: float) -> bool:
        """Audio up to `end` was sent; returns whether it is time to ask."""
        if end < self.due:
            return False
        if self._through_at == -math.inf:
            self._through_at = now
        through_at = self._through_at + (end - self._marked) / self._rate
        self._through_at = max(now, through_at)
        self._marked = end
        self.due = end + self._rate
        self._marks.append((self._through_at, end))
        return True

    def skipped(self, samples: int) -> None:
        """So much behind what was sent is left out: it takes nobody any time."""
        self._marked += samples
        self.due += samples

    def heard_until(self, heard_at: float) -> int:
        """How far the server, last heard from at `heard_at`, has surely heard, and had
        time to say what. A dead one says nothing of what it was sent since."""
        before = heard_at - SETTLED_SECONDS
        while self._marks and self._marks[0][0] <= before:
            settled = self._marks.popleft()[1] - int(MARGIN_SECONDS * self._rate)
            self._settled = max(self._settled, settled)
        return self._settled
