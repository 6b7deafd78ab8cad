"""An account's book without a Redis, and a pump without a thread."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from aai_stream.connection.budget.book import Ask, Turn, look_again
from aai_stream.connection.budget.fleet import STATED_SECONDS
from aai_stream.connection.budget.limits import WINDOW_SECONDS, Limits


class Line:
    """What all processes that share a book have in it, in memory."""

    def __init__(self) -> None:
        self.begun: list[tuple[float, str, int]] = []
        """The oldest first."""
        self.held = 0
        self.waiting: list[tuple[float, str, int]] = []
        """Most at stake first."""


class SimulatedBook:
    """One process's view of a line, as `FleetBook` gives it."""

    def __init__(
        self, line: Line, me: int, clock: Callable[[], float], asks: Counter[int]
    ) -> None:
        self._line = line
        self._me = me
        self._clock = clock
        self._asks = asks
        self._mine: list[tuple[float, str, int]] = []
        self._begun: dict[str, tuple[float, str, int]] = {}
        self._held = 0

    def turn(
        self,
        limits: Limits,
        asks: Sequence[Ask],
        held: int,
        begun: Mapping[str, float],
    ) -> Turn:
        """See `Book`."""
        line, now = self._line, self._clock()
        self._asks[int(now)] += 1
        self._leave(len(self._mine))
        self._mine = [(-ask.urgency, ask.came, self._me) for ask in asks]
        for entry in self._mine:
            insort(line.waiting, entry)
        self._forget(begun, now - WINDOW_SECONDS)
        ranks = [bisect_left(line.waiting, entry) for entry in self._mine]
        line.held += held - self._held
        going, leaving = limits.decide(ranks, len(line.begun), line.held)
        self._leave(going)
        for ask in asks[:going]:
            self._begun[ask.came] = entry = now, ask.came, self._me
            insort(line.begun, entry)
        line.held += going
        self._held = held + going
        if going == len(ranks):
            return Turn(going, STATED_SECONDS if self._held else math.inf, line.held)
        last = int(leaving) - 1
        at = line.begun[last][0] if last < len(line.begun) else now
        until = at + WINDOW_SECONDS - now
        return Turn(going, look_again(until, ranks[going] - going), line.held)

    def _forget(self, begun: Mapping[str, float], until: float) -> None:
        """What is a minute old, and what has not used its place."""
        del self._line.begun[: bisect_right(self._line.begun, until, key=_moment)]
        for came in self._begun.keys() - begun.keys():
            entry = self._begun.pop(came)
            if entry[0] > until:
                del self._line.begun[bisect_left(self._line.begun, entry)]

    def _leave(self, count: int) -> None:
        for entry in self._mine[:count]:
            del self._line.waiting[bisect_left(self._line.waiting, entry)]
        self._mine = self._mine[count:]


def _moment(entry: tuple[float, str, int]) -> float:
    return entry[0]


class VirtualPump:
    """`Pump`, on a virtual loop."""

    def __init__(self, work: Callable[[], float]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None

    def wake(self) -> None:
        """Have it work soon."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._timer = None
        wait = self._work()
        if wait < math.inf:
            self._timer = self._loop.call_later(wait, self._run)
