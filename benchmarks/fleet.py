"""A fleet that loses its region, under virtual time: with a budget and without.

    python -m benchmarks.fleet                    # 10,000 streams on 200 hosts, 90 s
    python -m benchmarks.fleet --plot docs/fleet.svg

What decides is the real thing: the retries of a stream, its place in the line, and the
account's limits. What is simulated is the network, the service, the replay buffers (as
seconds of audio) and the Redis, which answers at once. Each stream has a process of its
own, as LiveKit's jobs have.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
from bisect import bisect_left, bisect_right, insort
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aai_stream.connection.budget.book import Ask, Turn, look_again
from aai_stream.connection.budget.fleet import STATED_SECONDS
from aai_stream.connection.budget.limits import WINDOW_SECONDS, Limits
from aai_stream.connection.limiter import ConnectLimiter
from aai_stream.errors import BusyError, DroppedError, TransientError, UnreachableError
from aai_stream.protocol.events import Retry
from aai_stream.protocol.pace import CATCH_UP_RATE
from aai_stream.protocol.retry import Retries
from tests.simulation.loop import VirtualLoop

WORDS_A_SECOND = 1.25
"""Of a call in which the caller speaks half of the time."""

NOTICED_SECONDS = 2.0
"""Within which all streams notice that the region is gone."""

UNHEARD_SECONDS = 5.0
"""Of audio at most, that no final turn had covered by then."""

HANGS = 0.2
"""So many connects to a region that is down are never answered."""

CONNECT_TIMEOUT = 10.0

FOR_EVER = 10**9
"""Attempts."""


@dataclass(frozen=True)
class Setting:
    """What is simulated; seconds. `per_minute` is what the account may open."""

    streams: int = 10_000
    hosts: int = 200
    outage: float = 90.0
    per_minute: int = 4000
    replay: float = 120.0
    max_retries: int = FOR_EVER
    patience: float = math.inf
    seed: int = 1


@dataclass(frozen=True)
class Budget:
    """Who shares a book."""

    name: str
    colour: str
    books: Callable[[Setting], int]
    """How many there are; 0 for no budget."""


BUDGETS = (
    Budget("none", "#bc4c00", lambda _: 0),
    Budget("per host", "#8250df", lambda setting: setting.hosts),
    Budget("shared", "#0969da", lambda _: 1),
)


@dataclass
class Outcome:
    """What became of a fleet. Counters are by second since its region was lost."""

    budget: Budget
    connects: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    """Of them, as too many."""
    asks: Counter[int] = field(default_factory=Counter)
    """Of the books, by all."""
    opened_at: list[float] = field(default_factory=list)
    """When each stream had a session again."""
    level_at: list[float] = field(default_factory=list)
    """When each had been heard up to the present again."""
    lost_seconds: float = 0.0
    """Of audio that replay buffers could not keep."""
    gave_up: int = 0
    """Streams."""

    def figures(self) -> dict[str, float]:
        """The rows of the table."""
        return {
            "connects in a minute, at most": most_in_a_minute(self.connects),
            "refused as too many": self.refused.total(),
            "streams that gave up": self.gave_up,
            "half of the streams open after, s": _after(self.opened_at, 0.5),
            "all open after, s": _after(self.opened_at, 1),
            "all level after, s": _after(self.level_at, 1),
            "words lost": round(self.lost_seconds * WORDS_A_SECOND),
            "operations a second on a budget, at most": max(
                self.asks.values(), default=0
            ),
        }


def most_in_a_minute(seconds: Counter[int]) -> int:
    """In any 60 of them."""
    most = total = 0
    for second in range(max(seconds, default=0) + 1):
        total += seconds[second] - seconds[second - 60]
        most = max(most, total)
    return most


def _after(moments: list[float], share: float) -> float:
    """When so many of them are over; NaN if there are none."""
    if not moments:
        return math.nan
    return sorted(moments)[math.ceil(len(moments) * share) - 1]


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


def table(outcomes: Sequence[Outcome]) -> str:
    """In Markdown."""
    columns = [outcome.figures() for outcome in outcomes]
    head = ["budget", *(outcome.budget.name for outcome in outcomes)]
    rows = [[name, *(f"{each[name]:,.0f}" for each in columns)] for name in columns[0]]
    lines = [head, ["---", *["--:"] * len(outcomes)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plot(setting: Setting, outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw how streams come back, and how often they ask, as SVG. Needs matplotlib."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "fleet"  # the same file for the same run
    figure = Figure(figsize=(9, 3.6), layout="constrained", facecolor="white")
    opened, connects = figure.subplots(1, 2)
    last = max(max(outcome.connects) for outcome in outcomes) + 20
    for outcome in outcomes:
        style: dict[str, Any] = {"color": outcome.budget.colour}
        moments = sorted(outcome.opened_at)
        counts = [*range(1, len(moments) + 1), len(moments)]
        opened.plot([*moments, last], counts, label=outcome.budget.name, **style)
        seconds = range(last)
        connects.plot(
            seconds, [max(outcome.connects[s], 0.5) for s in seconds], lw=1, **style
        )
    opened.set(ylabel="streams with a session", ylim=(0, None))
    opened.legend(frameon=False, title="budget")
    connects.set(ylabel="connects a second", yscale="log", ylim=(1, None))
    for axes in (opened, connects):
        axes.axvspan(0, setting.outage, color="#57606a", alpha=0.12, linewidth=0)
        axes.set(xlabel="seconds since the region was lost", xlim=(0, last))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#d0d7de", linewidth=0.5)
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet")
    helps = {
        "streams": "streams, one in each process",
        "hosts": "hosts that they are on",
        "outage": "seconds for which the region is gone",
        "per-minute": "new sessions that the account may open a minute",
        "replay": "seconds of audio that a stream keeps (replay_seconds)",
        "max-retries": "attempts of a stream (for ever unless given)",
        "patience": "seconds that it waits while it is refused as too many",
        "seed": "of all that is drawn",
    }
    for name, text in helps.items():
        default = getattr(Setting, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw it, too")
    options = vars(parser.parse_args())
    path = options.pop("plot")
    setting = Setting(**options)
    outcomes = [simulate(setting, budget) for budget in BUDGETS]
    print(table(outcomes))
    if path is not None:
        plot(setting, outcomes, path)


if __name__ == "__main__":
    main()
