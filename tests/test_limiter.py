"""How many sessions a minute are asked for; time is turned by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

import aai_stream
from aai_stream import connector, limiter
from aai_stream.errors import OptionError
from aai_stream.limiter import SESSIONS_PER_MINUTE, ConnectLimiter, shared_limiter
from aai_stream.retries import Retries
from tests.servers import begin_then, read_to_end, until, websocket_server, within


class Timeline:
    """A clock that stands still until `go_to`, and a `sleep` that goes by it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        moment = self.now + seconds
        heapq.heappush(self._sleepers, (moment, next(self._numbers), woken))
        await woken

    @property
    def next_moment(self) -> float:
        """When the next sleeper wakes."""
        while self._sleepers and self._sleepers[0][2].done():  # cancelled
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else math.inf

    async def go_to(self, moment: float) -> None:
        """Let time pass, waking each sleeper at its moment."""
        while self.next_moment <= moment:
            self.now, _, woken = heapq.heappop(self._sleepers)
            woken.set_result(None)
            await settle()
        self.now = max(self.now, moment)

    async def finish(self) -> None:
        """Let time pass until nobody sleeps."""
        while self.next_moment < math.inf:
            await self.go_to(self.next_moment)


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


class Line:
    """Those who ask a limiter, and when each was admitted."""

    def __init__(self, per_minute: float, jitter: Callable[[], float]) -> None:
        self.time = Timeline()
        self.admitted: list[tuple[int, float]] = []
        self.limiter = ConnectLimiter(per_minute, clock=self.time.clock, jitter=jitter)
        self._count = 0

    async def ask(self) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._ask(self._count))
        self._count += 1
        await settle()
        return task

    async def _ask(self, name: int) -> None:
        await self.limiter.admit()
        self.admitted.append((name, self.time.now))

    @property
    def names(self) -> list[int]:
        return [name for name, _ in self.admitted]

    @property
    def moments(self) -> list[float]:
        """From the line's beginning on."""
        return [moment - 1000 for _, moment in self.admitted]


@asynccontextmanager
async def line(
    per_minute: float, jitter: Callable[[], float] = lambda: 0.0
) -> AsyncIterator[Line]:
    made = Line(per_minute, jitter)
    with pytest.MonkeyPatch.context() as patch:
        names = {**vars(asyncio), "sleep": made.time.sleep}
        patch.setattr(limiter, "asyncio", SimpleNamespace(**names))
        yield made


@pytest.fixture(autouse=True)
def no_limiters_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "_limiters", {})


def most_in_a_minute(moments: list[float]) -> int:
    """How many lie within any 60 s; a hair less, for the rounding of floats."""
    return max(
        sum(start <= moment < start + 60 - 1e-6 for moment in moments)
        for start in moments
    )


# ---- one limiter ----


@given(
    st.integers(2, 60),
    st.lists(st.tuples(st.floats(0, 90), st.integers(1, 40)), min_size=1, max_size=6),
    st.lists(st.floats(0, 0.999), min_size=1, max_size=9),
)
async def test_no_minute_sees_too_many_and_all_go_in_their_order(
    per_minute: int, arrivals: list[tuple[float, int]], jitters: list[float]
) -> None:
    draws: Iterator[float] = itertools.cycle(jitters)
    async with line(per_minute, lambda: next(draws)) as waiting:
        for seconds, count in arrivals:
            await waiting.time.go_to(waiting.time.now + seconds)
            for _ in range(count):
                await waiting.ask()
        await waiting.time.finish()
    assert waiting.names == list(range(sum(count for _, count in arrivals)))
    assert most_in_a_minute(waiting.moments) <= per_minute


@pytest.mark.parametrize("per_minute", [1, 2.5])
async def test_no_minute_sees_too_many_of_few(per_minute: float) -> None:
    draws = itertools.cycle([0.9, 0.0, 0.0])
    async with line(per_minute, lambda: next(draws)) as waiting:
        for _ in range(8):
            await waiting.ask()
        await waiting.time.finish()
    assert most_in_a_minute(waiting.moments) <= per_minute


async def test_half_a_minute_s_sessions_go_at_once_then_four_a_second_go() -> None:
    async with line(480) as waiting:
        for _ in range(250):
            await waiting.ask()
        assert len(waiting.admitted) == 240
        await waiting.time.finish()
    late = [0.25 * place for place in range(1, 11)]
    assert waiting.moments == [0.0] * 240 + late


async def test_it_is_full_again_after_a_minute() -> None:
    async with line(60) as waiting:
        for round_start in (0, 60, 120):
            await waiting.time.go_to(1000 + round_start)
            for _ in range(30):
                await waiting.ask()
        assert waiting.moments == [0.0] * 30 + [60.0] * 30 + [120.0] * 30


@pytest.mark.parametrize("jitter", [0.0, 0.25, 0.999])
async def test_jitter_delays_by_less_than_one_place(jitter: float) -> None:
    async with line(60, lambda: jitter) as waiting:
        for _ in range(33):
            await waiting.ask()
        await waiting.time.finish()
    late = [2 * (place + jitter) for place in (1, 2, 3)]
    assert waiting.moments == pytest.approx([0.0] * 30 + late)


async def test_one_a_minute_is_one_in_two_minutes() -> None:
    async with line(1) as waiting:
        for _ in range(3):
            await waiting.ask()
        await waiting.time.finish()
    assert waiting.moments == [0.0, 120.0, 240.0]


