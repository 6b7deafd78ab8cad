"""Has streams wait until their account lets them open a session.

AssemblyAI counts an account's new sessions a minute, and its sessions at once, and
refuses what is over its limits. A hundred streams that lose their server at once would
be over them at once.
"""

from __future__ import annotations

import asyncio
import atexit
import heapq
import itertools
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from .budget.book import Ask, Book, Turn
from .budget.limits import WINDOW_SECONDS, Limits
from .budget.pump import Pump

logger = logging.getLogger("aai_stream")

Urgency = Callable[[], float]
"""How much is at stake for one who waits; asked again and again, in any thread."""

MOST_ASKS = 256
"""So many of those who wait are in the account's line, those with most at stake; none
of the others would go before they have."""


class Wakes(Protocol):
    """Works soon; see `Pump`."""

    def wake(self) -> None:
        """Have it work."""


class Place:
    """One who waits for a place, and then has it."""

    def __init__(self, came: str, urgency: Urgency, leave: Callable[[], None]) -> None:
        self.came = came
        self.urgency = urgency
        self.had = asyncio.get_running_loop().create_future()
        self.is_had = False
        self._leave: Callable[[], None] | None = leave

    def release(self) -> None:
        """The session is over, or was never opened. Again, it does nothing."""
        if self._leave is not None:
            self._leave()
            self._leave = None

    def have(self) -> bool:
        """It is free now. Whether there still is somebody who waits for it."""
        self.is_had = self._tell(lambda: self.had.set_result(None))
        return self.is_had

    def fail(self, exc: Exception) -> None:
        """It never will be free."""
        self._tell(lambda: self.had.set_exception(exc))

    def _tell(self, tell: Callable[[], None]) -> bool:
        def unless_gone() -> None:
            if not self.had.done():
                tell()

        with suppress(RuntimeError):  # closed: nobody waits there any more
            self.had.get_loop().call_soon_threadsafe(unless_gone)
            return True
        return False


