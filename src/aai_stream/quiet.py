"""Which audio may be let go of, or left out, because nobody speaks in it.

Final turns cover speech. Without them, in a long silence, the ring would fill with
audio that a new session had to be sent before it hears anything new.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core import AudioRing, Chunk

QUIET_PEAK = 200
"""A chunk without a louder sample, of 32768, holds no speech: -44 dB."""

AFTERSOUND_SECONDS = 0.3
"""Sound this long after a final's last word is that word's."""

SETTLED_SECONDS = 5.0
"""The server, since heard from, has had this long to say that somebody speaks."""

KEPT_SECONDS = 2.0
"""This much silence is kept in any case, before what has settled; and is sent in any
case, behind a sound, since it ends turns."""

AHEAD_SECONDS = 1.0
"""What is sent is no further ahead of real time than this, to be heard by then: audio
that had to wait is worked through no faster than it was spoken, for all we know."""

LEAD_SECONDS = 0.5
"""This much silence is sent before a sound: words begin softly."""


class QuietWatch:
    """Watches the chunks that are sent."""

    def __init__(
        self, sample_rate: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = sample_rate
        self._clock = clock
        self._loud_end = 0
        self._sound_end = -math.inf  # of what this session was sent
        # When, and how far sent; the ring keeps no more than ten minutes.
        self._marks: deque[tuple[float, int]] = deque(maxlen=600)
        self._settled = 0
        self._begun: tuple[float, int] | None = None  # when, and with which sample

    def restart(self) -> None:
        """Audio is sent anew: what was sent has not settled."""
        self._sound_end = -math.inf
        self._marks.clear()
        self._settled = 0
        self._begun = None

    def sent(self, chunk: Chunk) -> bool:
        """A chunk was sent; returns whether it is time to ask `heard_until`."""
        end = chunk.start + chunk.samples
        if chunk.peak > QUIET_PEAK:
            self._sound_end = end
            self._loud_end = max(self._loud_end, end)
        marks = self._marks
        if self._begun is None:
            self._begun = self._clock(), chunk.start
        if marks and end - marks[-1][1] < self._rate:
            return False
        marks.append((self._clock(), end))
        return True

    def heard_until(self, silent_seconds: float) -> int:
        """How far the server has surely heard, and had time to say what.

        It was last heard from `silent_seconds` ago; a dead one says nothing of what it
        was sent since.
        """
        before = self._clock() - silent_seconds - SETTLED_SECONDS
        while self._marks and self._marks[0][0] <= before:
            settled = self._marks.popleft()[1] - int(KEPT_SECONDS * self._rate)
            self._settled = max(self._settled, settled)
        if self._begun is None:
            return 0
        begun_at, start = self._begun
        live = before - begun_at + AHEAD_SECONDS - KEPT_SECONDS
        return max(0, min(self._settled, start + int(live * self._rate)))

    def is_silent_since(self, covered: int) -> bool:
        """Whether there was no sound behind `covered`, a final turn's last sample."""
        return self._loud_end <= covered + AFTERSOUND_SECONDS * self._rate

    def pass_over_silence(self, ring: AudioRing) -> None:
        """Move the cursor over what waits in `ring`, as far as nobody misses it."""
        start = end = ring.sent
        if start < self._sound_end + KEPT_SECONDS * self._rate:
            return
        while (chunk := ring.next_chunk()) is not None and chunk.peak <= QUIET_PEAK:
            end += chunk.samples
        lead = int(LEAD_SECONDS * self._rate)
        ring.rewind(end - lead if end - start > 2 * lead else start)
