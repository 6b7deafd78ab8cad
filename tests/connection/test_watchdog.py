"""Silence that is noticed, and the one timer that does it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest

from aai_stream.connection.watchdog import (
    TICK_SECONDS,
    Ticker,
    Watchdog,
    this_loops_ticker,
)
from tests.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ticker(clock: Clock) -> Ticker:
    return Ticker(clock)


class Peer:
    """Watched for 9 s; notes when it was asked, and when given up."""

    def __init__(self, ticker: Ticker, seconds: float = 9.0) -> None:
        self.log: list[tuple[str, float]] = []
        begin = ticker.loop.time()

        def note(what: str) -> Callable[[], None]:
            return lambda: self.log.append((what, ticker.loop.time() - begin))

        self.watchdog = Watchdog(
            seconds, note("lost"), ask=note("asked"), ticker=ticker
        )


def test_silence_is_asked_about_and_then_final(clock: Clock, ticker: Ticker) -> None:
    peer = Peer(ticker)
    clock.run(60)
    (asked, asked_at), (lost, lost_at) = peer.log
    assert (asked, lost) == ("asked", "lost")
    assert 5 <= asked_at <= 5.9
    assert 9 <= lost_at <= 10.8
    assert clock.waiting == []


def test_an_answer_saves_it(clock: Clock, ticker: Ticker) -> None:
    peer = Peer(ticker)
    clock.run(8)
    peer.watchdog.heard()
    assert peer.watchdog.silent_seconds == 0
    clock.run(4.5)
    assert peer.watchdog.silent_seconds == 4.5
    assert [what for what, _ in peer.log] == ["asked"]
    clock.run(60)
    assert [what for what, _ in peer.log] == ["asked", "asked", "lost"]


def test_who_talks_is_never_asked(clock: Clock, ticker: Ticker) -> None:
    peer = Peer(ticker)
    for _ in range(100):
        clock.run(4.5)
        peer.watchdog.heard()
    assert peer.log == []


@pytest.mark.parametrize(("seconds", "ask_after"), [(0.3, 0.2), (6, 4), (60, 5)])
def test_when_it_is_asked(
    clock: Clock, ticker: Ticker, seconds: float, ask_after: float
) -> None:
    peer = Peer(ticker, seconds=seconds)
    clock.run(2 * seconds)
    (_, asked_at), (_, lost_at) = peer.log
    tick = peer.watchdog.tick_seconds
    assert ask_after - 0.001 <= asked_at <= ask_after + tick + 0.001
    assert seconds - 0.001 <= lost_at <= seconds + 2 * tick + 0.001


def test_a_loop_that_was_blocked_asks_first(clock: Clock, ticker: Ticker) -> None:
    peer = Peer(ticker)
    clock.block(30)
    clock.run(0)
    assert [what for what, _ in peer.log] == ["asked"]
    clock.run(2)
    peer.watchdog.heard()
    clock.run(5)
    assert [what for what, _ in peer.log] == ["asked"]


def test_a_hundred_share_one_timer(clock: Clock, ticker: Ticker) -> None:
    peers = [Peer(ticker, seconds=60) for _ in range(100)]
    assert len(clock.waiting) == 1
    clock.run(30)
    assert len(clock.waiting) == 1
    assert clock.waiting[0].at - clock.now <= TICK_SECONDS
    for peer in peers:
        peer.watchdog.stop()
    assert clock.waiting == []


def test_one_in_a_hurry_is_not_late(clock: Clock, ticker: Ticker) -> None:
    slow, quick = Peer(ticker, seconds=60), Peer(ticker, seconds=0.3)
    clock.run(0.4)
    assert [what for what, _ in quick.log] == ["asked", "lost"]
    clock.run(4)
    assert slow.log == []
    assert clock.waiting[0].at - clock.now <= TICK_SECONDS


def test_one_may_stop_another(clock: Clock, ticker: Ticker) -> None:
    lost: list[int] = []
    watchdogs: list[Watchdog] = []

    def lose(number: int) -> None:
        lost.append(number)
        for watchdog in watchdogs:
            watchdog.stop()

    for number in range(3):
        watchdogs.append(Watchdog(9, partial(lose, number), ticker=ticker))
    clock.run(60)
    assert lost == [0]
    assert clock.waiting == []


async def test_each_loop_has_its_own_ticker() -> None:
    mine = this_loops_ticker()
    assert this_loops_ticker() is mine
    others: list[Ticker] = []

    def another() -> None:
        for _ in range(2):

            async def get() -> None:
                others.append(this_loops_ticker())

            asyncio.run(get())

    thread = threading.Thread(target=another)
    thread.start()
    thread.join()
    assert len({id(ticker) for ticker in (mine, *others)}) == 3
    assert this_loops_ticker() is mine


async def test_it_goes_by_the_loop_s_clock() -> None:
    lost = asyncio.Event()
    Watchdog(0.03, lost.set)
    assert this_loops_ticker().is_running
    await asyncio.wait_for(lost.wait(), 5)
    assert not this_loops_ticker().is_running
