"""Those who wait for a limiter's places, while time is turned by hand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from aai_stream.connection.limiter import ConnectLimiter, Urgency
from tests.clocks import Clock


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


class Queue:
    """Those who ask a limiter, and when each was admitted."""

    def __init__(
        self, per_minute: float, jitter: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.time = Clock()
        self.begin = self.time.now
        self.admitted: list[tuple[int, float]] = []
        self.limiter = ConnectLimiter(
            per_minute,
            clock=self.time.time,
            jitter=jitter,
            call_later=self.time.call_later,
        )
        self._count = 0

    async def ask(self, urgency: Urgency = lambda: 0.0) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._ask(self._count, urgency))
        self._count += 1
        await settle()
        return task

    async def _ask(self, name: int, urgency: Urgency) -> None:
        await self.limiter.admit(urgency)
        self.admitted.append((name, self.time.now))

    async def go_to(self, moment: float) -> None:
        """Let time pass, whoever is admitted going at its moment."""
        while (due := self.next_moment) <= moment:
            self.time.run_to(due)
            await settle()
        self.time.run_to(max(self.time.now, moment))

    async def finish(self) -> None:
        """Let time pass until nobody waits."""
        while (due := self.next_moment) < math.inf:
            await self.go_to(due)

    @property
    def next_moment(self) -> float:
        """When somebody is admitted next."""
        return min((timer.at for timer in self.time.waiting), default=math.inf)

    @property
    def names(self) -> list[int]:
        return [name for name, _ in self.admitted]

    @property
    def moments(self) -> list[float]:
        """From the line's beginning on."""
        return [moment - self.begin for _, moment in self.admitted]
