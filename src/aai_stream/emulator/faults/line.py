"""A client's connection, and when faults happen to it; `damage.py` is how.

A `Conversation` tells its messages to a `Line` and iterates over what the client says.
The line counts what goes by, and so knows the moments at which its faults are due.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from ..clock import Clock, Timers
from ..replies import Message
from .damage import Damage
from .kinds import KINDS, Fault
from .shaping import Shaping

if TYPE_CHECKING:
    from ..server.settings import Settings


class Line:
    """The websocket `socket` of `request`, the `number`-th connection.

    `struck` is called with each fault that has happened, `shut_port` makes the server
    refuse others. Faults are handed over by `arm`. The server waits for `connected`
    before it answers and for `hang_up` when its conversation is over.
    """

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        clock: Clock,
        number: int,
        *,
        struck: Callable[[Fault, Line], None],
        shut_port: Callable[[float], Awaitable[None]],
    ) -> None:
        self.number = number
        self._socket = socket
        self._clock = clock
        self._timers = Timers(clock)
        self._struck = struck
        self._damage = Damage(request, socket, self._timers, shut_port)
        self._shaping = Shaping(self._happened)
        self._pending: list[Fault] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = defaultdict[str, float](float, seconds=-1)
        """How far the events of `moments.At` have come."""
        self._began = 0.0
        self.settings: Settings | None = None
        """What the session was asked to do, once that is understood."""
        self._audio_bytes = 0

    @property
    def audio_ms(self) -> float:
        """How much of the session's audio has come."""
        if self.settings is None:
            return 0.0
        width = 1 if self.settings.mulaw else 2
        return self._audio_bytes * 1000 / (width * self.settings.sample_rate)

    @property
    def close_code(self) -> int | None:
        """What the client closed the websocket with; None if it did not."""
        code = self._socket.close_code
        return None if code == WSCloseCode.ABNORMAL_CLOSURE else code

    @property
    def late(self) -> bool:
        """Whether a fault holds back what there is to tell."""
        return self._damage.late

    # What the server does

    async def connected(self) -> None:
        """Let what is due before the handshake happen.

        Raises `web.HTTPException` when there is no handshake to follow.
        """
        damage = self._damage
        self._counts["connect"] = 1
        await self._strike_due("connect")
        if damage.deaf:
            await damage.cut.wait()
        if damage.refusal is not None:
            raise damage.refusal
        if damage.cut.is_set():
            raise web.HTTPServiceUnavailable  # which nobody will read

    async def tell(self, message: Message) -> None:
        """Send `message`, a JSON object. Raises `ConnectionError`."""
        if not self._counts["open"]:
            self._counts["open"] = 1
            await self._strike_due("open")
        if message["type"] == "Turn":
            self._counts["turn"] += 1
            self._counts["final"] += bool(message.get("end_of_turn"))
            self._shape_due()
        if seconds := self._shaping.lateness(message):
            await self._damage.hold(seconds)
        for each in self._shaping.shape(message):
            await self._damage.send(each)
        if message["type"] == "Begin":
            self._counts["begin"] = 1
            self._began = self._clock.monotonic()
            self._watch_clock(self._pending)
        elif message["type"] == "Termination" and self._shaping.bites("no-termination"):
            self._damage.silent = True
        await self._strike_due("begin", "turn", "final")

    async def close(self, code: int, reason: str) -> None:
        """Close the websocket, unless a fault has done so or won't have it closed."""
        if self._damage.silent or self._damage.cut.is_set():
            return
        if self._damage.slow:
            # `hang_up` has the time.
            self._start(self._damage.close(code, reason.encode()))
        else:
            await self._damage.close(code, reason.encode())

    def __aiter__(self) -> Line:
        return self

    async def __anext__(self) -> WSMessage:
        damage = self._damage
        while not damage.cut.is_set():
            await self._strike_between()
            if damage.deaf:
                await damage.cut.wait()
                continue
            message = await self._socket.__anext__()
            if damage.deaf:
                continue  # it came as the fault struck
            if message.type is WSMsgType.BINARY:
                self._audio_bytes += len(message.data)
            elif _is_terminate(message):
                self._counts["terminate"] = 1
                await self._strike_between()
                struck = damage.cut.is_set() or damage.deaf
                if struck or self._shaping.bites("ignore-terminate"):
                    continue
            return message
        raise StopAsyncIteration

    async def hang_up(self) -> None:
        """Return when the connection may be closed, the conversation being over."""
        await asyncio.gather(*self._tasks)
        if self._damage.gone or self._damage.cut.is_set():
            return
        if self._damage.deaf:
            await self._damage.cut.wait()
        elif self._damage.silent:
            async for _ in self._socket:
                pass  # pings are answered on the way

    def release(self) -> None:
        """The server stops: no more faults, and what they hold open is cut."""
        self._pending.clear()
        damage = self._damage
        if damage.deaf or damage.silent or damage.late or self._tasks:
            damage.reset()

    def forget(self) -> None:
        """The connection is over: forget what was to come."""
        self._pending.clear()
        self._timers.clear()

    # When faults strike

    def arm(self, fault: Fault) -> None:
        """Let `fault` happen in its time; at once if that has come already."""
        if fault.at.event in ("connect", "open") and self._counts[fault.at.event]:
            return
        self._pending.append(fault)
        if self._counts["begin"]:
            self._watch_clock([fault])
            self._start(self._strike_due(fault.at.event))

    def disarm(self) -> None:
        """Let no more faults happen; what has happened stays."""
        self._pending.clear()

    def _due(self, *events: str) -> list[Fault]:
        """Those that wait for one of `events`, which has come far enough."""
        self._counts["audio"] = self.audio_ms
        waiting = [fault for fault in self._pending if fault.at.event in events]
        return [f for f in waiting if self._counts[f.at.event] >= f.at.count]

    async def _strike_due(self, *events: str) -> None:
        due = self._due(*events)
        if due:
            for fault in due:
                self._pending.remove(fault)
            # Whoever waits here may be cancelled, as the session ends of it.
            await asyncio.shield(self._start(self._strike(due)))

    async def _strike_between(self) -> None:
        """Let faults strike between two messages of the client."""
        if self._due("audio", "terminate"):
            await asyncio.sleep(0)  # what the message before led to is told first
            await self._strike_due("audio", "terminate")

    async def _strike(self, faults: Iterable[Fault]) -> None:
        with suppress(ConnectionError):  # there is nothing left to break
            for fault in faults:
                if KINDS[fault.kind].shapes:
                    self._shaping.add(fault)
                elif fault.kind == "refuse" or not self._damage.cut.is_set():
                    self._happened(fault)
                    await self._damage.do(fault)

    def _shape_due(self) -> None:
        """Let those strike first that act on the very message which makes them due."""
        for fault in self._due("turn", "final"):
            if KINDS[fault.kind].shapes:
                self._pending.remove(fault)
                self._shaping.add(fault)

    def _happened(self, fault: Fault) -> None:
        self._struck(fault, self)
        if fault.cut is not None:
            self._timers.arm(f"cut of {fault.kind}", fault.cut, self._damage.reset)

    def _watch_clock(self, faults: Iterable[Fault]) -> None:
        passed = self._clock.monotonic() - self._began
        for at in {fault.at for fault in faults if fault.at.event == "seconds"}:
            left = max(0.0, at.count - passed)
            self._timers.arm(str(at), left, partial(self._strike_at, at.count))

    def _strike_at(self, seconds: float) -> None:
        self._counts["seconds"] = max(self._counts["seconds"], seconds)
        self._start(self._strike_due("seconds"))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _is_terminate(message: WSMessage) -> bool:
    if message.type is not WSMsgType.TEXT or "Terminate" not in message.data:
        return False
    try:
        read = msgspec.json.decode(message.data)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(read, dict) and read.get("type") == "Terminate"
