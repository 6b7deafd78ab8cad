"""Streams that are dropped without `aclose`: their sessions, which are billed, end."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import aai_stream
from aai_stream.errors import UnreachableError
from aai_stream.messages import Turn
from tests.servers import until, within
from tests.talks import SECOND, Act, Refusal, Server, Talk, connect, final, well


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, with no garbage of other tests."""
    caplog.set_level(logging.WARNING)
    gc.collect()
    return caplog


@asynccontextmanager
async def nothing_left(*acts: Act | Refusal) -> AsyncIterator[tuple[Server, str]]:
    """A server; at the end every session is over, and no task is left."""
    server = Server(*acts)
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    async with server.serve() as url:
        yield server, url
        await until(lambda: not server.open and not left_tasks())
    assert complaints == []


def left_tasks() -> list[asyncio.Task[Any]]:
    """Those of streams."""
    return [task for task in asyncio.all_tasks() if "aai_stream" in repr(task)]


async def collected(condition: Callable[[], bool]) -> None:
    """Collect garbage until `condition` holds."""

    def try_again() -> bool:
        gc.collect()
        return condition()

    await until(try_again)


async def entered(url: str, **options: Any) -> aai_stream.Stream:
    return await connect(base_url=url, **options).__aenter__()


@pytest.mark.parametrize("in_thread", [False, True])
async def test_its_session_is_terminated(
    in_thread: bool, log: pytest.LogCaptureFixture
) -> None:
    async with nothing_left(well) as (server, url):
        stream = await entered(url)
        stream.push(SECOND)
        (talk,) = server.talks
        await until(lambda: talk.audio == SECOND)
        del stream
        if in_thread:
            await asyncio.to_thread(gc.collect)
        else:
            gc.collect()
        await until(lambda: not server.open)
        assert talk.commands == [{"type": "Terminate"}]
    assert [record.getMessage() for record in log.records] == [
        "a stream was dropped and not closed; its session is ended"
    ]


async def test_one_that_failed_is_not_held_by_what_it_failed_with() -> None:
    server = Server((401, {}))
    async with server.serve() as url:
        stream = connect(base_url=url)
        stream.push(SECOND)
        with pytest.raises(aai_stream.errors.RefusedError):
            await stream.__aenter__()
        left = weakref.ref(stream)
        del stream
        await collected(lambda: left() is None)


async def test_while_audio_waits() -> None:
    async with nothing_left(well) as (server, url):
        stream = await entered(url, catch_up_rate=1.01)
        for _ in range(20):
            stream.push(SECOND)
        del stream
        await collected(lambda: not server.open)
        assert server.talks[0].commands == [{"type": "Terminate"}]


async def test_while_a_lost_session_is_about_to_be_replaced(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    """No other is opened for it."""
    is_open = asyncio.Event()

    async def cut(talk: Talk) -> None:
        await talk.begin()
        await is_open.wait()
        talk.cut()

    monkeypatch.setattr("aai_stream.client.uniform", lambda low, high: 3600.0)
    async with nothing_left(cut) as (server, url):
        stream = await entered(url)
        is_open.set()
        await until(lambda: "trying again in 3600" in log.text)
        del stream
        await collected(lambda: not left_tasks())
        assert server.requests == 1


async def test_while_a_session_is_being_opened() -> None:
    is_open, gate = asyncio.Event(), asyncio.Event()

    async def cut(talk: Talk) -> None:
        await talk.begin()
        await is_open.wait()
        talk.cut()

    async def hesitate(talk: Talk) -> None:
        await gate.wait()
        await well(talk)

    async with nothing_left(cut, hesitate) as (server, url):
        stream = await entered(url)
        is_open.set()
        await until(lambda: len(server.talks) == 2)
        del stream
        await collected(lambda: not left_tasks())
        gate.set()


async def test_whoever_iterates_holds_it() -> None:
    """Also in a task that nobody holds."""
    gate = asyncio.Event()
    heard: list[str] = []

    async def talk_later(talk: Talk) -> None:
        await talk.begin()
        await gate.wait()
        await talk.say(final(0, ("late", 0, 1)))
        await talk.finish()

    async def listen() -> None:
        stream = await entered(url)
        async for event in stream:
            if isinstance(event, Turn):
                heard.append(event.transcript)
                return

    async with nothing_left(talk_later) as (server, url):
        asyncio.ensure_future(listen())  # noqa: RUF006
        await until(lambda: bool(server.talks))
        for _ in range(20):
            await asyncio.sleep(0)
            gc.collect()
        assert server.open
        gate.set()
        await until(lambda: bool(heard))
        await collected(lambda: not server.open)
    assert heard == ["late"]


async def test_whoever_waits_for_the_end_holds_it() -> None:
    gate = asyncio.Event()
    ended: list[Any] = []

    async def finish_later(talk: Talk) -> None:
        await talk.begin()
        await gate.wait()
        await talk.finish()

    async def end() -> None:
        stream = await entered(url)
        ended.append(await stream.end())

    async with nothing_left(finish_later) as (server, url):
        asyncio.ensure_future(end())  # noqa: RUF006
        await until(lambda: bool(server.talks))
        for _ in range(20):
            await asyncio.sleep(0)
            gc.collect()
        gate.set()
        await until(lambda: bool(ended))


async def test_after_it_was_closed(log: pytest.LogCaptureFixture) -> None:
    async with nothing_left(well) as (_, url):
        stream = await entered(url)
        await within(5, stream.aclose())
        del stream
        gc.collect()
        assert not left_tasks()
    assert not log.records


async def test_before_it_was_entered(log: pytest.LogCaptureFixture) -> None:
    async with nothing_left(well) as (server, url):
        stream = connect(base_url=url)
        del stream
        gc.collect()
        assert not server.requests
    assert not log.records


async def test_after_it_came_to_its_end(log: pytest.LogCaptureFixture) -> None:
    async with nothing_left(well) as (_, url):
        stream = await entered(url)
        await within(5, stream.end())
        del stream
        gc.collect()
        assert not left_tasks()
    assert not log.records


async def test_after_it_could_not_be_entered(log: pytest.LogCaptureFixture) -> None:
    stream = connect(base_url="ws://127.0.0.1:9", max_retries=0)
    with pytest.raises(UnreachableError):
        await stream.__aenter__()
    del stream
    gc.collect()
    assert not left_tasks()
    assert not log.records


def test_after_its_loop_was_closed(log: pytest.LogCaptureFixture) -> None:
    """Then nobody is left to say goodbye."""
    streams: list[aai_stream.Stream] = []

    async def leave_it() -> None:
        async with Server(well).serve() as url:
            streams.append(await entered(url))

    asyncio.run(leave_it())
    streams.clear()
    log.clear()
    gc.collect()
    assert not log.records
