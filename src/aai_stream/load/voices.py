"""Many voices in real time, each a little after the other."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .lag import LagProbe


@dataclass(frozen=True)
class Window:
    """What a process did for a while."""

    seconds: float
    cpu_seconds: float
    frames: int
    due_frames: float
    """That should have been pushed; fewer are when the loop can't keep up."""
    late_ms: list[float]
    """How late the event loop was, see `LagProbe`."""

    @property
    def us_per_frame(self) -> float:
        """CPU for one frame of one stream."""
        return 1e6 * self.cpu_seconds / max(1, self.frames)

    @property
    def cpu(self) -> float:
        """Share of its core."""
        return self.cpu_seconds / self.seconds


class Voices:
    """Calls each of `pushes` every `period` seconds, at moments spread over the period.

    As calls from different people are, and as a loop likes it best. One that is late
    keeps its place: what it should have pushed meanwhile it pushes at once.
    """

    def __init__(
        self,
        pushes: Sequence[Callable[[], object]],
        period: float,
        *,
        record: bool = False,
    ) -> None:
        self.pushes = [0] * len(pushes)
        """Of each voice."""
        self.pushed: list[array[float]] = [array("d") for _ in pushes]
        """With `record`, when each push of a voice began: CLOCK_MONOTONIC, s."""
        self._calls = pushes
        self._period = period
        self._record = record
        self._loop = asyncio.get_running_loop()
        first = self._loop.time() + period
        self._timers = [
            self._loop.call_at(
                due := first + i * period / len(pushes), self._say, i, due
            )
            for i in range(len(pushes))
        ]

    def stop(self) -> None:
        """Fall silent."""
        for timer in self._timers:
            timer.cancel()

    async def measure(self, seconds: float) -> Window:
        """What goes on from now on for so long, in this whole process."""
        probe = LagProbe()
        frames = sum(self.pushes)
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        cpu_seconds = time.process_time() - cpu
        lasted = time.monotonic() - began
        probe.stop()
        return Window(
            seconds=lasted,
            cpu_seconds=cpu_seconds,
            frames=sum(self.pushes) - frames,
            due_frames=lasted / self._period * len(self._calls),
            late_ms=probe.late_ms(),
        )

    def _say(self, voice: int, due: float) -> None:
        if self._record:
            self.pushed[voice].append(self._loop.time())
        self._calls[voice]()
        self.pushes[voice] += 1
        due += self._period
        self._timers[voice] = self._loop.call_at(due, self._say, voice, due)
