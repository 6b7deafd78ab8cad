"""The faults of a running server: which connections they strike, and which happened."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import web

from ..clock import Clock
from .connection import ConnectionFaults
from .kinds import Fault
from .moments import EVERY, On
from .transport import FaultyTransport

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Applied:
    """A fault that has happened, to the `connection`-th that the server has had."""

    fault: Fault
    connection: int
    audio_ms: int
    """How much of the session's audio had arrived."""


@dataclass(frozen=True)
class State:
    """A fault, and how far it has come."""

    fault: Fault
    times: int
    """How often it has happened."""
    ends: float
    """By the server's clock; infinity unless it has happened and `lasts`."""
    spent: bool
    """It strikes no connection any more, because all that it was for have come."""


class Faults:
    """The faults of a server; they can be changed while it runs.

    Faults that are due at the same moment happen in the order of this list. Each counts
    connections (requests for a websocket) from the time it was added. It strikes
    sessions that were open then only if it is for `every` connection, and at once if
    its moment has passed.
    """

    def __init__(
        self,
        faults: Iterable[Fault],
        clock: Clock,
        shut_port: Callable[[float], Awaitable[None]],
    ) -> None:
        self.applied: list[Applied] = []
        """The faults that have happened, in order."""
        self.listener: Callable[[Applied], None] | None = None
        """Called with each fault that has happened."""
        self._watches = [_Watch(fault) for fault in faults]
        self._clock = clock
        self._shut_port = shut_port
        self._connections = 0
        self._open: list[ConnectionFaults] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter([watch.fault for watch in self._watches])

    @property
    def states(self) -> list[State]:
        """What each fault is doing, in their order."""
        return [watch.state for watch in self._watches]

    def strike(self, fault: Fault, number: int | None = None) -> None:
        """Let a fault happen in sessions that are open, and in none that come later.

        With `number`, in that connection only; no effect if it is over.
        """
        for connection in self._open:
            if number is None or connection.number == number:
                connection.arm(fault)

    def append(self, fault: Fault) -> None:
        """Add a fault."""
        watch = _Watch(fault)
        self._watches.append(watch)
        if fault.on == EVERY:
            for connection in self._open:
                if watch.strikes(self._clock.monotonic()):
                    connection.arm(fault)

    def clear(self) -> None:
        """Remove all faults. Nothing is undone: a mute session stays mute."""
        self._watches.clear()
        for connection in self._open:
            connection.disarm()

    @asynccontextmanager
    async def attend(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        more: Iterable[Fault] = (),
    ) -> AsyncIterator[ConnectionFaults]:
        """The faults of the connection on which `request` asks for `websocket`.

        `more` strike it besides. Raises `web.HTTPException` if the request isn't to be
        served. Leaving it waits until the connection may be closed.
        """
        self._connections += 1
        transport = request.transport
        if transport is None:  # the client has gone
            raise web.HTTPServiceUnavailable
        assert isinstance(transport, FaultyTransport)
        connection = ConnectionFaults(
            websocket,
            transport,
            self._clock,
            self._connections,
            struck=self._struck,
            shut_port=self._shut_port,
        )
        self._open.append(connection)
        for fault in more:
            connection.arm(replace(fault, on=On(connection.number, connection.number)))
        for watch in self._watches:
            if watch.strikes(self._clock.monotonic()):
                connection.arm(watch.fault)
        try:
            await connection.before_handshake()
            yield connection
            await connection.hang_up()
        finally:
            self._open.remove(connection)
            connection.forget()

    def release(self) -> None:
        """The server stops: nothing more goes wrong, nothing is held open."""
        self._watches.clear()
        for connection in self._open:
            connection.release()

    def _struck(self, fault: Fault, connection: ConnectionFaults) -> None:
        applied = Applied(fault, connection.number, int(connection.audio_ms))
        self.applied.append(applied)
        for watch in self._watches:
            if watch.fault is fault:
                watch.happened(self._clock.monotonic())
        if self.listener is not None:
            self.listener(applied)
        # A warning, for `aai-stream serve` to show it without any set-up.
        logger.warning(
            "fault on connection %d, %d ms of audio: %s",
            applied.connection,
            applied.audio_ms,
            fault,
        )


class _Watch:
    """A fault, and how many connections there were since it was added."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._seen = 0
        self._random = random.Random(fault.seed)
        self._ends = math.inf
        self._times = 0

    @property
    def state(self) -> State:
        last = self.fault.on.last
        spent = last is not None and self._seen >= last
        return State(self.fault, self._times, self._ends, spent)

    def happened(self, now: float) -> None:
        """It has happened. From the first time on it lasts for as long as it says."""
        self._times += 1
        if self.fault.lasts is not None:
            self._ends = min(self._ends, now + self.fault.lasts)

    def strikes(self, now: float) -> bool:
        """Whether it strikes the next connection, which is here now."""
        self._seen += 1
        if self._seen not in self.fault.on or now >= self._ends:
            return False
        return self._random.random() < self.fault.chance
