"""When each sample of a stream was pushed, and where a moment lies on its axis."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from ..recorder.format import Entries, Pushed

PAUSE_SECONDS = 1.0
"""Where so long nothing is pushed, that is told."""
_JITTER_MS = 20
"""By which pushes may be early or late before the page is told of it."""


@dataclass(frozen=True)
class Instant:
    """A moment.

    Attributes:
        unix: in unix seconds.
        ms: in stream time: how much audio had been pushed by then. Before the first
            push and after the last one time goes on by the clock, so it is negative
            before the audio, and beyond its end after it.
    """

    unix: float
    ms: float


@dataclass(frozen=True)
class Pause:
    """Nothing was pushed for `seconds`, from `at` on."""

    at: Instant
    seconds: float


class Clock:
    """Knows the pushes of a call that began at `began`, in unix seconds.

    Attributes:
        rate: of the audio, in Hz.
        samples: how many were pushed.
        end_ms: how much audio that is.
    """

    def __init__(self, entries: Iterable[Entries], rate: int, began: float) -> None:
        pushes = [
            (entry.unix + us / 1e6, upto)
            for entry in entries
            if isinstance(entry, Pushed)
            for upto, us in entry.pushes
        ]
        self.rate = rate
        self._times = [at for at, _ in pushes]
        self._upto = [upto for _, upto in pushes]
        self.samples = self._upto[-1] if pushes else 0
        self.end_ms = self.ms(self.samples)
        self._first = self._times[0] if pushes else began
        self._last = self._times[-1] if pushes else began

    def ms(self, sample: float) -> float:
        """The stream time of a sample."""
        return 1000 * sample / self.rate

    def at(self, unix: float) -> Instant:
        """The moment `unix`."""
        if unix <= self._first:
            return Instant(unix, 1000 * (unix - self._first))
        if unix >= self._last:
            return Instant(unix, self.end_ms + 1000 * (unix - self._last))
        after = bisect_right(self._times, unix)
        began, ended = self._times[after - 1 : after + 1]
        first, last = self._upto[after - 1 : after + 1]
        part = (unix - began) / (ended - began)
        return Instant(unix, self.ms(first + part * (last - first)))

    def pushed_at(self, sample: float) -> float | None:
        """When all before `sample` had been pushed, or the last of the audio if it
        isn't that long; None if nothing was."""
        if not self._times:
            return None
        return self._times[bisect_left(self._upto, min(sample, self.samples))]

    def pushed_by(self, unix: float) -> int:
        """How many samples had been pushed by then."""
        count = bisect_right(self._times, unix)
        return self._upto[count - 1] if count else 0

    def pauses(self) -> list[Pause]:
        """Where nothing was pushed for long."""
        found = []
        for before, after in pairwise(range(len(self._times))):
            seconds = self._times[after] - self._times[before]
            audio = (self._upto[after] - self._upto[before]) / self.rate
            if seconds - audio > PAUSE_SECONDS:
                found.append(Pause(self._push(before), seconds))
        return found

    def pace(self) -> list[Instant]:
        """As few pushes as tell within 20 ms when the others were; the first and the
        last are among them."""
        if not self._times:
            return [Instant(self._first, 0.0)]
        late = [
            1000 * at - self.ms(upto)
            for at, upto in zip(self._times, self._upto, strict=True)
        ]
        kept, last = [0], len(late) - 1
        for i in range(1, last):
            if abs(late[i] - late[kept[-1]]) > _JITTER_MS:
                # The one before as well: else the step would become a slope.
                kept += [i - 1, i] if kept[-1] < i - 1 else [i]
        kept += [last] if last else []
        return [self._push(i) for i in kept]

    def _push(self, index: int) -> Instant:
        return Instant(self._times[index], self.ms(self._upto[index]))
