"""The faults of one connection: a hook that its conversation calls at every step.

It decides when faults strike. What they do is in `messages.py` and `damage.py`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp import web

from ..clock import Clock, Timers
from ..replies import Message
from .damage import Damage
from .kinds import KINDS, Fault
from .messages import MessageFaults
from .moments import At, On
from .transport import FaultyTransport


class ConnectionFaults:
    """What goes wrong on the `number`-th connection, above its `transport`.

    `struck` is called with each fault that has happened; `shut_port` makes the server
    refuse other connections. `arm` adds faults. The server awaits `before_handshake`
    and, when the conversation is over, `hang_up`.
    """

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        transport: FaultyTransport,
        clock: Clock,
        number: int,
        *,
        struck: Callable[[Fault, ConnectionFaults], None],
        shut_port: Callable[[float], Awaitable[None]],
    ) -> None:
        self.number = number
        self.audio_ms = 0.0
        """How much of the session's audio has come."""
        self._websocket = websocket
        self._transport = transport
        self._clock = clock
        self._timers = Timers(clock)
        self._struck = struck
        self._damage = Damage(websocket, transport, shut_port)
        self._messages = MessageFaults(self._happened)
        self._pending: list[Fault] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = defaultdict[str, float](float, seconds=-1)
        """How often the events of `moments.At` have come, or how far."""
        self._began = 0.0
        self._on_time = asyncio.Event()
        self._on_time.set()

    # The handshake, and the end

    async def before_handshake(self) -> None:
        """Let faults strike at `connect`.

        Raises `web.HTTPException` if there is no handshake to follow.
        """
        damage = self._damage
        self._counts["connect"] = 1
        await self._strike_due("connect")
        if damage.deaf:
            await damage.over.wait()
        if damage.refusal is not None:
            raise damage.refusal
        if damage.over.is_set():
            raise web.HTTPServiceUnavailable  # nobody will read it

    async def hang_up(self) -> None:
        """Return when the connection may be closed, the conversation being over."""
        await asyncio.gather(*self._tasks)
        if self._damage.gone:
            return
        if self._damage.deaf:
            await self._damage.over.wait()
        elif self._damage.mute:
            async for _ in self._websocket:
                pass  # aiohttp answers pings meanwhile

    def release(self) -> None:
        """The server stops: no more faults, and what they hold open is reset."""
        self._pending.clear()
        if self._damage.deaf or self._damage.mute or self.late or self._tasks:
            self._reset()

    def forget(self) -> None:
        """The connection is over: forget what was still to come."""
        self._pending.clear()
        self._timers.clear()

    # What the server says

    @property
    def late(self) -> bool:
        """Whether a fault holds back what there is to tell."""
        return not self._on_time.is_set()

    async def before_telling(self, message: Message) -> list[Message]:
        """What to tell in place of `message`."""
        if not self._counts["open"]:
            self._counts["open"] = 1
            await self._strike_due("open")
        if message["type"] == "Turn":
            self._counts["turn"] += 1
            self._counts["final"] += bool(message.get("end_of_turn"))
            self._change_from_here()
        if seconds := self._messages.delay(message):
            await self._hold(seconds)
        told = self._messages.change(message)
        return [] if self.silent else told

    async def after_telling(self, message: Message) -> None:
        """`message`, or what was told in its place, has been sent."""
        if message["type"] == "Begin":
            self._counts["begin"] = 1
            self._began = self._clock.monotonic()
            self._watch_clock(self._pending)
        elif message["type"] == "Termination" and self._messages.act("no-termination"):
            self._damage.mute = True
        await self._strike_due("begin", "turn", "final")

    @property
    def silent(self) -> bool:
        """Whether the client is told nothing any more."""
        return self._damage.mute or self._damage.over.is_set()

    async def strike(self, kind: str) -> None:
        """Let a fault of this `kind` happen here and now."""
        at = At("audio", max(1, int(self.audio_ms)))
        fault = Fault(kind, at, On(self.number, self.number))
        await asyncio.shield(self._start(self._strike([fault])))

    async def close(self, code: int, reason: str) -> None:
        """Close the websocket, unless a fault has done so or keeps it open."""
        if self.silent:
            return
        closing = self._damage.close(code, reason.encode())
        if self._transport.is_trickling:
            self._start(closing)  # `hang_up` waits for it
        else:
            await closing

    # What the client says

    @property
    def deaf(self) -> bool:
        """Whether nothing of what comes is to be read any more."""
        return self._damage.deaf

    async def before_reading(self) -> bool:
        """Let faults strike between two messages. False if no more are to be read."""
        await self._strike_between()
        if self._damage.deaf:
            await self._damage.over.wait()
        return not self._damage.over.is_set()

    async def before_terminating(self) -> bool:
        """Let faults strike at `terminate`. False if Terminate is to be ignored."""
        self._counts["terminate"] = 1
        await self._strike_between()
        if self._damage.deaf or self._damage.over.is_set():
            return False
        return not self._messages.act("ignore-terminate")

    # When faults strike

    def arm(self, fault: Fault) -> None:
        """Let `fault` happen at its moment, or now if that has passed."""
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
        """The faults at one of `events` whose moment has come."""
        self._counts["audio"] = self.audio_ms
        waiting = [fault for fault in self._pending if fault.at.event in events]
        return [f for f in waiting if self._counts[f.at.event] >= f.at.count]

    async def _strike_due(self, *events: str) -> None:
        due = self._due(*events)
        if due:
            for fault in due:
                self._pending.remove(fault)
            # Whoever waits here may be cancelled, if the session ends of the fault.
            await asyncio.shield(self._start(self._strike(due)))

    async def _strike_between(self) -> None:
        if self._due("audio", "terminate"):
            await asyncio.sleep(0)  # what the message before led to is told first
            await self._strike_due("audio", "terminate")

    async def _strike(self, faults: Iterable[Fault]) -> None:
        with suppress(ConnectionError):  # nothing is left to break
            for fault in faults:
                if KINDS[fault.kind].shapes:
                    self._messages.add(fault)
                elif fault.kind == "refuse" or not self._damage.over.is_set():
                    self._happened(fault)
                    await self._damage.do(fault)

    def _change_from_here(self) -> None:
        """Add the faults that act on the very Turn at which they strike."""
        for fault in self._due("turn", "final"):
            if KINDS[fault.kind].shapes:
                self._pending.remove(fault)
                self._messages.add(fault)

    def _happened(self, fault: Fault) -> None:
        self._struck(fault, self)
        if fault.cut is not None:
            self._timers.arm(f"cut of {fault.kind}", fault.cut, self._reset)

    def _reset(self) -> None:
        self._on_time.set()
        self._damage.reset()

    async def _hold(self, seconds: float) -> None:
        """Wait so long before the next message, or until the connection is reset."""
        self._on_time.clear()
        self._timers.arm("hold", seconds, self._on_time.set)
        await self._on_time.wait()

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
