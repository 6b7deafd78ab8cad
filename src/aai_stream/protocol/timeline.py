"""From a session's time to the stream's."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._core import Chunk


class Timeline:
    """Where in the stream each ms of a session's audio lies.

    The server counts every sample it is sent; the stream counts the caller's. They
    differ where a session begins late in the stream, where padding was sent, and where
    audio was left out. Each such place is a mark.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._expected = 0  # the stream's sample that follows the last one sent
        self._starts: list[int] = [0]  # session ms of each mark
        self._offsets: list[int] = [0]  # ms from session to stream behind each mark
        self.samples = 0
        """How many samples the server was sent, padding included."""

    @property
    def is_stream_time(self) -> bool:
        """Whether session time and stream time have been the same so far."""
        return len(self._starts) == 1 and self._offsets[0] == 0

    @property
    def sent_ms(self) -> int:
        """How much audio the server was sent."""
        return self.samples * 1000 // self._rate

    def sent(self, chunk: Chunk) -> None:
        """Account for a chunk that is about to be sent."""
        if chunk.start != self._expected:
            self._mark(chunk.start)
        self.samples += chunk.samples + chunk.padding
        self._expected = chunk.start + chunk.samples
        if chunk.padding:
            self._mark(self._expected)

    def _mark(self, stream_sample: int) -> None:
        here = self.sent_ms
        offset = (stream_sample - self.samples) * 1000 // self._rate
        if self._starts[-1] == here:
            self._offsets[-1] = offset
        else:
            self._starts.append(here)
            self._offsets.append(offset)

    def to_stream_ms(self, ms: int) -> int:
        """Stream time of the session's `ms`. Padding has the time of its start."""
        return self._moved(ms, bisect_right(self._starts, ms, 1))

    def end_to_stream_ms(self, ms: int) -> int:
        """Likewise for where something ends: at a mark that is before it."""
        return self._moved(ms, bisect_left(self._starts, ms, 1))

    def _moved(self, ms: int, following: int) -> int:
        """As behind the mark before the `following` one, but not past that."""
        moved = ms + self._offsets[following - 1]
        if following < len(self._starts):
            return min(moved, self._starts[following] + self._offsets[following])
        return moved
