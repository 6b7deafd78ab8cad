"""A process full of clients."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from array import array
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ..stats import StreamStats
from .clients import Client, Setting
from .process import GONE, Child
from .voices import Voices, Window

Run = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine on an event loop of its own, as `asyncio.run` does."""

BATCH = 20
"""Clients that connect at once."""
WARM_SECONDS = 0.5
"""Of audio, before anything is measured."""
SETTLE_SECONDS = 0.1
"""For what is on its way, when the voices have fallen silent."""


@dataclass(frozen=True)
class Ran:
    """What a host did while its voices spoke."""

    window: Window
    pushed: dict[str, array[float]]
    """By session, when each push of the run began, if that was recorded."""
    pushes: dict[str, int]
    """By session, frames pushed since the session began."""
    stats: dict[str, StreamStats | None]
    """By session; None for clients that keep no account."""
    events: int
    """That were read since the host began."""
    memory_bytes: int = 0
    """What the host takes: resident, and what processes share counts once."""


@dataclass(frozen=True)
class Connect:
    """Ask for `count` clients in all. Answered with the memory used, in bytes."""

    count: int


@dataclass(frozen=True)
class Speak:
    """Ask for audio for so long. Answered with `Ran`.

    The first half second is not in its `window`.
    """

    seconds: float
    record: bool = False


class HostProcess(Child):
    """Clients made by `make`, none at first; use it in a `with` statement.

    They trust `ca`, and `run` runs their event loop. Garbage collection is on, and
    everything there is once all are connected is frozen, as a host of agents does it
    after its start.
    """

    def __init__(
        self,
        make: Callable[[Setting], Client],
        setting: Setting,
        *,
        core: int,
        ca: bytes | None,
        run: Run = asyncio.run,
    ) -> None:
        super().__init__(_host, make, setting, run, cores={core}, ca=ca)

    def connect(self, count: int) -> int:
        """Let there be `count` clients; gives the process's resident bytes."""
        resident: int = self.ask(Connect(count))
        return resident

    def speak(self, seconds: float, *, record: bool = False) -> Ran:
        """Let all speak for so long, in real time."""
        ran: Ran = self.ask(Speak(seconds, record))
        return ran


def _host(
    pipe: Connection, make: Callable[[Setting], Client], setting: Setting, run: Run
) -> None:
    logging.disable(logging.CRITICAL)
    run(_Host(pipe, make, setting).run())


class _Host:
    def __init__(
        self, pipe: Connection, make: Callable[[Setting], Client], setting: Setting
    ) -> None:
        self._pipe = pipe
        self._make = make
        self._setting = setting
        self._clients: list[Client] = []
        self._pushes: list[int] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                asked = await loop.run_in_executor(None, self._pipe.recv)
            except GONE:
                os._exit(0)  # hundreds of goodbyes are nobody's business
            if isinstance(asked, Connect):
                self._pipe.send(await self._connect(asked.count))
            else:
                self._pipe.send(await self._speak(asked))

    async def _connect(self, count: int) -> int:
        while missing := count - len(self._clients):
            batch = [self._make(self._setting) for _ in range(min(missing, BATCH))]
            await asyncio.gather(*(client.open() for client in batch))
            self._clients += batch
            self._pushes += [0] * len(batch)
        gc.collect()
        gc.freeze()
        return resident_bytes()

    async def _speak(self, asked: Speak) -> Ran:
        clients = self._clients
        voices = Voices(
            [client.push for client in clients],
            self._setting.frame_ms / 1000,
            record=asked.record,
        )
        await asyncio.sleep(WARM_SECONDS)
        window = await voices.measure(asked.seconds)
        voices.stop()
        await asyncio.sleep(SETTLE_SECONDS)
        self._pushes = [
            before + now
            for before, now in zip(self._pushes, voices.pushes, strict=True)
        ]
        sessions = [client.session for client in clients]
        return Ran(
            window=window,
            pushed=dict(zip(sessions, voices.pushed, strict=True)),
            pushes=dict(zip(sessions, self._pushes, strict=True)),
            stats={client.session: client.stats() for client in clients},
            events=sum(client.events for client in clients),
            memory_bytes=resident_bytes(),
        )


def resident_bytes() -> int:
    """This process's memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
