"""How many sessions a minute are asked for; time is turned by hand."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

import aai_stream
from aai_stream.connection import connector
from aai_stream.connection.budget.book import MOMENT
from aai_stream.connection.budget.limits import WINDOW_SECONDS, Limits
from aai_stream.connection.limiter import (
    ConnectLimiter,
    Place,
    Urgency,
    shared_limiter,
)
from aai_stream.errors import OptionError
from tests.queues import Queue, settle
from tests.servers import begin_then, read_to_end, until, websocket_server, within


def most_in_a_minute(moments: list[float]) -> int:
    """How many lie within any minute, and a second."""
    return max(
        sum(start <= moment < start + WINDOW_SECONDS for moment in moments)
        for start in moments
    )


SOME = Limits(50)

NEXT = WINDOW_SECONDS + MOMENT
"""When the next goes of those who came at once."""

# ---- who goes, and when ----


@given(
    st.integers(2, 60),
    st.lists(st.tuples(st.floats(0, 90), st.integers(1, 40)), min_size=1, max_size=6),
    st.lists(st.integers(0, 5), min_size=1, max_size=9),
)
async def test_no_minute_sees_too_many_and_equals_go_in_their_order(
    per_minute: int, arrivals: list[tuple[float, int]], urgencies: list[int]
) -> None:
    queue = Queue(per_minute)
    stakes = itertools.cycle(urgencies)
    urgency: dict[int, int] = {}
    for seconds, count in arrivals:
        await queue.go_to(queue.time.now + seconds)
        for _ in range(count):
            urgency[len(urgency)] = at_stake = next(stakes)
            await queue.ask(lambda at_stake=at_stake: at_stake)  # type: ignore[misc]
    await queue.finish()
    assert sorted(queue.names) == list(urgency)
    assert most_in_a_minute(queue.moments) <= per_minute
    for at_stake in set(urgencies):
        equals = [name for name in queue.names if urgency[name] == at_stake]
        assert equals == sorted(equals)


@pytest.mark.parametrize("per_minute", [1, 2.5])
async def test_no_minute_sees_too_many_of_few(per_minute: float) -> None:
    queue = Queue(per_minute)
    for _ in range(8):
        await queue.ask()
    await queue.finish()
    assert most_in_a_minute(queue.moments) <= per_minute


async def test_a_minute_s_sessions_go_at_once_then_as_they_came() -> None:
    queue = Queue(60)
    for second in range(60):
        await queue.go_to(queue.begin + second / 4)
        await queue.ask()
    for _ in range(80):
        await queue.ask()
    await queue.finish()
    first = [second / 4 for second in range(60)]
    assert queue.moments[:60] == first
    assert queue.moments[60:120] == pytest.approx([at + NEXT for at in first], abs=0.01)
    assert queue.moments[120:] == pytest.approx(
        [at + 2 * NEXT for at in first[:20]], abs=0.01
    )


async def test_it_is_full_again_after_a_minute() -> None:
    queue = Queue(60)
    for round_start in (0, 61, 122):
        await queue.go_to(queue.begin + round_start)
        for _ in range(60):
            await queue.ask()
    assert queue.moments == [0.0] * 60 + [61.0] * 60 + [122.0] * 60


async def test_one_a_minute_is_one_a_minute() -> None:
    queue = Queue(1)
    for _ in range(3):
        await queue.ask()
    await queue.finish()
    assert queue.moments == pytest.approx([0.0, NEXT, 2 * NEXT])


async def test_who_waits_asks_once_for_each_place() -> None:
    """And not again and again, as what floats round to is a hair too early."""
    queue = Queue(7)
    turns = 0
    pump = queue.limiter._pump
    work = pump._work  # type: ignore[attr-defined]

    def counted() -> float:
        nonlocal turns
        turns += 1
        return float(work())

    pump._work = counted  # type: ignore[attr-defined]
    for number in range(70):
        await queue.go_to(queue.begin + number / 7)
        await queue.ask()
    asked = turns
    await queue.finish()
    assert turns - asked <= 63


# ---- sessions at once ----


async def test_who_comes_later_waits_for_a_session_s_end() -> None:
    queue = Queue(math.inf, max_sessions=2)
    tasks = [await queue.ask() for _ in range(2)]
    later = [await queue.ask(), await queue.ask(lambda: 9.0)]
    assert queue.names == [0, 1]
    assert queue.next_moment == math.inf
    (await tasks[0]).release()
    await settle()
    assert queue.names == [0, 1, 3]
    (await tasks[0]).release()  # once more, which is none
    await settle()
    assert queue.names == [0, 1, 3]
    (await later[1]).release()
    await settle()
    assert queue.names == [0, 1, 3, 2]


async def test_who_is_cancelled_when_admitted_holds_no_session() -> None:
    queue = Queue(math.inf, max_sessions=1)
    first = await queue.ask()
    second, third = [await queue.ask(), await queue.ask()]
    (await first).release()  # the second is admitted, but hasn't gone on yet
    second.cancel()
    await settle()
    assert second.cancelled()
    assert third.done()
    assert queue.names == [0, 2]


async def test_a_thousand_wait_and_the_most_urgent_go_first() -> None:
    """More than are in the account's line at a time."""
    queue = Queue(math.inf, max_sessions=1)
    held = await queue.ask()
    for number in range(1000):
        await queue.ask(lambda number=number: number)  # type: ignore[misc]
    queue.limiter.limits = Limits(math.inf, 701)
    (await held).release()
    await settle()
    assert queue.names[1:] == list(range(1000, 299, -1))


