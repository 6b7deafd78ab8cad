"""How streams end: with the last word, at once, by neglect; and that nothing stays."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import agents
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError
from livekit.agents.stt import SpeechEvent

import aai_stream
from aai_stream.livekit import SpeechStream
from tests.audio import speech
from tests.livekit.scripts import final, turn
from tests.livekit.servers import (
    NO_RETRY,
    RATE,
    Server,
    begin,
    begin_then,
    closing,
    collect,
    deaf_server,
    errors_of,
    make_stt,
    push,
    silence,
    streaming,
    texts,
)
from tests.servers import BEGIN, until, within
from tests.talks import Talk

CLIENTS = [
    str(Path(module.__file__ or "").parent) for module in (aai_stream, agents)
] + [str(Path(aiohttp.__file__).with_name("client"))]
"""Where the code of a client is, as opposed to the server's or the test's."""


def left_tasks() -> list[asyncio.Task[Any]]:
    """Tasks of a client's that are not done."""
    tasks = []
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and code.co_filename.startswith(tuple(CLIENTS)):
            tasks.append(task)
    return tasks


@asynccontextmanager
async def nothing_left(
    behave: Callable[[Talk], Any] = begin, **options: Any
) -> AsyncIterator[Server]:
    """A server; at the end every client has hung up, and left no task."""
    async with listening() as complaints, Server(behave, **options) as server:
        yield server
        await until(lambda: all(client.closed for client in server.talks))
        await until(lambda: not left_tasks())
    assert [one for one in complaints if not is_livekits(one)] == []


