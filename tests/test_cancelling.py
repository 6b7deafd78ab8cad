"""Cancelled anywhere, a stream leaves no task and no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aai_stream
from tests.servers import until, within
from tests.talks import (
    SECOND,
    Act,
    Refusal,
    Server,
    Talk,
    Waits,
    connect,
    impatient,
    others,
    well,
)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    return impatient(monkeypatch)


async def until_cancelled_everywhere(
    start: Callable[[aai_stream.Stream], Awaitable[object]],
    open_stream: Callable[[], Awaitable[aai_stream.Stream]],
    is_clean: Callable[[], bool],
) -> int:
    """Cancel what `start` starts, one loop turn later each time, until it is done."""
    for turns in range(1000):
        stream = await open_stream()
        task = asyncio.ensure_future(start(stream))
        for _ in range(turns):
            await asyncio.sleep(0)
        finished = not task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
        await within(5, stream.aclose())
        await until(is_clean)
        if finished:
            return turns
    raise AssertionError("it never finished")


@pytest.mark.parametrize("what", ["enter", "end", "end, lost"])
async def test_cancelling_anywhere_leaves_no_task_and_no_socket(what: str) -> None:
    talks: list[Talk] = []  # the first session of the present stream

    async def act(talk: Talk) -> None:
        if not talks:
            talks.append(talk)
        await well(talk)

    # Every first attempt is refused when entering, so that it waits and tries again.
    acts: list[Act | Refusal] = [(503, {}), act] * 1000 if what == "enter" else [act]
    server = Server(*acts)
    async with server.serve() as url:
        before: set[asyncio.Task[Any]] = others()

        async def open_stream() -> aai_stream.Stream:
            talks.clear()
            stream = connect(base_url=url)
            if what != "enter":
                await stream.__aenter__()
                stream.push(SECOND)
            return stream

        async def start(stream: aai_stream.Stream) -> None:
            if what == "enter":
                await stream.__aenter__()
                return
            if what == "end, lost":
                talks[0].cut()
            await stream.end()

        def is_clean() -> bool:
            # The servers' own connections have tasks, too, which end with them.
            return not server.open and not [
                task
                for task in others() - before
                if "aai_stream" in repr(task.get_coro())
            ]

        assert await until_cancelled_everywhere(start, open_stream, is_clean) > 5
