"""Several processes' views of one account, as objects; time is turned by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from aai_stream.connection.budget.book import Ask, Turn
from aai_stream.connection.budget.fleet import FleetBook
from aai_stream.connection.budget.host import HostBook
from aai_stream.connection.budget.limits import WINDOW_SECONDS, Limits

OpenBook = Callable[[Callable[[], float]], HostBook | FleetBook]
"""Another process's view, by that clock."""


def on_host(directory: Path) -> OpenBook:
    """Of one host."""
    return lambda clock: HostBook(directory / "host.sqlite", clock)


def in_fleet(url: str, clock: Callable[[], float]) -> FleetBook:
    """Of a host of its own."""
    return FleetBook(
        url, "account", HostBook(None, clock), clock=clock, server_clock=clock
    )


class Process:
    """One of those who share an account; states what it wants and what it began, turn
    by turn."""

    def __init__(self, book: HostBook | FleetBook, clock: Callable[[], float]) -> None:
        self.book = book
        self.asks: dict[str, float] = {}
        self.held = 0
        self._clock = clock
        self._begun: dict[str, float] = {}  # when

    def turn(self, limits: Limits) -> tuple[list[str], float]:
        """Who goes, and when it is to ask again."""
        now = self._clock()
        asks = [Ask(*one) for one in self.asks.items()]
        asks.sort(key=lambda ask: (-ask.urgency, ask.came))
        turn = self._state(limits, asks)
        gone = [ask.came for ask in asks[: turn.admitted]]
        for name in gone:
            del self.asks[name]
            self._begun[name] = now
        self.held += len(gone)
        return gone, turn.wait

    def in_use(self, limits: Limits) -> int:
        """How many sessions all have, when this one asks for none."""
        return self._state(limits, []).in_use

    def give_back(self, name: str) -> None:
        """It went, and didn't use its place."""
        self.held -= 1
        del self._begun[name]

    def _state(self, limits: Limits, asks: list[Ask]) -> Turn:
        now = self._clock()
        ages = {name: now - at for name, at in self._begun.items()}
        begun = {name: age for name, age in ages.items() if age < WINDOW_SECONDS}
        return self.book.turn(limits, asks, self.held, begun)


class Fleet:
    """Processes on hosts; all clocks are one, turned by hand."""

    def __init__(self, url: str, directory: Path) -> None:
        self.now = 1000.0
        self._url = url
        self._directory = directory
        self._opened: list[FleetBook] = []

    def process(self, host: str) -> Process:
        here = HostBook(self._directory / f"{host}.sqlite", self.time)
        book = FleetBook(
            self._url, "account", here, clock=self.time, server_clock=self.time
        )
        self._opened.append(book)
        return Process(book, self.time)

    def close(self) -> None:
        """Its connections."""
        for book in self._opened:
            if book._script is not None:
                book._script.registered_client.close()

    def time(self) -> float:
        return self.now


NUMBERS = itertools.count()


def ask(process: Process, limits: Limits, count: int) -> int:
    """How many of so many more go."""
    process.asks.update({f"{next(NUMBERS):06}": 0.0 for _ in range(count)})
    return len(process.turn(limits)[0])