# ---- waiting ----


async def test_who_gives_up_waiting_takes_no_place() -> None:
    queue = Queue(30)
    tasks = [await queue.ask() for _ in range(80)]
    for task in tasks[30:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks[30:])
    assert queue.next_moment == math.inf
    await queue.ask()
    await queue.finish()
    assert queue.admitted[30:] == [(80, queue.begin + NEXT)]


async def test_who_is_cancelled_when_admitted_gives_the_place_to_the_next() -> None:
    queue = Queue(1)
    tasks = [await queue.ask() for _ in range(3)]
    queue.time.run(NEXT)  # the first of two is admitted, but hasn't gone on yet
    tasks[1].cancel()
    await settle()
    assert tasks[1].cancelled()
    assert queue.admitted[1:] == [(2, queue.begin + NEXT)]


async def test_nobody_overtakes_when_another_gives_up() -> None:
    queue = Queue(30)
    tasks = [await queue.ask() for _ in range(33)]
    for task in tasks[30:32]:
        task.cancel()
    await asyncio.gather(*tasks[30:32], return_exceptions=True)
    await queue.ask()
    await queue.finish()
    assert queue.names[30:] == [32, 33]


class Elsewhere:
    """An event loop in another thread."""

    def __enter__(self) -> asyncio.AbstractEventLoop:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self.loop

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def has_asked(loop: asyncio.AbstractEventLoop) -> None:
    """Wait until what was begun in that loop waits there."""
    next_step = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
    await within(5, asyncio.wrap_future(next_step))


async def test_the_most_urgent_goes_first_in_whichever_thread_it_waits() -> None:
    queue = Queue(30)
    for number in range(30):
        await queue.go_to(queue.begin + number)
        await queue.ask()
    await queue.ask(lambda: 1.0)
    with Elsewhere() as loop:
        urgent = asyncio.run_coroutine_threadsafe(
            queue.limiter.admit(lambda: 2.0), loop
        )
        await has_asked(loop)
        await queue.go_to(queue.begin + NEXT)
        await within(5, asyncio.wrap_future(urgent))
        assert len(queue.admitted) == 30
        await queue.go_to(queue.begin + 1 + NEXT)
    assert queue.names[30:] == [30]
    assert queue.moments[30:] == pytest.approx([1 + NEXT])


async def test_a_loop_that_is_gone_holds_nobody_up() -> None:
    queue = Queue(1)
    await queue.ask()
    with Elsewhere() as loop:
        forgotten = asyncio.run_coroutine_threadsafe(
            queue.limiter.admit(lambda: 9.0), loop
        )
        await has_asked(loop)
    await queue.ask()
    await queue.go_to(queue.begin + NEXT)
    assert queue.names[1:] == [1]
    assert not forgotten.done()