@asynccontextmanager
async def listening() -> AsyncIterator[list[dict[str, Any]]]:
    """What asyncio complains of: tasks that were left, errors that nobody took."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield complaints
    loop.set_exception_handler(None)


def is_livekits(complaint: dict[str, Any]) -> bool:
    """Whether it is about the generators in which LiveKit's streams wait for events:
    when both are collected, Python tries to close them.
    """
    return "generator is already running" in str(complaint.get("exception"))


async def opened(stream: SpeechStream) -> None:
    """Wait until the stream has a session."""
    await until(lambda: stream.session_id is not None)


async def never_begin(client: Talk) -> None:
    """Accept and say nothing."""


# ---- end_input ----


async def test_the_last_turn_is_told_after_the_end_of_input() -> None:
    script = [(0.3, turn("Hello")), (0.5, final("Hello."))]
    async with nothing_left(script=script) as server, streaming(server.url) as stream:
        push(stream, silence(0.5))
        stream.end_input()
        assert texts(await collect(stream)) == ["Hello."]
        # What has ended stays ended.
        assert await collect(stream) == []
    assert server.talks[0].asked == ["Terminate"]


async def test_the_last_turn_is_told_after_terminate() -> None:
    async def finish(client: Talk) -> None:
        await client.say(BEGIN)
        await until(lambda: client.asked == ["Terminate"])
        await client.say(final("Hello."))
        await client.say({"type": "Termination", "audio_duration_seconds": 0.5})
        await client.close(1000)

    async with (
        nothing_left(finish, answers_terminate=False) as server,
        streaming(server.url) as stream,
    ):
        push(stream, silence(0.5))
        stream.end_input()
        assert texts(await collect(stream)) == ["Hello."]


async def test_a_server_that_does_not_finish_is_given_up() -> None:
    async with (
        nothing_left(answers_terminate=False) as server,
        streaming(server.url, close_timeout=0.05) as stream,
    ):
        push(stream, speech(0.5, 5000, RATE))
        stream.end_input()
        with pytest.raises(agents.APITimeoutError):
            await collect(stream)


async def test_two_sessions_that_do_not_finish_are_enough() -> None:
    retries = APIConnectOptions(max_retry=9, retry_interval=0.01, timeout=5)
    async with (
        nothing_left(answers_terminate=False) as server,
        streaming(server.url, close_timeout=0.05, conn_options=retries) as stream,
    ):
        push(stream, speech(0.5, 5000, RATE))
        stream.end_input()
        with pytest.raises(agents.APIError):
            await collect(stream)
        assert len(server.talks) == 2


async def test_but_not_if_there_was_nothing_to_say() -> None:
    async with (
        nothing_left(answers_terminate=False) as server,
        streaming(server.url, close_timeout=0.05) as stream,
    ):
        push(stream, silence(0.5))
        stream.end_input()
        assert texts(await collect(stream)) == []


async def test_the_end_of_input_may_come_before_the_connection() -> None:
    gate = asyncio.Event()

    async def behave(client: Talk) -> None:
        await gate.wait()
        await client.say(BEGIN)

    async with (
        nothing_left(behave, script=[(0.5, final("Hello."))]) as server,
        streaming(server.url) as stream,
    ):
        push(stream, silence(0.5))
        stream.end_input()
        await server.client()
        gate.set()
        assert texts(await collect(stream)) == ["Hello."]


@pytest.mark.parametrize("sample_rate", [16_000, "native"])
async def test_no_audio_at_all(sample_rate: Any) -> None:
    async with nothing_left() as server:
        async with streaming(server.url, sample_rate=sample_rate) as stream:
            stream.end_input()
            assert await collect(stream) == []
        assert all(client.asked == ["Terminate"] for client in server.talks)
        assert all(client.audio == b"" for client in server.talks)


@pytest.mark.parametrize("ended", [True, False])
async def test_what_comes_too_late_is_refused(ended: bool) -> None:
    async with nothing_left() as server, streaming(server.url) as stream:
        if ended:
            stream.end_input()
        else:
            await stream.aclose()
        for late in (
            stream.end_input,
            stream.flush,
            lambda: push(stream, silence(0.1)),
        ):
            with pytest.raises(RuntimeError, match="input ended"):
                late()
        if ended:
            assert await collect(stream) == []


async def test_updates_and_endpoints_after_the_end_are_harmless() -> None:
    async with nothing_left() as server, streaming(server.url) as stream:
        push(stream, silence(0.1))
        stream.end_input()
        await collect(stream)
        stream.force_endpoint()
        stream.update_options(prompt="late")
    assert server.talks[0].asked == ["Terminate"]


# ---- aclose ----


async def test_closing_an_idle_stream() -> None:
    async with nothing_left() as server:
        stream = make_stt(server.url).stream()
        await opened(stream)
        await within(1, stream.aclose())
        assert left_tasks() == []
        await within(1, stream.aclose())  # harmless
        assert await collect(stream) == []
    assert server.talks[0].asked == ["Terminate"]


async def test_closing_while_audio_waits() -> None:
    async with nothing_left() as server:
        stream = make_stt(server.url, catch_up_rate=1.01).stream()
        push(stream, silence(10))
        client = await server.client()
        await until(lambda: client.seconds > 0)
        await within(1, stream.aclose())
        assert left_tasks() == []
    assert client.asked == ["Terminate"]
    assert client.seconds < 3


async def test_closing_in_the_handshake() -> None:
    async with deaf_server() as url:
        stream = make_stt(url).stream()
        push(stream, silence(0.1))
        await until(lambda: bool(left_tasks()))
        await asyncio.sleep(0.01)
        await within(1, stream.aclose())
        assert left_tasks() == []


async def test_closing_before_anything_was_done() -> None:
    async with nothing_left() as server:
        stream = make_stt(server.url).stream()
        await within(1, stream.aclose())
        assert left_tasks() == []
    assert server.calls == []


async def test_closing_before_begin() -> None:
    async with nothing_left(never_begin) as server:
        stream = make_stt(server.url).stream()
        await server.client()
        await within(1, stream.aclose())
        assert left_tasks() == []
    assert server.talks[0].asked == ["Terminate"]


async def test_closing_while_a_token_is_awaited() -> None:
    asked = asyncio.Event()

    async def mint() -> str:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with nothing_left() as server:
        stream = make_stt(server.url, token=mint).stream()
        await within(5, asked.wait())
        await within(1, stream.aclose())
        assert left_tasks() == []
    assert server.calls == []


async def test_closing_between_two_tries() -> None:
    async with nothing_left(refuse=[503] * 9) as server:
        stt = make_stt(server.url)
        errors = errors_of(stt)
        options = APIConnectOptions(max_retry=3, retry_interval=60)
        stream = stt.stream(conn_options=options)
        await until(lambda: len(errors) == 2)  # the first wait is LiveKit's, of 0.1 s
        await within(1, stream.aclose())
        assert left_tasks() == []
    assert len(server.calls) == 2


async def test_closing_while_the_server_wants_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "aai_stream.connection.failures._retry_after", lambda value: 60.0
    )
    async with nothing_left(refuse=[503]) as server:
        stream = make_stt(server.url).stream()
        await until(lambda: bool(server.calls))
        await asyncio.sleep(0.15)  # LiveKit's own wait is over
        await within(1, stream.aclose())
        assert left_tasks() == []
    assert len(server.calls) == 1


@pytest.mark.parametrize("terminated", [True, False])
async def test_closing_after_the_end_of_input(terminated: bool) -> None:
    async with nothing_left(answers_terminate=False) as server:
        stream = make_stt(server.url).stream()
        client = await server.client()
        push(stream, silence(0.1))
        stream.end_input()
        if terminated:
            await until(lambda: client.asked == ["Terminate"])
        await within(1, stream.aclose())
        assert left_tasks() == []
    assert client.asked == ["Terminate"]


async def test_closing_after_a_failure() -> None:
    async with nothing_left(refuse=[401]) as server:
        stream = make_stt(server.url).stream()
        with pytest.raises(APIStatusError):
            await collect(stream)
        await within(1, stream.aclose())
        assert left_tasks() == []


async def test_closing_while_another_reads() -> None:
    async with nothing_left() as server:
        stream = make_stt(server.url).stream()
        reading = asyncio.ensure_future(collect(stream))
        await opened(stream)
        await within(1, stream.aclose())
        assert await within(1, reading) == []


async def test_closing_the_plugin_closes_its_streams() -> None:
    async with nothing_left() as server:
        stt = make_stt(server.url)
        streams = [stt.stream(conn_options=NO_RETRY) for _ in range(5)]
        await streams[0].aclose()
        await until(lambda: all(stream.session_id for stream in streams[1:]))
        await within(2, stt.aclose())
        assert left_tasks() == []
        for stream in streams:
            with pytest.raises(RuntimeError, match="ended"):
                push(stream, silence(0.1))
        await stt.aclose()  # harmless
        # Another one may be opened.
        async with closing(stt.stream(conn_options=NO_RETRY)) as stream:
            stream.end_input()
            assert await collect(stream) == []
    assert all(client.asked == ["Terminate"] for client in server.talks)


async def test_a_plugin_without_streams_closes() -> None:
    await make_stt("ws://127.0.0.1:9").aclose()


# ---- neglect ----


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, with no garbage of other tests."""
    caplog.set_level(logging.DEBUG, logger="asyncio")
    gc.collect()
    return caplog