async def test_who_gives_up_waiting_gives_the_place_back() -> None:
    async with line(60) as waiting:
        tasks = [await waiting.ask() for _ in range(80)]
        for task in tasks[30:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks[30:])
        await waiting.ask()
        await waiting.time.finish()
    assert waiting.admitted[30:] == [(80, 1002.0)]


async def test_nobody_overtakes_when_another_gives_up() -> None:
    async with line(60) as waiting:
        tasks = [await waiting.ask() for _ in range(33)]
        for task in tasks[30:32]:
            task.cancel()
        await asyncio.gather(*tasks[30:32], return_exceptions=True)
        await waiting.ask()
        await waiting.time.finish()
    assert waiting.names[30:] == [32, 33]


@pytest.mark.parametrize(
    "bad", [0, 0.5, -1, -math.inf, math.nan, "100", None, pytest.param([], id="list")]
)
def test_a_rate_that_is_none(bad: Any) -> None:
    with pytest.raises(OptionError, match="sessions_per_minute"):
        ConnectLimiter(bad)


# ---- shared ----


def test_who_shares_a_limiter() -> None:
    one = shared_limiter("streaming.assemblyai.com", "a", 50)
    assert one is not None
    assert shared_limiter("streaming.assemblyai.com", "a", 50) is one
    assert shared_limiter("streaming.eu.assemblyai.com", "a", 50) is not one
    assert shared_limiter("streaming.assemblyai.com", "b", 50) is not one
    assert shared_limiter("streaming.assemblyai.com", "a", 60) is not one
    default = shared_limiter("streaming.assemblyai.com", "a", None)
    assert default is shared_limiter(
        "streaming.assemblyai.com", "a", SESSIONS_PER_MINUTE
    )
    assert default is not one


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_there_is_none_on_loopback_unless_asked_for(host: str) -> None:
    assert shared_limiter(host, "a", None) is None
    assert shared_limiter(host, "a", 5) is not None


def test_infinity_is_no_limit() -> None:
    assert shared_limiter("streaming.assemblyai.com", "a", math.inf) is None


@pytest.mark.parametrize(
    "bad",
    [
        0,
        math.nan,
        "100",
        [],
    ],
)
def test_a_stream_with_a_rate_that_is_none(bad: Any) -> None:
    with pytest.raises(OptionError, match="sessions_per_minute"):
        aai_stream.connect(api_key="k", sessions_per_minute=bad)


# ---- under streams ----


async def hold(socket: web.WebSocketResponse, request: web.Request) -> None:
    await begin_then(socket)
    await read_to_end(socket)


async def test_waiting_shows_while_it_lasts() -> None:
    async with websocket_server(hold) as url:
        connect = partial(
            aai_stream.connect, api_key="k", base_url=url, sessions_per_minute=1
        )
        async with connect() as first:
            assert first.stats.waited_seconds < 1
            second = connect()
            opening = asyncio.ensure_future(second.__aenter__())
            await until(lambda: second.stats.waited_seconds > 0)
            before = second.stats.waited_seconds
            await until(lambda: second.stats.waited_seconds > before)
            assert second.stats.sessions == 0
            opening.cancel()
            await asyncio.wait([opening])
            waited = second.stats.waited_seconds
            assert waited > before
            assert second.stats.waited_seconds == waited
            await second.aclose()


async def test_a_hundred_streams_that_lose_their_server_come_back_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[web.Request] = []
    asked: list[str] = []
    opened: list[str] = []
    opened_at: list[float] = []
    numbers = itertools.count()

    class Watched(connector.Connector):
        """Each notes when it asks, by the number of its stream."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._name = str(next(numbers))

        async def admit(self) -> None:
            asked.append(self._name)
            await super().admit()

    monkeypatch.setattr("aai_stream.client.Connector", Watched)
    monkeypatch.setattr(
        "aai_stream.stream.Retries", partial(Retries, draw=lambda low, high: low)
    )
    async with line(120) as waiting:
        monkeypatch.setattr(connector, "shared_limiter", lambda *_: waiting.limiter)

        async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
            requests.append(request)
            opened.append(request.query["name"])
            opened_at.append(waiting.time.now)
            await hold(socket, request)

        async def pass_on(count: int) -> None:
            """Let time pass until `count` were opened, each before the next may."""
            while (number := len(opened)) < count:
                await waiting.time.go_to(waiting.time.next_moment)
                await until(lambda: len(opened) > number)

        async with websocket_server(handler) as url:
            streams = [
                aai_stream.connect(
                    api_key="k", base_url=url, extra_params={"name": str(number)}
                )
                for number in range(100)
            ]
            opening = [asyncio.ensure_future(s.__aenter__()) for s in streams]
            await until(lambda: len(opened) == 60)
            await pass_on(100)
            await within(5, asyncio.gather(*opening))
            await waiting.time.go_to(waiting.time.now + 60)
            for request in list(requests):
                assert request.transport is not None
                request.transport.abort()
            await until(lambda: len(asked) == 200 and len(opened) == 160)
            await pass_on(200)
            await asyncio.gather(*(stream.aclose() for stream in streams))
    for first in (0, 100):  # of those sixty that went at once the network has the say
        assert set(opened[first : first + 60]) == set(asked[first : first + 60])
        assert opened[first + 60 : first + 100] == asked[first + 60 : first + 100]
    assert most_in_a_minute(opened_at) <= 120
