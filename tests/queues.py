"""Those who wait for a limiter's places, while time is turned by hand."""

from __future__ import annotations

import asyncio
import math
from asyncio import AbstractEventLoop as Loop
from collections.abc import Callable
from functools import partial
from typing import Any

from aai_stream.connection.budget.host import HostBook
from aai_stream.connection.budget.limits import Limits
from aai_stream.connection.limiter import ConnectLimiter, Place, Urgency
from tests.clocks import Clock


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


class InLine:
    """Pumps without a thread, at once and by a clock that is turned by hand, or a
    loop's own."""

    def __init__(self, work: Callable[[], float], clock: Clock | Loop) -> None:
        self._work = work
        self._clock = clock
        self._timer: Any = None

    def wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while (wait := self._work()) == 0:
            pass
        if wait < math.inf:
            self._timer = self._clock.call_later(wait, self.wake)


def limiter_on(clock: Clock | Loop, limits: Limits) -> ConnectLimiter:
    """One of this process alone, by that clock."""
    return ConnectLimiter(
        limits,
        lambda: HostBook(None, clock.time),
        clock=clock.time,
        monotonic=clock.time,
        pump=partial(InLine, clock=clock),
    )


class Queue:
    """Those who ask a limiter, and when each was admitted."""

    def __init__(self, per_minute: float, max_sessions: float = math.inf) -> None:
        self.time = Clock()
        self.begin = self.time.now
        self.admitted: list[tuple[int, float]] = []
        self.limiter = limiter_on(self.time, Limits(per_minute, max_sessions))
        self._count = 0

    async def ask(self, urgency: Urgency = lambda: 0.0) -> asyncio.Task[Place]:
        task = asyncio.ensure_future(self._ask(self._count, urgency))
        self._count += 1
        await settle()
        return task

    async def _ask(self, name: int, urgency: Urgency) -> Place:
        place = await self.limiter.admit(urgency)
        self.admitted.append((name, self.time.now))
        return place

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
