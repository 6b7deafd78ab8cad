"""The next session: opened in time, taken once, and nothing left of it if unwanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aai_stream.errors import DroppedError, StateError
from aai_stream.protocol.session import Session
from aai_stream.protocol.stream import Rollover
from tests.servers import until, within

NOW = 1_000_000


class FakeSession:
    """As much of a session as a rollover sees."""

    def __init__(self) -> None:
        self.is_over = False
        self.options = SimpleNamespace(inactivity_timeout=None)
        self.kept_alive = 0
        self.closed = 0
        self.may_close = asyncio.Event()
        self.may_close.set()

    def keep_alive(self) -> None:
        self.kept_alive += 1

    async def close(self) -> None:
        self.closed += 1
        await self.may_close.wait()
        self.is_over = True


class Fixture:
    """A rollover whose sessions open when `may_open`, its clock `NOW`."""

    def __init__(self, left: float = 0.005) -> None:
        self.opened: list[FakeSession] = []
        self.asked = 0
        self.ready = 0
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.failure: Exception | None = None
        self.inactivity_timeout: float | None = None
        self.rollover = Rollover(
            cast(Callable[[], Awaitable[Session]], self._open),
            self._on_ready,
            lambda: NOW - left,
        )

    async def _open(self) -> FakeSession:
        self.asked += 1
        await self.may_open.wait()
        if self.failure is not None:
            raise self.failure
        self.opened.append(FakeSession())
        self.opened[-1].options.inactivity_timeout = self.inactivity_timeout
        return self.opened[-1]

    def _on_ready(self) -> None:
        self.ready += 1

    async def until_ready(self) -> FakeSession:
        self.rollover.plan(NOW)
        await until(lambda: bool(self.ready))
        return self.opened[-1]


@pytest.fixture
def short_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions may be replaced as soon as a test wants."""
    monkeypatch.setattr("aai_stream.protocol.lineup.SHORTEST_SECONDS", 0)


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When timers were set to go off; they never do."""
    delays: list[float] = []

    class Timer:
        def cancel(self) -> None:
            pass

    class Loop:
        def call_later(self, seconds: float, *call: Any) -> Timer:
            delays.append(seconds)
            return Timer()

    monkeypatch.setattr("aai_stream.protocol.stream.asyncio.get_running_loop", Loop)
    return delays


@pytest.mark.parametrize(
    ("left", "after"),
    [
        (10_800, [10_740]),
        (600, [540]),
        (300, [240]),
        (299, [239.2]),
        (60, [48]),
        (56, [45]),
        (2, [45]),
        (86_400, [86_340]),
        (86_401, []),
        (10**11, []),
        (0, []),
        (-1, []),
        (-1_000_000, []),
    ],
)
def test_a_minute_before_the_end_or_a_fifth(
    left: float, after: list[float], timers: list[float]
) -> None:
    """An end that is past, or more than a day away, is not believed."""
    Fixture(left).rollover.plan(NOW)
    assert timers == pytest.approx(after)


def test_a_session_that_does_not_say_when_it_ends(timers: list[float]) -> None:
    Fixture().rollover.plan(None)
    assert timers == []


@pytest.mark.usefixtures("short_lives")
async def test_the_next_session_is_taken_once() -> None:
    fixture = Fixture()
    assert not fixture.rollover.is_ready
    assert fixture.rollover.take() is None
    session = await fixture.until_ready()
    assert fixture.rollover.is_ready
    assert cast(object, fixture.rollover.take()) is session
    assert not fixture.rollover.is_ready
    assert fixture.rollover.take() is None
    await fixture.rollover.cancel()
    assert session.closed == 0  # it is the taker's
    assert (fixture.asked, fixture.ready) == (1, 1)


@pytest.mark.usefixtures("short_lives")
async def test_one_follows_the_other() -> None:
    fixture = Fixture()
    for number in (1, 2, 3):
        fixture.rollover.plan(NOW)
        await until(lambda number=number: fixture.ready == number)  # type: ignore[misc]
        assert cast(object, fixture.rollover.take()) is fixture.opened[-1]
    assert len(fixture.opened) == 3
    await fixture.rollover.cancel()


@pytest.mark.usefixtures("short_lives")
async def test_it_may_be_taken_as_soon_as_it_is_told() -> None:
    fixture = Fixture()
    taken: list[object] = []
    fixture.rollover = Rollover(
        cast(Callable[[], Awaitable[Session]], fixture._open),
        lambda: taken.append(fixture.rollover.take()),
        lambda: NOW - 0.005,
    )
    fixture.rollover.plan(NOW)
    await until(lambda: bool(taken))
    assert taken == fixture.opened


@pytest.mark.usefixtures("short_lives")
async def test_a_session_that_has_died_is_not_taken() -> None:
    fixture = Fixture()
    session = await fixture.until_ready()
    session.is_over = True
    assert not fixture.rollover.is_ready
    assert fixture.rollover.take() is None
    await fixture.rollover.cancel()


@pytest.mark.parametrize(
    "failure", [DroppedError("overloaded", code=503), StateError("closed")]
)
@pytest.mark.usefixtures("short_lives")
async def test_a_session_that_can_not_be_opened(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fixture = Fixture()
    fixture.failure = failure
    fixture.rollover.plan(NOW)
    await until(lambda: bool(caplog.records))
    assert caplog.messages == [f"no session is ready to take over: {failure}"]
    assert not fixture.rollover.is_ready
    assert fixture.rollover.take() is None
    await fixture.rollover.cancel()
    assert (fixture.asked, fixture.ready) == (1, 0)


@pytest.mark.usefixtures("short_lives")
@pytest.mark.parametrize("end", ["taken", "cancelled", "dead"])
async def test_what_waits_is_kept_alive(end: str) -> None:
    fixture = Fixture()
    session = await fixture.until_ready()
    assert session.kept_alive == 0  # nothing would end it
    await fixture.rollover.cancel()

    fixture.ready = 0
    fixture.inactivity_timeout = 0.02
    session = await fixture.until_ready()
    await until(lambda: session.kept_alive >= 3)
    timer = fixture.rollover._keeper
    assert timer is not None
    if end == "dead":
        session.is_over = True
    elif end == "taken":
        fixture.rollover.take()
    else:
        await fixture.rollover.cancel()
    said = session.kept_alive
    late = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, late.set)
    await late.wait()
    assert session.kept_alive == said
    assert timer.cancelled() is (end != "dead")


# ---- not wanted any more ----


@pytest.mark.usefixtures("short_lives")
async def test_cancelling_what_was_never_planned() -> None:
    fixture = Fixture()
    await fixture.rollover.cancel()
    fixture.rollover.plan(None)
    await fixture.rollover.cancel()
    assert fixture.asked == 0


@pytest.mark.usefixtures("short_lives")
async def test_cancelling_before_it_is_time() -> None:
    fixture = Fixture(left=0.03)
    fixture.rollover.plan(NOW)
    await fixture.rollover.cancel()
    late = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, late.set)
    await late.wait()
    assert fixture.asked == 0


@pytest.mark.usefixtures("short_lives")
async def test_cancelling_while_it_opens() -> None:
    tasks = asyncio.all_tasks()
    fixture = Fixture()
    fixture.may_open.clear()
    fixture.rollover.plan(NOW)
    await until(lambda: fixture.asked == 1)
    await fixture.rollover.cancel()
    assert asyncio.all_tasks() == tasks
    fixture.may_open.set()
    await asyncio.sleep(0)
    assert (fixture.opened, fixture.ready) == ([], 0)
    assert not fixture.rollover.is_ready


@pytest.mark.usefixtures("short_lives")
async def test_cancelling_what_is_ready_closes_it() -> None:
    tasks = asyncio.all_tasks()
    fixture = Fixture()
    session = await fixture.until_ready()
    await fixture.rollover.cancel()
    assert session.closed == 1
    assert fixture.rollover.take() is None
    await fixture.rollover.cancel()
    assert session.closed == 1
    assert asyncio.all_tasks() == tasks


@pytest.mark.usefixtures("short_lives")
async def test_what_is_being_closed_is_not_taken() -> None:
    fixture = Fixture()
    session = await fixture.until_ready()
    session.may_close.clear()
    cancelling = asyncio.ensure_future(fixture.rollover.cancel())
    await until(lambda: session.closed == 1)
    taken = fixture.rollover.take()
    session.may_close.set()
    await within(5, cancelling)
    assert taken is None


@pytest.mark.usefixtures("short_lives")
async def test_it_can_be_planned_again_after_cancelling() -> None:
    fixture = Fixture()
    await fixture.until_ready()
    await fixture.rollover.cancel()
    fixture.ready = 0
    session = await fixture.until_ready()
    assert cast(object, fixture.rollover.take()) is session