async def collected(condition: Callable[[], bool]) -> None:
    """Collect garbage until `condition` holds."""

    def try_again() -> bool:
        gc.collect()
        return condition()

    await until(try_again)


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("inactivity_timeout", [None, 60])
async def test_a_stream_that_is_dropped_ends_its_session(
    inactivity_timeout: int | None, in_thread: bool, log: pytest.LogCaptureFixture
) -> None:
    async with nothing_left() as server:
        stt = make_stt(server.url, inactivity_timeout=inactivity_timeout)
        stream = stt.stream(conn_options=NO_RETRY)
        await opened(stream)
        push(stream, silence(0.5))
        client = await server.client()
        await until(lambda: client.seconds == 0.5)
        del stream
        if in_thread:
            await asyncio.to_thread(gc.collect)
        else:
            gc.collect()
        await until(lambda: client.closed)
        assert client.asked == ["Terminate"]
        assert not stt._streams
    assert "destroyed" not in log.text


async def test_a_stream_that_is_dropped_while_connecting(
    log: pytest.LogCaptureFixture,
) -> None:
    gate = asyncio.Event()

    async def behave(client: Talk) -> None:
        await gate.wait()
        await client.say(BEGIN)

    async with nothing_left(behave) as server:
        stream = make_stt(server.url).stream(conn_options=NO_RETRY)
        client = await server.client()
        del stream
        gc.collect()
        gate.set()
        await collected(lambda: client.closed)
        assert client.asked == ["Terminate"]
    assert "destroyed" not in log.text


