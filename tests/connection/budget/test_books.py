"""Who goes when, of several processes: the same for a host's file and for Redis."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aai_stream.connection.budget.book import CROWD_SECONDS
from aai_stream.connection.budget.fleet import FleetBook
from aai_stream.connection.budget.limits import WINDOW_SECONDS, Limits
from tests.connection.budget.books import OpenBook, Process, in_fleet, on_host
from tests.redises import RedisServer, needs_redis, redis_server

MINUTE = Limits(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["file", pytest.param("redis", marks=needs_redis)])
def open_book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenBook]:
    if request.param == "file":
        yield on_host(tmp_path)
        return
    server: RedisServer = request.getfixturevalue("server")
    with server.client() as client:
        client.flushall()
    opened: list[FleetBook] = []

    def open_book(clock: Callable[[], float]) -> FleetBook:
        opened.append(in_fleet(server.url, clock))
        return opened[-1]

    yield open_book
    for book in opened:
        assert book._script is not None
        book._script.registered_client.close()


class Account:
    """Its processes, by name, and the time, in seconds."""

    def __init__(self, open_book: OpenBook, limits: Limits) -> None:
        self.now = 100.0
        self.limits = limits
        self.processes: dict[str, Process] = defaultdict(
            lambda: Process(open_book(self.time), self.time)
        )
        self.turns: Counter[str] = Counter()
        self._gone: list[tuple[str, float]] = []
        self._begin = self.now
        self._asks_at: dict[str, float] = {}

    def time(self) -> float:
        return self.now

    def begin(self) -> None:
        """Time counts from here, and who goes."""
        self._begin = self.now
        self._gone.clear()

    @property
    def gone(self) -> list[str]:
        return [name for name, _ in self._gone]

    @property
    def moments(self) -> list[float]:
        return [at - self._begin for _, at in self._gone]

    def ask(self, process: str, *tickets: tuple[str, float]) -> None:
        """Tickets that sort by when they came, with what is at stake."""
        self.processes[process].asks.update(tickets)
        self.turn(process)

    def turn(self, name: str) -> None:
        gone, wait = self.processes[name].turn(self.limits)
        self.turns[name] += 1
        self._gone += [(one, self.now) for one in gone]
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
    """A minute's sessions began, one a second: so their places are free again, from
    1 s on."""
    account = Account(open_book, MINUTE)
    for number in range(60):
        account.ask("first", (f"0{number:02}", 0.0))
        account.now += 1
    assert len(account.gone) == 60
    account.begin()
    return account


def soon(*moments: float) -> Any:
    """Equal to what is some milliseconds later at most."""
    return pytest.approx([moment + 0.005 for moment in moments], abs=0.006)


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        pytest.param(
            [("A", ("1", 1)), ("B", ("2", 3)), ("C", ("3", 2))],
            ["2", "3", "1"],
            id="most at stake first",
        ),
        pytest.param(
            [("C", ("1", 5)), ("A", ("2", 5)), ("B", ("3", 5))],
            ["1", "2", "3"],
            id="equals in the order in which they came",
        ),
        pytest.param(
            [("A", ("1", 5), ("2", 1)), ("B", ("3", 5), ("4", 1))],
            ["1", "3", "2", "4"],
            id="several of each process",
        ),
        pytest.param(
            [("A", *[(f"1{n}", 2) for n in range(5)]), ("B", ("2", 3))],
            ["2", "10", "11", "12", "13", "14"],
            id="a late one with more, before many",
        ),
    ],
)
def test_who_goes_when(
    full: Account, asks: list[tuple[Any, ...]], expected: list[str]
) -> None:
    for process, *tickets in asks:
        full.ask(process, *tickets)
    full.run(20)
    assert full.gone == expected
    assert full.moments == soon(*range(1, len(expected) + 1))


def test_what_is_at_stake_counts_as_last_told(full: Account) -> None:
    full.ask("A", ("1", 3))
    full.ask("B", ("2", 0))
    full.processes["B"].asks["2"] = 7
    full.run(5)
    assert full.gone == ["2", "1"]


def test_who_leaves_takes_no_place(full: Account) -> None:
    full.ask("A", ("1", 9))
    full.ask("B", ("2", 1))
    full.processes["A"].asks.clear()
    full.run(2)
    assert full.gone == ["2"]
    assert full.moments == soon(1)


def test_who_does_not_use_a_place_gives_it_back(full: Account) -> None:
    full.ask("A", ("1", 0))
    full.processes["first"].give_back("059")
    full.turn("first")
    full.run(0.5)
    assert full.gone == ["1"]
    assert full.moments == [0.5]


def test_who_is_first_but_does_not_ask_holds_up_nobody_for_long(full: Account) -> None:
    full.ask("stuck", ("1", 9))
    full.ask("A", ("2", 1))
    full.stop("stuck")
    full.run(1.5)
    assert full.gone == []  # it might yet come
    full.run(20)
    assert full.gone == ["2"]
    assert full.moments == soon(2)  # the second place
    full.turn("stuck")
    assert full.gone == ["2", "1"]


def test_no_minute_sees_too_many_whoever_asks(open_book: OpenBook) -> None:
    account = Account(open_book, MINUTE)
    for number in range(12):
        account.ask(f"p{number}", *[(f"{n:03}-{number}", n % 3) for n in range(10)])
        account.run(1.7)
    account.run(300)
    moments = account.moments
    assert len(moments) == 120
    assert max(sum(s <= m < s + WINDOW_SECONDS for m in moments) for s in moments) == 60
    # The first 60 came until 8.5 s, and no place is left unused.
    assert 0 < moments[-1] - (8.5 + WINDOW_SECONDS) <= CROWD_SECONDS


def test_a_minute_is_one_whoever_began_in_it(open_book: OpenBook) -> None:
    """Sessions count until they are a minute old, though they and their process
    ended."""
    account = Account(open_book, MINUTE)
    account.ask("A", *[(f"{number:02}", 0.0) for number in range(60)])
    account.processes["A"].held = 0
    account.turn("A")
    account.stop("A")
    account.now += 10
    account.ask("B", ("1", 0.0))
    account.run(WINDOW_SECONDS)
    assert account.gone[60:] == ["1"]
    assert account.moments[60:] == soon(WINDOW_SECONDS)


def test_who_waits_for_the_same_instant_asks_no_more_often(open_book: OpenBook) -> None:
    """A minute's sessions leave the window at once, and one place is another's."""
    account = Account(open_book, MINUTE)
    account.ask("first", *[(f"{number:02}", 0.0) for number in range(60)])
    account.run(WINDOW_SECONDS - 3)
    account.ask("stuck", ("0", 9))
    account.stop("stuck")
    for number in range(1, 70):
        account.ask(f"p{number}", (f"{number:02}", 0.0))
    account.turns.clear()
    account.run(3 + CROWD_SECONDS + 0.1)
    assert len(account.gone) == 60 + 59
    assert max(account.turns.values()) <= 8


def test_all_see_what_is_in_use(open_book: OpenBook) -> None:
    account = Account(open_book, MINUTE)
    account.ask("A", ("1", 0), ("2", 0))
    account.ask("B", ("3", 0))
    assert account.processes["none"].in_use(MINUTE) == 3
    account.processes["A"].held -= 1
    assert account.processes["A"].in_use(MINUTE) == 2
    assert account.processes["none"].in_use(Limits()) == 2


def test_sessions_at_once_are_those_of_all(open_book: OpenBook) -> None:
    account = Account(open_book, Limits(max_sessions=3))
    account.ask("A", ("1", 0), ("2", 0))
    account.ask("B", ("3", 0), ("4", 0))
    account.ask("C", ("5", 9))
    assert account.gone == ["1", "2", "3"]
    account.run(60)
    assert len(account.gone) == 3
    account.processes["A"].held -= 1
    account.turn("A")
    account.run(1)
    assert account.gone[3:] == ["5"]
    account.processes["C"].held -= 1
    account.processes["A"].held -= 1
    account.turn("A")
    account.turn("C")
    account.run(1)
    assert account.gone[4:] == ["4"]


def test_who_ends_leaves_nothing(open_book: OpenBook) -> None:
    account = Account(open_book, Limits(max_sessions=1))
    account.ask("A", ("1", 0))
    account.ask("B", ("2", 5))
    account.ask("C", ("3", 0))
    for name in "AB":
        account.processes[name].book.turn(account.limits, [], 0, {})
        account.stop(name)
    account.run(1)
    assert account.gone == ["1", "3"]
    assert account.moments == [0, pytest.approx(0.5, abs=0.02)]
