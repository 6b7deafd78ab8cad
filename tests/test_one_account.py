"""Many processes on one account, and on one embedded server."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aai_stream.connection import limiter
from aai_stream.connection.budget.book import FORGOTTEN_SECONDS
from aai_stream.connection.budget.limits import WINDOW_SECONDS
from aai_stream.emulator.engines.marked import MarkedEngine, check_marked, marked_audio
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator, Service
from aai_stream.protocol import lineup
from tests.jobs import LAYOUT
from tests.queues import settle
from tests.redises import needs_redis, redis_server
from tests.servers import until, within
from tests.talks import collect, connect, turns_of

WORDS = 120


class Recorder(Emulator):
    """Notes who comes."""

    def __init__(self) -> None:
        super().__init__(MarkedEngine(), service=Service(place_seconds=0))
        self.arrivals: list[str] = []

    async def __aenter__(self) -> Recorder:
        await super().__aenter__()
        return self

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        self.arrivals.append(request.query["name"])
        return await super()._websocket(request)


class Clock:
    """What time it is for the account, in a file, and who waits then."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "clock"
        self.now = 0.0
        self.turn_to(1000.0)

    def turn_to(self, now: float) -> None:
        self.now = now
        beside = self.path.with_suffix(".new")
        beside.write_text(str(now))
        beside.rename(self.path)

    def waiting(self) -> int:
        """How many have asked since the clock was turned."""
        shared = Path(os.environ["XDG_RUNTIME_DIR"]) / "aai-stream"
        (path,) = shared.glob("*.sqlite")
        db = sqlite3.connect(path)
        try:
            at = self.now + FORGOTTEN_SECONDS - 0.001
            query = "SELECT count(*) FROM waiting WHERE forgotten_at >= ?"
            (count,) = db.execute(query, (at,)).fetchone()
        finally:
            db.close()
        return int(count)


class Job:
    """One of the processes."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def read(self) -> str:
        assert self._process.stdout is not None
        line: bytes = await within(60, self._process.stdout.readline())
        return line.decode().strip()

    async def tell(self, words: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n".encode())
        return await self.read()

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def ended(self) -> int:
        code: int = await within(60, self._process.wait())
        return code


async def until_others(condition: Callable[[], bool]) -> None:
    """Wait until what other processes do makes it so."""

    async def look() -> None:
        while not condition():  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.01)

    await within(60, look())


async def come_back(count: int, directory: Path) -> None:
    """So many lose their server at once, each with more at stake than the one before.
    The account's places are used up by then, and are free again one by one."""
    clock = Clock(directory)
    async with Recorder() as server:

        def came_and_wait(came: int, waiting: int) -> bool:
            return len(server.arrivals) == came and clock.waiting() == waiting

        jobs: list[Job] = []
        for number in range(count):
            arguments = (server.url, number, clock.path, count, WORDS)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.jobs", *map(str, arguments)),
                stdin=PIPE,
                stdout=PIPE,
            )
            jobs.append(Job(process))
        try:
            for number, job in enumerate(jobs, start=1):
                clock.turn_to(1000 + number)
                assert await job.tell("open") == "open"
            assert len(server.arrivals) == count
            for number, job in enumerate(jobs, start=1):
                assert await job.tell(str(number)) == "spoken"
            server.arrivals.clear()
            clock.turn_to(1000 + WINDOW_SECONDS)
            server.faults.append(fault("reset"))
            await until_others(lambda: clock.waiting() == count)
            server.faults.clear()
            assert server.arrivals == []  # nobody may
            for place in range(1, count + 1):
                clock.turn_to(1000 + place + WINDOW_SECONDS)
                others = count - place
                await until_others(partial(came_and_wait, place, others))
            assert server.arrivals == [str(n) for n in reversed(range(count))]
            for job in jobs:
                words, lost, sessions = json.loads(await job.tell("all"))
                assert (lost, sessions) == (0, 2)
                assert check_marked(words, count=WORDS, layout=LAYOUT) == []
                assert await job.ended() == 0
            assert len(server.arrivals) == count
        finally:
            for job in jobs:
                job.kill()
                await job.ended()


async def test_job_processes_that_lose_their_server_come_back_in_order(
    tmp_path: Path,
) -> None:
    await come_back(24, tmp_path)


async def test_a_stream_moves_on_when_its_account_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its next session can't begin before the last has ended."""
    monkeypatch.setattr(lineup, "SHORTEST_SECONDS", 0)
    service = Service(
        max_session_seconds=2, max_sessions=1, place_seconds=0, lost_place_seconds=0
    )
    audio = marked_audio(14)
    async with (
        Emulator(MarkedEngine(), service=service) as server,
        connect(base_url=server.url, max_sessions=1) as stream,
    ):
        stream.push(audio[: 2000 * 16])
        await until(lambda: stream.stats.waited_seconds > 0.1)
        assert server.sessions_opened == 1
        stream.push(audio[2000 * 16 : 4000 * 16])
        await until(lambda: stream.stats.sessions == 2)
        stream.push(audio[4000 * 16 :])
        await within(5, stream.end())
        turns = turns_of(await collect(stream))
        assert server.sessions_opened == stream.stats.sessions  # none too many
    words = [(w.text, w.start) for t in turns if t.end_of_turn for w in t.words]
    assert check_marked(words, count=14) == []


async def test_a_stream_that_ends_waits_for_no_other_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lineup, "SHORTEST_SECONDS", 0)
    service = Service(max_session_seconds=5, termination_seconds=1)
    async with (
        Emulator(MarkedEngine(), service=service) as server,
        connect(base_url=server.url, max_sessions=1) as stream,
    ):
        (line,) = limiter._limiters.values()
        stream.push(marked_audio(3))
        await until(lambda: line.waiting == 1)
        ending = asyncio.ensure_future(stream.end())
        await settle()
        assert line.waiting == 0
        assert not ending.done()
        await within(10, ending)
        assert server.sessions_opened == 1


@needs_redis
async def test_streams_share_a_redis(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with Emulator(MarkedEngine()) as server:
            limits: dict[str, Any] = {"budget": redis.url, "max_sessions": 1}
            first = connect(base_url=server.url, **limits)
            second = connect(base_url=server.url, **limits)
            await first.__aenter__()
            opening = asyncio.ensure_future(second.__aenter__())
            await until(lambda: second.stats.waited_seconds > 0.1)
            assert not opening.done()
            await first.aclose()
            await within(10, opening)
            assert server.sessions_opened == 2
            await second.aclose()
