"""When each sample of a stream was pushed, and where a moment lies on its axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
        self._times: npt.NDArray[np.float64] = np.array(
            [at for at, _ in pushes], np.float64
        )
        self._upto: npt.NDArray[np.int64] = np.array(
            [upto for _, upto in pushes], np.int64
        )
        self.samples = int(self._upto[-1]) if pushes else 0
        self.end_ms = self.ms(self.samples)
        self._first = float(self._times[0]) if pushes else began
        self._last = float(self._times[-1]) if pushes else began

    def ms(self, sample: float) -> float:
        """The stream time of a sample."""
        return 1000 * sample / self.rate

    def at(self, unix: float) -> Instant:
        """The moment `unix`."""
        if unix <= self._first:
            return Instant(unix, 1000 * (unix - self._first))
        if unix >= self._last:
            return Instant(unix, self.end_ms + 1000 * (unix - self._last))
        return Instant(unix, self.ms(float(np.interp(unix, self._times, self._upto))))

    def pushed_at(self, sample: float) -> float | None:
        """When all before `sample` had been pushed, or the last of the audio if it
        isn't that long; None if nothing was."""
        if not len(self._times):
            return None
        index = int(np.searchsorted(self._upto, min(sample, self.samples)))
        return float(self._times[index])

    def pushed_by(self, unix: float) -> int:
        """How many samples had been pushed by then."""
        index = int(np.searchsorted(self._times, unix, side="right"))
        return int(self._upto[index - 1]) if index else 0

    def pauses(self) -> list[Pause]:
        """Where nothing was pushed for long."""
        gaps = np.diff(self._times) - np.diff(self._upto) / self.rate
        return [
            Pause(
                Instant(float(self._times[i]), self.ms(float(self._upto[i]))),
                float(self._times[i + 1] - self._times[i]),
            )
            for i in np.flatnonzero(gaps > PAUSE_SECONDS)
        ]

    def pace(self) -> list[Instant]:
        """As few pushes as tell within 20 ms when the others were; the first and the
        last are among them."""
        if not len(self._times):
            return [Instant(self._first, 0.0)]
        late = 1000 * self._times - 1000 * self._upto / self.rate
        kept, last = [0], len(late) - 1
        for i in range(1, last):
            if abs(late[i] - late[kept[-1]]) > _JITTER_MS:
                # The one before as well: else the step would become a slope.
                kept += [i - 1, i] if kept[-1] < i - 1 else [i]
        kept += [last] if last else []
        return [
            Instant(float(self._times[i]), self.ms(float(self._upto[i]))) for i in kept
        ]