class ConnectLimiter:
    """Has streams, also of several event loops, wait for an account's places.

    What `open_book` gives counts these; `pump` calls the function that it is made with
    whenever there is something to ask the book. `limits` may be changed. `clock`, in
    seconds, tells who came first, on whichever host; `monotonic` how long ago a session
    began.
    """

    def __init__(
        self,
        limits: Limits,
        open_book: Callable[[], Book],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        pump: Callable[[Callable[[], float]], Wakes] = Pump,
    ) -> None:
        self.limits = limits
        self._open_book = open_book
        self._book: Book | None = None  # once there was something to ask
        self._asking = threading.Lock()  # the book takes one at a time
        self._clock = clock
        self._monotonic = monotonic
        self._pump = pump(self._ask)
        self._lock = threading.Lock()  # of what follows
        self._waiting: dict[str, Place] = {}  # in the order in which they came
        self._held = 0  # sessions
        self._begun: dict[str, float] = {}  # when who went, within the window
        self._numbers = itertools.count()

    @property
    def waiting(self) -> int:
        """How many wait here."""
        return len(self._waiting)

    async def admit(self, urgency: Urgency) -> Place:
        """Wait until one more session may be opened; it counts until the place is
        released.

        `urgency` says how much is at stake for this one: of all who wait for this
        account when a place is free, the one with most gets it, among equals the first.
        """
        came = f"{int(self._clock() * 1e6):017}-{next(self._numbers):06}"
        place = Place(came, urgency, self._end)
        with self._lock:
            self._waiting[came] = place
        self._pump.wake()
        try:
            await place.had
        except asyncio.CancelledError:
            with self._lock:
                self._waiting.pop(came, None)
                if place.is_had:
                    self._give_back(came)
            self._pump.wake()
            raise
        return place

    def in_use(self) -> int:
        """How many sessions the account has, in all processes. Blocks, so it is not for
        an event loop's thread.

        Raises what the book fails with.
        """
        turn = self._turn()
        if turn.wait == 0:
            self._pump.wake()
        return turn.in_use

    def _give_back(self, came: str) -> None:
        """A place was had and not used."""
        self._held -= 1
        self._begun.pop(came, None)

    def _end(self) -> None:
        with self._lock:
            self._held -= 1
        self._pump.wake()

    def _ask(self) -> float:
        """Let in whom there is a place for. Returns the seconds until it is to be
        called again."""
        try:
            return self._turn().wait
        except Exception as exc:
            self._fail(exc)
            return math.inf

    def _turn(self) -> Turn:
        with self._asking:
            with self._lock:
                waiting = self._waiting.values()
                first = heapq.nsmallest(
                    MOST_ASKS,
                    (Ask(place.came, place.urgency()) for place in waiting),
                    key=lambda ask: (-ask.urgency, ask.came),
                )
                held, begun = self._held, self._ages()
            if self._book is None:
                self._book = self._open_book()
            turn = self._book.turn(self.limits, first, held, begun)
            with self._lock:
                is_settled = self._let_in(first[: turn.admitted])
        if is_settled and turn.admitted < MOST_ASKS:
            return turn
        return turn._replace(wait=0.0)

    def _ages(self) -> dict[str, float]:
        """Of the sessions that began within the window, in seconds."""
        now = self._monotonic()
        ages = {came: now - at for came, at in self._begun.items()}
        for came in [came for came, age in ages.items() if age >= WINDOW_SECONDS]:
            del ages[came], self._begun[came]
        return ages

    def _let_in(self, asks: list[Ask]) -> bool:
        """Whether all of them use their places."""
        now = self._monotonic()
        is_settled = True
        for ask in asks:
            self._held += 1
            self._begun[ask.came] = now
            place = self._waiting.pop(ask.came, None)
            if place is None or not place.have():  # it left in the meantime
                self._give_back(ask.came)
                is_settled = False
        return is_settled

    def _fail(self, exc: Exception) -> None:
        """Nobody is let in: tell those who wait."""
        # Its text may have more of a URL than a log should.
        logger.error("an account's sessions can't be counted: %s", type(exc).__name__)
        with self._lock:
            places = list(self._waiting.values())
            self._waiting.clear()
        for place in places:
            place.fail(exc)

    def leave(self) -> None:
        """Give all places back: this process ends, and asks for nothing any more."""
        self._asking.acquire()
        if self._book is not None and (self._held or self._waiting):
            self._book.turn(self.limits, [], 0, self._ages())


_limiters: dict[tuple[str, str, str | None], ConnectLimiter] = {}
_parents: list[ConnectLimiter] = []
"""What a fork keeps, lest SQLite close its parent's files."""


def shared_limiter(
    host: str, account: str, limits: Limits, budget: str | None
) -> ConnectLimiter | None:
    """The limiter of all streams to `host` for `account`, an opaque name; None if there
    is no limit. The limits given last count.

    It is shared by all processes of this host, and by those of all hosts with the same
    `budget`, a Redis's URL.
    """
    if limits == Limits():
        return None
    key = host, account, budget
    if (limiter := _limiters.get(key)) is None:
        made = ConnectLimiter(limits, partial(_open_book, *key))
        limiter = _limiters.setdefault(key, made)
    limiter.limits = limits
    return limiter


def _open_book(host: str, account: str, budget: str | None) -> Book:
    # Imported here: SQLite is needed for sessions only.
    from .budget.host import host_book

    here = host_book(host, account)
    if budget is None:
        return here
    from .budget.fleet import FleetBook

    return FleetBook(budget, f"{host}\0{account}", here)


@atexit.register
def _leave() -> None:
    for limiter in _limiters.values():
        limiter.leave()


def _forget_parents() -> None:
    _parents.extend(_limiters.values())
    _limiters.clear()


os.register_at_fork(after_in_child=_forget_parents)