async def test_what_is_in_use() -> None:
    queue = Queue(math.inf, max_sessions=2)
    assert queue.limiter.in_use() == 0
    tasks = [await queue.ask() for _ in range(3)]
    assert queue.limiter.in_use() == 2
    (await tasks[0]).release()
    await settle()
    (await tasks[1]).release()
    assert queue.limiter.in_use() == 1
    failing = ConnectLimiter(SOME, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ZeroDivisionError):
        failing.in_use()


async def test_who_asks_what_is_in_use_lets_in_whom_there_is_a_place_for() -> None:
    """Before those who wait were to ask again."""
    queue = Queue(1)
    await queue.ask()
    waiting = await queue.ask()
    queue.limiter.limits = Limits(2)
    assert queue.limiter.in_use() == 2
    await settle()
    assert waiting.done()
    waiting = await queue.ask()
    gone = await queue.ask()
    queue.limiter.limits = Limits(3)
    waiting.cancel()
    assert queue.limiter.in_use() == 3  # in the meantime, it is had by who left
    await settle()
    assert gone.done()


async def test_who_waits_for_a_book_that_fails_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing = ConnectLimiter(SOME, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await within(5, failing.admit(lambda: 0.0))
    told = [record for record in caplog.records if record.name == "aai_stream"]
    assert {record.getMessage() for record in told} == {
        "an account's sessions can't be counted: ZeroDivisionError"
    }


# ---- shared ----

SERVER = "streaming.assemblyai.com"


def test_who_shares_a_limiter() -> None:
    one = shared_limiter(SERVER, "a", SOME, None)
    assert one is not None
    assert shared_limiter(SERVER, "a", SOME, None) is one
    assert shared_limiter("streaming.eu.assemblyai.com", "a", SOME, None) is not one
    assert shared_limiter(SERVER, "b", SOME, None) is not one
    assert shared_limiter(SERVER, "a", SOME, "redis://there") is not one


def test_the_limits_given_last_count() -> None:
    one = shared_limiter(SERVER, "a", SOME, None)
    assert one is not None
    assert shared_limiter(SERVER, "a", Limits(60, 7), None) is one
    assert one.limits == Limits(60, 7)


def test_no_limits_are_no_limiter() -> None:
    assert shared_limiter(SERVER, "a", Limits(), None) is None


@pytest.mark.parametrize("bad", [0, math.nan, "100", [], True])
@pytest.mark.parametrize("name", ["sessions_per_minute", "max_sessions"])
def test_a_stream_with_a_limit_that_is_none(name: str, bad: Any) -> None:
    with pytest.raises(OptionError, match=name):
        aai_stream.connect(api_key="k", **{name: bad})


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

        async def admit(self, urgency: Urgency) -> Place | None:
            asked.append(self._name)
            return await super().admit(urgency)

    monkeypatch.setattr("aai_stream.client.Connector", Watched)
    monkeypatch.setattr("aai_stream.client.uniform", lambda low, high: low)
    queue = Queue(60)
    monkeypatch.setattr(connector, "shared_limiter", lambda *_: queue.limiter)

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        requests.append(request)
        opened.append(request.query["name"])
        opened_at.append(queue.time.now)
        await hold(socket, request)

    def has(names: list[str], count: int) -> bool:
        return len(names) == count

    async def pass_on(count: int) -> None:
        """Let time pass until `count` were opened, each before the next may."""
        while (number := len(opened)) < count:
            await queue.go_to(queue.next_moment)
            await until(lambda: len(opened) > number)

    async with websocket_server(handler) as url:
        streams = [
            aai_stream.connect(
                api_key="k", base_url=url, extra_params={"name": str(number)}
            )
            for number in range(100)
        ]
        opening = []
        for number, stream in enumerate(streams, start=1):
            opening.append(asyncio.ensure_future(stream.__aenter__()))
            await until(partial(has, asked, number))
            if number <= 60:
                await until(partial(has, opened, number))
                await queue.go_to(queue.time.now + 0.1)
        await pass_on(100)
        await within(5, asyncio.gather(*opening))
        for request in list(requests):
            assert request.transport is not None
            request.transport.abort()
        await until(lambda: len(asked) == 200)
        assert len(opened) == 100
        await pass_on(200)
        await asyncio.gather(*(stream.aclose() for stream in streams))
    assert opened == asked
    assert most_in_a_minute(opened_at) == 60
