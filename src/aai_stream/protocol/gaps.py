"""Gaps: audio that nobody will transcribe, told to the caller by its samples."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from ..messages import AudioLost, SilenceSkipped
from .events import Level, Note, Told

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableSequence

    from .._core import AudioRing

NOT_SENT = "it could not be sent in time"
TOO_LONG_AGO = "it was too long ago to be sent again"

MOST_STRETCHES = 10_000
"""So many are remembered while no final turn comes to cover them."""

LOG_SECONDS = 10
"""Losses within this much audio are one incident in the log."""


class Gaps:
    """Watches what the ring had to let go of before it was sent; `told` gets it.

    Each unbroken stretch is told when audio gets through again, or by `over`.

    Attributes:
        covered: no audio before this sample is needed any more.
    """

    def __init__(self, ring: AudioRing, told: MutableSequence[Told]) -> None:
        self.covered = 0
        self._ring = ring
        self._told = told
        self._seen = 0  # of the ring's count of dropped samples
        self._stretch: tuple[int, int] | None = None
        self._behind: deque[tuple[int, int]] = deque()  # told, behind what is covered
        self._logged_at = -math.inf

    def look(self) -> None:
        """Call after each write, and before the ring's cursors are relied on: other
        streams of the process may have needed its memory meanwhile."""
        ring = self._ring
        ring.settle()
        count = ring.dropped_samples - self._seen
        if self._stretch is not None and ring.sent - count > self._stretch[1]:
            self._end_stretch()  # audio got through
        if count:
            self._seen += count
            start = ring.sent - count if self._stretch is None else self._stretch[0]
            self._stretch = start, ring.sent
            self._log()

    def cover(self, sample: int) -> None:
        """What lies before `sample`, which was sent, is needed no more."""
        if sample > self.covered:
            self._ring.ack(sample)
            self.covered = sample
            while self._behind and self._behind[0][1] <= sample:
                self._behind.popleft()

    def forgotten(self) -> None:
        """Tell what was lost so far, and what was sent, is not covered and can't be
        sent again: the session that heard it is lost."""
        self.over()
        for start, end in self._holes():
            self.report(start, end, TOO_LONG_AGO)
        self.cover(self._ring.acked)

    @property
    def has_hole(self) -> bool:
        """Whether such audio is what the present session alone has heard."""
        return any(self._holes())

    def _holes(self) -> Iterator[tuple[int, int]]:
        position, acked = self.covered, self._ring.acked
        for start, end in [*self._behind, (acked, acked)]:
            if start > position:
                yield position, start
            position = max(position, end)

    def failed(self) -> None:
        """Tell all that is not covered: no session will hear it any more."""
        self.forgotten()
        self.report(self._ring.acked, self._ring.written, "the stream failed")

    def over(self) -> None:
        """Tell what was lost so far."""
        self.look()
        self._end_stretch()

    def _end_stretch(self) -> None:
        if self._stretch is None:
            return
        self.report(*self._stretch, NOT_SENT)
        self._behind.append(self._stretch)
        self._stretch = None
        if len(self._behind) > MOST_STRETCHES:
            # The oldest two become one: what was sent between them is given up.
            (start, lost), (found, end) = self._behind.popleft(), self._behind.popleft()
            self._behind.appendleft((start, end))
            self.report(lost, found, TOO_LONG_AGO)

    def report(self, start: int, end: int, why: str) -> None:
        """Tell that the samples from `start` up to `end` are lost, if they are any."""
        if start < end:
            self._told.append(AudioLost(**self._span(start, end), why=why))

    def skipped(self, start: int, end: int) -> None:
        """Likewise, of silence that is not sent."""
        if start < end:
            self._told.append(SilenceSkipped(**self._span(start, end)))

    def _span(self, start: int, end: int) -> dict[str, Any]:
        rate = self._ring.sample_rate
        return {
            "start_sample": start,
            "end_sample": end,
            "start_ms": start * 1000 // rate,
            "end_ms": end * 1000 // rate,
        }

    def _log(self) -> None:
        now, rate = self._ring.written, self._ring.sample_rate
        if now - self._logged_at > LOG_SECONDS * rate:
            kept = (now - self._ring.acked) / rate
            text = f"audio is being lost: {kept:.1f} s of it wait to be sent"
            self._told.append(Note(Level.WARNING, text))
        self._logged_at = now
