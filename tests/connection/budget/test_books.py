"""Who goes when, of several processes: the same for a host's file and for Redis."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aai_stream.connection.budget.limits import Limits
from tests.connection.budget.books import OpenBook, Process, in_fleet, on_host
from tests.redises import RedisServer, needs_redis, redis_server

MINUTE = Limits(60)
"""30 at once, then one every 2 s."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["file", pytest.param("redis", marks=needs_redis)])
def open_book(request: pytest.FixtureRequest, tmp_path: Path) -> OpenBook:
    if request.param == "file":
        return on_host(tmp_path)
    server: RedisServer = request.getfixturevalue("server")
    with server.client() as client:
        client.flushall()
    return in_fleet(server.url)


class Account:
    """Its processes, by name, and the time, in seconds."""

    def __init__(self, open_book: OpenBook, limits: Limits) -> None:
        self.now = 100.0
        self.limits = limits
        self.processes: dict[str, Process] = defaultdict(
            lambda: Process(open_book(lambda: self.now))
        )
        self.gone: list[tuple[str, float]] = []
        self._asks_at: dict[str, float] = {}

    @property
    def gone_at(self) -> dict[str, float]:
        return dict(self.gone)

    def ask(self, process: str, *tickets: tuple[str, float]) -> None:
        """Tickets that sort by when they came, with what is at stake."""
        self.processes[process].asks.update(tickets)
        self.turn(process)

    def turn(self, name: str) -> None:
        gone, wait = self.processes[name].turn(self.limits)
        self.gone += [(one, self.now - 100) for one in gone]
        self._asks_at[name] = self.now + wait

    def run(self, seconds: float) -> None:
        """Let time pass; each process asks when it was told to."""
        end = self.now + seconds
        while (at := min(self._asks_at.values())) <= end:
            self.now = at
            name = min(self._asks_at, key=lambda name: self._asks_at[name])
            self.turn(name)
        self.now = end

    def stop(self, name: str) -> None:
        """It asks no more."""
        self._asks_at[name] = math.inf


@pytest.fixture
def full(open_book: OpenBook) -> Account:
    """What may go at once has gone: the next place is free in 2 s."""
    account = Account(open_book, MINUTE)
    account.ask("first", *[(f"0{number:02}", 0.0) for number in range(30)])
    assert len(account.gone) == 30
    account.gone.clear()
    return account


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        pytest.param(
            [("A", ("1", 1)), ("B", ("2", 3)), ("C", ("3", 2))],
            [("2", 2), ("3", 4), ("1", 6)],
            id="most at stake first",
        ),
        pytest.param(
            [("C", ("1", 5)), ("A", ("2", 5)), ("B", ("3", 5))],
            [("1", 2), ("2", 4), ("3", 6)],
            id="equals in the order in which they came",
        ),
        pytest.param(
            [("A", ("1", 5), ("2", 1)), ("B", ("3", 5), ("4", 1))],
            [("1", 2), ("3", 4), ("2", 6), ("4", 8)],
            id="several of each process",
        ),
        pytest.param(
            [("A", *[(f"1{n}", 2) for n in range(5)]), ("B", ("2", 3))],
            [("2", 2), ("10", 4), ("11", 6), ("12", 8), ("13", 10), ("14", 12)],
            id="a late one with more, before many",
        ),
    ],
)
def test_who_goes_when(
    full: Account, asks: list[tuple[Any, ...]], expected: list[tuple[str, float]]
) -> None:
    for process, *tickets in asks:
        full.ask(process, *tickets)
    full.run(20)
    assert [name for name, _ in full.gone] == [name for name, _ in expected]
    assert [at for _, at in full.gone] == pytest.approx([at for _, at in expected])


def test_what_is_at_stake_counts_as_last_told(full: Account) -> None:
    full.ask("A", ("1", 3))
    full.ask("B", ("2", 0))
    full.processes["B"].asks["2"] = 7
    full.run(5)
    assert [name for name, _ in full.gone] == ["2", "1"]


def test_who_leaves_takes_no_place(full: Account) -> None:
    full.ask("A", ("1", 9))
    full.ask("B", ("2", 1))
    full.processes["A"].asks.clear()
    full.run(2)
    assert full.gone_at == {"2": pytest.approx(2)}


def test_who_does_not_use_a_place_gives_it_back(full: Account) -> None:
    full.ask("A", ("1", 0))
    full.processes["first"].held -= 1
    full.processes["first"].back += 1
    full.turn("first")
    full.run(0.5)
    assert full.gone_at == {"1": pytest.approx(0.5)}


def test_who_is_first_but_does_not_ask_holds_up_nobody_for_long(full: Account) -> None:
    full.ask("stuck", ("1", 9))
    full.ask("A", ("2", 1))
    full.stop("stuck")
    full.run(3)
    assert full.gone == []  # it might yet come
    full.run(20)
    assert full.gone_at == {"2": pytest.approx(4)}  # the second place
    full.turn("stuck")
    assert [name for name, _ in full.gone] == ["2", "1"]


def test_no_minute_sees_too_many_whoever_asks(open_book: OpenBook) -> None:
    account = Account(open_book, MINUTE)
    for number in range(12):
        account.ask(f"p{number}", *[(f"{n:03}-{number}", n % 3) for n in range(10)])
        account.run(1.7)
    account.run(300)
    moments = [at for _, at in account.gone]
    assert len(moments) == 120
    assert max(sum(s <= m < s + 60 - 1e-3 for m in moments) for s in moments) <= 60
    assert max(moments) == pytest.approx(180, abs=2)  # and no place is left unused


def test_sessions_at_once_are_those_of_all(open_book: OpenBook) -> None:
    account = Account(open_book, Limits(max_sessions=3))
    account.ask("A", ("1", 0), ("2", 0))
    account.ask("B", ("3", 0), ("4", 0))
    account.ask("C", ("5", 9))
    assert [name for name, _ in account.gone] == ["1", "2", "3"]
    account.run(60)
    assert len(account.gone) == 3
    account.processes["A"].held -= 1
    account.turn("A")
    account.run(1)
    assert [name for name, _ in account.gone[3:]] == ["5"]
    account.processes["C"].held -= 1
    account.processes["A"].held -= 1
    account.turn("A")
    account.turn("C")
    account.run(1)
    assert [name for name, _ in account.gone[4:]] == ["4"]


def test_who_ends_leaves_nothing(open_book: OpenBook) -> None:
    account = Account(open_book, Limits(max_sessions=1))
    account.ask("A", ("1", 0))
    account.ask("B", ("2", 5))
    account.ask("C", ("3", 0))
    for name in "AB":
        account.processes[name].book.turn(account.limits, [], 0, 0)
        account.stop(name)
    account.run(1)
    assert account.gone_at == {"1": 0, "3": pytest.approx(0.5, abs=0.02)}
