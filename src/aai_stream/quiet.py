"""Which audio may be let go of because nobody speaks in it.

Final turns cover speech. Without them, in a long silence, the ring would fill with
audio that a new session had to be sent before it hears anything new.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core import Chunk

QUIET_PEAK = 200
"""A chunk without a louder sample, of 32768, holds no speech: -44 dB."""

AFTERSOUND_SECONDS = 0.3
"""Sound this long after a final's last word is that word's."""

SETTLED_SECONDS = 5.0
"""The server has had at least this long to say that somebody speaks."""

KEPT_SECONDS = 2.0
"""This much is kept in any case, before what has settled."""


class QuietWatch:
    """Watches the chunks that are sent."""

    def __init__(
        self, sample_rate: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = sample_rate
        self._clock = clock
        self._loud_end = 0
        self._marks: deque[tuple[float, int]] = deque()  # when, and how far sent

    def restart(self) -> None:
        """Audio is sent anew: what was sent has not settled."""
        self._marks.clear()

    def sent(self, chunk: Chunk) -> bool:
        """A chunk was sent; returns whether it is time to ask `silent_until`."""
        end = chunk.start + chunk.samples
        if chunk.peak > QUIET_PEAK:
            self._loud_end = max(self._loud_end, end)
        marks = self._marks
        if marks and end - marks[-1][1] < self._rate:
            return False
        marks.append((self._clock(), end))
        return True

    def silent_until(self, covered: int) -> int:
        """How far nobody speaks behind `covered`, a final turn's last sample.

        To be asked while no turn is open.
        """
        if self._loud_end > covered + AFTERSOUND_SECONDS * self._rate:
            return covered
        settled = covered
        before = self._clock() - SETTLED_SECONDS
        while self._marks and self._marks[0][0] <= before:
            settled = self._marks.popleft()[1] - int(KEPT_SECONDS * self._rate)
        return max(covered, settled)