async def test_a_stream_that_is_dropped_while_audio_waits(
    log: pytest.LogCaptureFixture,
) -> None:
    async with nothing_left() as server:
        stream = make_stt(server.url, catch_up_rate=1.01).stream()
        push(stream, silence(10))
        await opened(stream)
        client = await server.client()
        del stream
        await collected(lambda: client.closed)
        assert client.asked == ["Terminate"]
        assert client.seconds < 5
    assert "destroyed" not in log.text


async def test_a_stream_that_is_dropped_before_its_first_frame(
    log: pytest.LogCaptureFixture,
) -> None:
    async with nothing_left() as server:
        stream = make_stt(server.url, sample_rate="native").stream()
        await until(lambda: bool(left_tasks()))
        del stream
        await collected(lambda: not left_tasks())
    assert "destroyed" not in log.text
    assert server.calls == []


async def test_a_stream_that_is_dropped_after_it_was_closed(
    log: pytest.LogCaptureFixture,
) -> None:
    async with nothing_left() as server:
        stream = make_stt(server.url).stream()
        await opened(stream)
        await stream.aclose()
        del stream
        gc.collect()
    assert server.talks[0].asked == ["Terminate"]
    assert "destroyed" not in log.text


async def test_a_stream_that_is_only_read_from_lives_on() -> None:
    """Whoever waits for its events holds it, even if nobody else does."""
    script = [(0.5, final("Hello."))]
    async with nothing_left(script=script) as server:
        stream = make_stt(server.url).stream(conn_options=NO_RETRY)
        client = await server.client()
        push(stream, silence(0.45))
        reading = asyncio.ensure_future(collect(stream))
        await opened(stream)
        gc.collect()
        assert not client.closed
        push(stream, silence(0.05))
        stream.end_input()
        del stream
        gc.collect()
        assert texts(await reading) == ["Hello."]


def test_a_stream_may_outlive_its_loop(log: pytest.LogCaptureFixture) -> None:
    async def leave() -> SpeechStream:
        async with deaf_server() as url:
            stream = make_stt(url).stream()
            await until(lambda: bool(left_tasks()))
            return stream

    stream = asyncio.run(leave())
    del stream
    gc.collect()
    assert "destroyed" not in log.text


# ---- a reader that doesn't read ----


async def test_too_many_unread_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Partials are left out; a server that goes on all the same ends the stream."""
    monkeypatch.setattr("aai_stream.inbox.MOST_UNREAD", 20)
    partials = [turn("Hello", 100)] * 100
    finals = [final(f"Word{n}.", 100, turn_order=n) for n in range(20)]
    async with (
        nothing_left(begin_then(*partials, *finals)) as server,
        streaming(server.url) as stream,
    ):
        client = await server.client()
        await until(lambda: client.closed)
        events: list[SpeechEvent] = []

        async def read() -> None:
            async for event in stream:
                events.append(event)

        with pytest.raises(APIConnectionError, match="nobody reads them") as caught:
            await read()
    assert 40 <= len(events) <= 60
    assert not caught.value.retryable
    assert texts(events) == [f"Word{n}." for n in range(len(texts(events)))]
