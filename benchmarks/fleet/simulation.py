"""The service, and the streams that lose it."""

from __future__ import annotations

import asyncio
import random
from collections import deque

from aai_stream.connection.budget.limits import Limits
from aai_stream.connection.limiter import ConnectLimiter
from aai_stream.errors import BusyError, DroppedError, TransientError, UnreachableError
from aai_stream.protocol.events import Retry
from aai_stream.protocol.pace import CATCH_UP_RATE
from aai_stream.protocol.retry import Retries
from tests.simulation.loop import VirtualLoop

from .books import Line, SimulatedBook, VirtualPump
from .outcome import Budget, Outcome, Setting

NOTICED_SECONDS = 2.0
"""Within which all streams notice that the region is gone."""

UNHEARD_SECONDS = 5.0
"""Of audio at most, that no final turn had covered by then."""

HANGS = 0.2
"""So many connects to a region that is down are never answered."""

CONNECT_TIMEOUT = 10.0


class Service:
    """AssemblyAI's, as far as opening sessions goes: down for a while, then up, and
    refusing what is over the account's new sessions in any 60 s."""

    def __init__(self, setting: Setting, outcome: Outcome, dice: random.Random) -> None:
        self._setting = setting
        self._outcome = outcome
        self._dice = dice
        self._now = asyncio.get_running_loop().time
        self._admitted: deque[float] = deque()

    async def connect(self) -> TransientError | None:
        """Ask for a session; gives what it failed with."""
        self._outcome.connects[int(self._now())] += 1
        is_down = self._now() < self._setting.outage
        if is_down and self._dice.random() < HANGS:
            await asyncio.sleep(CONNECT_TIMEOUT)
            return UnreachableError("no answer")
        await asyncio.sleep(self._dice.uniform(0.05, 0.3))
        if is_down:
            return UnreachableError("the region is down", code=503)
        now = self._now()
        while self._admitted and self._admitted[0] <= now - 60:
            self._admitted.popleft()
        if len(self._admitted) >= self._setting.per_minute:
            self._outcome.refused[int(now)] += 1
            return BusyError("too many sessions", code=1008)
        self._admitted.append(now)
        await asyncio.sleep(self._dice.uniform(0.1, 0.4))  # to Begin
        return None


class Fleet:
    """Streams that lose their region at 0."""

    def __init__(self, setting: Setting, budget: Budget) -> None:
        self.outcome = Outcome(budget)
        self._setting = setting
        self._now = asyncio.get_running_loop().time
        self._dice = random.Random(setting.seed)
        self._service = Service(setting, self.outcome, self._dice)
        self._lines = [Line() for _ in range(budget.books(setting))]

    async def run(self) -> Outcome:
        """See all of them through."""
        streams = range(self._setting.streams)
        await asyncio.gather(*(self._come_back(number) for number in streams))
        return self.outcome

    def _limiter(self, number: int) -> ConnectLimiter:
        """Of a process with one stream."""
        if not self._lines:
            limits, line = Limits(), Line()
        else:
            limits = Limits(self._setting.per_minute)
            line = self._lines[number % len(self._lines)]
        book = SimulatedBook(line, number, self._now, self.outcome.asks)
        return ConnectLimiter(
            limits,
            lambda: book,
            clock=self._now,
            monotonic=self._now,
            pump=VirtualPump,
        )

    async def _come_back(self, number: int) -> None:
        limiter = self._limiter(number) if self._lines else None
        dice = random.Random(self._dice.random())
        retries = Retries(
            self._setting.max_retries,
            patience=self._setting.patience,
            draw=dice.uniform,
        )
        await asyncio.sleep(dice.uniform(0, NOTICED_SECONDS))
        unheard_from = self._now() - dice.uniform(0, UNHEARD_SECONDS)
        failure: TransientError | None = DroppedError("gone", code=1006)
        while failure is not None:
            plan = retries.plan(failure, self._now())
            if not isinstance(plan, Retry):
                self.outcome.gave_up += 1
                return
            await asyncio.sleep(plan.seconds)
            if limiter is None:
                failure = await self._service.connect()
                continue
            place = await limiter.admit(lambda: self._now() - unheard_from)
            failure = await self._service.connect()
            if failure is not None:
                place.release()
        self._is_open(self._now(), unheard_from)

    def _is_open(self, now: float, unheard_from: float) -> None:
        unheard = now - unheard_from
        kept = min(unheard, self._setting.replay)
        self.outcome.opened_at.append(now)
        self.outcome.lost_seconds += unheard - kept
        self.outcome.level_at.append(now + kept / (CATCH_UP_RATE - 1))


def simulate(setting: Setting, budget: Budget) -> Outcome:
    """Lose the region of such a fleet."""

    async def run() -> Outcome:
        return await Fleet(setting, budget).run()

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()
