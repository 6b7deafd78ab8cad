"""A runner over connections that are in the test's hand: no socket."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast

from aai_stream._core import AudioRing
from aai_stream.connection.connector import Connector
from aai_stream.connection.credentials import Credentials
from aai_stream.connection.wire import Owner
from aai_stream.messages import Event
from aai_stream.options import Options
from aai_stream.protocol.events import Retry
from aai_stream.protocol.retry import Retries
from aai_stream.protocol.settings import Settings
from aai_stream.runner import Runner
from tests.audio import count_up, to_samples
from tests.frames import frames_to
from tests.servers import BEGIN, within
from tests.simulation.loop import VirtualLoop

RATE = 16_000
CHUNK = 800
UNIX = 1_700_000_000.0
"""The time of day, in unix seconds."""


class FakeWire:
    """A connection whose other end is the test."""

    def __init__(self, options: Options, owner: Owner) -> None:
        self.query = options.query()
        self.seen: list[Any] = []
        """What was sent: audio as its samples, messages parsed."""
        self.frames = frames_to(self._hear, self._read)
        self.silent_seconds = 0.0
        self.is_closed = False
        self.closings = 0
        self.may_close = asyncio.Event()
        self.may_close.set()
        self._owner = owner

    def _hear(self, audio: bytes) -> None:
        if not self.is_closed:
            self.seen.append(to_samples(audio))

    def _read(self, text: bytes) -> None:
        if not self.is_closed:
            self.seen.append(json.loads(text))

    async def close(self) -> None:
        self.closings += 1
        await self.may_close.wait()
        self.end(1000)

    def say(self, *messages: Any) -> None:
        for message in messages:
            self._owner.received(json.dumps(message).encode())

    def end(self, code: int) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._owner.closed(code, "")

    def make_room(self) -> None:
        self.frames.resume()

    @property
    def audio(self) -> list[int]:
        return [
            sample for part in self.seen if isinstance(part, list) for sample in part
        ]

    @property
    def asked(self) -> list[str]:
        return [one["type"] for one in self.seen if isinstance(one, dict)]


class FakeConnector:
    """Opens fake wires. With `admits` or `opens` cleared, that waits."""

    credentials = Credentials("key")
    host = "127.0.0.1"
    time_of_day = staticmethod(lambda: UNIX)

    def __init__(self) -> None:
        self.wires: list[FakeWire] = []
        self.asked = 0
        self.admits, self.opens = asyncio.Event(), asyncio.Event()
        self.admits.set()
        self.opens.set()
        self.failures: list[Exception] = []
        self.says: list[Any] = [BEGIN]
        """With the answer to the upgrade."""
        self.closes_with: int | None = None
        """Likewise."""
        self.timeout = 0.0
        self.urgency: Callable[[], float] = lambda: math.nan

    async def admit(self, urgency: Callable[[], float]) -> None:
        self.urgency = urgency
        await self.admits.wait()

    async def open(self, options: Options, owner: Owner, timeout: float) -> FakeWire:
        self.asked += 1
        self.timeout = timeout
        await self.opens.wait()
        if self.failures:
            raise self.failures.pop(0)
        wire = FakeWire(options, owner)
        self.wires.append(wire)
        wire.say(*self.says)
        if self.closes_with is not None:
            wire.end(self.closes_with)
        return wire


class Run:
    """A runner, and what it told. Lost sessions are replaced after `wait` seconds."""

    def __init__(
        self,
        *,
        wait: float = 0.0,
        catch_up_rate: float = math.inf,
        keeps_alive: bool = False,
        replay_seconds: float = 120,
        max_retries: int = 10,
        **parameters: Any,
    ) -> None:
        self.connector = FakeConnector()
        self.told: list[Event | Retry | None] = []
        self.on_told: Callable[[Event | Retry | None], object] = lambda told: None
        self.pushed = 0
        self.make = partial(
            Runner,
            ring=AudioRing(RATE, replay_seconds=replay_seconds),
            options=Options({"sample_rate": RATE} | parameters),
            settings=Settings(
                begin_timeout=20.0,
                close_timeout=20.0,
                dead_after=math.inf,
                catch_up_rate=catch_up_rate,
                skip_silence=True,
                keeps_alive=keeps_alive,
            ),
            retries=Retries(max_retries, patience=120, draw=lambda low, high: wait),
            connector=cast(Connector, self.connector),
            connect_timeout=7.0,
        )
        self.runner = self.make(self._tell)
        self.protocol = self.runner.protocol

    def _tell(self, told: Event | Retry | None) -> None:
        self.told.append(told)
        self.on_told(told)

    @property
    def wire(self) -> FakeWire:
        return self.connector.wires[-1]

    @property
    def names(self) -> list[str]:
        """The kinds of what was told; None is the end."""
        return [type(one).__name__ if one is not None else "None" for one in self.told]

    async def open(self) -> FakeWire:
        self.runner.start()
        await within(5, self.runner.opened())
        return self.wire

    def push(self, samples: int) -> None:
        """Push audio whose samples are 1, 2, 3, …."""
        self.runner.gate.push(count_up(self.pushed + 1, samples), RATE, 1)
        self.pushed += samples

    def flush(self) -> None:
        self.runner.do(self.protocol.sending.flush)

    def force_endpoint(self) -> None:
        self.runner.do(self.protocol.sending.force_endpoint, flush=False)

    def update(self, **live: Any) -> None:
        self.runner.do(self.protocol.update, live)

    def keep_alive(self) -> None:
        self.runner.do(self.protocol.keep_alive, self.runner.now())


async def turns_of_the_loop() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


def timers() -> int:
    """How many timers the loop has. It has no public way to say so."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum(not handle.cancelled() for handle in scheduled)


def nothing_is_left() -> bool:
    """Whether neither a task nor a timer is."""
    return len(asyncio.all_tasks()) == 1 and not timers()


def in_virtual_time(hold: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `hold` where time passes as soon as everybody waits."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(hold())
    finally:
        loop.close()


def numbers(first: int, last: int) -> list[int]:
    return to_samples(count_up(first, last - first + 1))
