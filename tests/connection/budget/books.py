"""Several processes' views of one account, as objects; time is turned by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aai_stream.connection.budget.book import Ask, Turn
from aai_stream.connection.budget.fleet import FleetBook
from aai_stream.connection.budget.host import HostBook
from aai_stream.connection.budget.limits import Limits

OpenBook = Callable[[Callable[[], float]], HostBook | FleetBook]
"""Another process's view, by that clock."""


def on_host(directory: Path) -> OpenBook:
    """Of one host."""
    return lambda clock: HostBook(directory / "host.sqlite", clock)


def in_fleet(url: str) -> OpenBook:
    """Of hosts of their own."""
    return lambda clock: FleetBook(
        url, "account", HostBook(None, clock), clock=clock, server_clock=clock
    )


class Process:
    """One of those who share an account; states what it wants, turn by turn."""

    def __init__(self, book: HostBook | FleetBook) -> None:
        self.book = book
        self.asks: dict[str, float] = {}
        self.held = 0
        self.back = 0

    def turn(self, limits: Limits) -> tuple[list[str], float]:
        """Who goes, and when it is to ask again."""
        asks = [Ask(*one) for one in self.asks.items()]
        asks.sort(key=lambda ask: (-ask.urgency, ask.came))
        turn: Turn = self.book.turn(limits, asks, self.held, self.back)
        gone = [ask.came for ask in asks[: turn.admitted]]
        for name in gone:
            del self.asks[name]
        self.held += len(gone)
        self.back = 0
        return gone, turn.wait
