"""Getting a connection: in time, again if need be, as whom and with what."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable
from typing import Any

import aiohttp
import pytest
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIStatusError,
    APITimeoutError,
    utils,
)
from livekit.agents.metrics import STTMetrics

from tests.livekit.scripts import final
from tests.livekit.servers import (
    KEY,
    NO_RETRY,
    Server,
    begin,
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

HELLO = [(0.5, final("Hello."))]
SOON = APIConnectOptions(max_retry=0, timeout=0.1)


async def never_begin(client: Talk) -> None:
    """Accept and say nothing."""


# ---- in time ----


async def test_no_answer_to_the_handshake_is_a_timeout() -> None:
    async with deaf_server() as url, streaming(url, conn_options=SOON) as stream:
        with pytest.raises(APITimeoutError) as failed:
            await collect(stream)
    assert failed.value.retryable


async def test_no_begin_is_a_timeout_and_leaves_nothing_open() -> None:
    options = APIConnectOptions(max_retry=0, timeout=1)
    async with (
        Server(never_begin) as server,
        streaming(server.url, conn_options=options, begin_timeout=1) as stream,
    ):
        with pytest.raises(APITimeoutError):
            await collect(stream)
        client = await server.client()
        await until(lambda: client.closed)
    # It might have begun, and been billed, behind our back.
    assert client.asked == ["Terminate"]


async def test_the_timeout_is_kept() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with deaf_server() as url:
        options = APIConnectOptions(max_retry=0, timeout=0.2)
        async with streaming(url, conn_options=options) as stream:
            with pytest.raises(APITimeoutError):
                await collect(stream)
            # LiveKit's own is 10 s.
            assert 0.2 <= loop.time() - began < 9


async def test_a_late_begin_is_no_timeout() -> None:
    async def behave(client: Talk) -> None:
        await asyncio.sleep(0.05)
        await client.say(BEGIN)

    async with Server(behave) as server:
        options = APIConnectOptions(max_retry=0, timeout=5)
        async with streaming(server.url, conn_options=options) as stream:
            stream.end_input()
            assert await collect(stream) == []


# ---- again ----


@pytest.mark.parametrize("max_retry", [0, 1, 2])
async def test_max_retry(max_retry: int) -> None:
    async with Server(refuse=[503] * 9) as server:
        stt = make_stt(server.url)
        errors = errors_of(stt)
        options = APIConnectOptions(max_retry=max_retry, retry_interval=0)
        async with closing(stt.stream(conn_options=options)) as stream:
            with pytest.raises(APIConnectionError if max_retry else APIStatusError):
                await collect(stream)
    assert len(server.calls) == max_retry + 1
    assert [error.recoverable for error in errors] == [True] * max_retry + [False]


async def test_retry_interval() -> None:
    async with Server(refuse=[503] * 3) as server:
        options = APIConnectOptions(max_retry=2, retry_interval=0.3)
        async with streaming(server.url, conn_options=options) as stream:
            with pytest.raises(APIConnectionError):
                await collect(stream)
    first, second, third = server.calls
    assert second - first > 0.09  # LiveKit's first retry doesn't wait for longer
    assert third - second > 0.29


async def test_the_servers_own_wish_for_a_pause_is_honoured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The header's value is in whole seconds, which is too long for a test.
    monkeypatch.setattr(
        "aai_stream.connection.failures._retry_after", lambda value: 0.3
    )
    async with Server(refuse=[503]) as server:
        options = APIConnectOptions(max_retry=1, retry_interval=0)
        async with streaming(server.url, conn_options=options) as stream:
            stream.end_input()
            assert await collect(stream) == []
    first, second = server.calls
    assert second - first > 0.29


async def test_nothing_is_lost_while_connects_are_refused() -> None:
    audio = bytes(range(256)) * 125  # a second
    async with Server(script=HELLO, refuse=[503, 503]) as server:
        stt = make_stt(server.url)
        errors = errors_of(stt)
        options = APIConnectOptions(max_retry=3, retry_interval=0)
        async with closing(stt.stream(conn_options=options)) as stream:
            push(stream, audio[:8000])
            await until(lambda: len(server.calls) == 1)
            push(stream, audio[8000:16_000])
            await until(lambda: len(errors) == 2)
            push(stream, audio[16_000:24_000])
            client = await server.client()
            push(stream, audio[24_000:])
            stream.end_input()
            events = await collect(stream)
    assert client.audio == audio
    assert texts(events) == ["Hello."]
    assert [error.recoverable for error in errors] == [True, True]


async def test_nothing_is_lost_after_a_timeout() -> None:
    async def behave(client: Talk) -> None:
        if client is not server.talks[0]:
            await begin(client)

    async with Server(behave, script=HELLO) as server:
        options = APIConnectOptions(max_retry=9, timeout=1)
        async with streaming(
            server.url, conn_options=options, begin_timeout=1
        ) as stream:
            push(stream, silence(0.5))
            stream.end_input()
            events = await collect(stream)
    assert server.talks[0].seconds == 0
    assert server.talks[-1].seconds == 0.5
    assert texts(events) == ["Hello."]


# ---- many ----


async def test_more_streams_than_livekits_own_session_takes() -> None:
    async with Server() as server:
        stt = make_stt(server.url)
        streams = [stt.stream(conn_options=NO_RETRY) for _ in range(70)]
        await until(lambda: all(stream.session_id for stream in streams))
        assert len(server.talks) == 70
        assert not any(client.closed for client in server.talks)
        await within(10, stt.aclose())


async def test_outside_of_a_job_no_session_is_needed() -> None:
    with pytest.raises(RuntimeError, match="outside of a job"):
        utils.http_context.http_session()
    async with Server() as server, streaming(server.url) as stream:
        stream.end_input()
        assert await collect(stream) == []


async def test_a_session_of_the_callers_is_used_and_left_open() -> None:
    async with Server() as server, aiohttp.ClientSession(headers={"X-Mine": "1"}) as h:
        async with streaming(server.url, http_session=h) as stream:
            stream.end_input()
            await collect(stream)
        assert not h.closed
    assert server.talks[0].request.headers["X-Mine"] == "1"


async def test_a_closed_session_of_the_callers_fails_once() -> None:
    async with aiohttp.ClientSession() as http:
        pass
    stt = make_stt("ws://127.0.0.1:9", http_session=http)
    errors = errors_of(stt)
    async with closing(stt.stream()) as stream:
        with pytest.raises(APIConnectionError, match="http_session is closed"):
            await collect(stream)
    assert [error.recoverable for error in errors] == [False]


# ---- as whom, with what ----


async def test_the_key_is_in_the_header_alone() -> None:
    async with Server() as server, streaming(server.url) as stream:
        client = await server.client()
        assert client.request.headers["Authorization"] == KEY
        assert KEY not in client.request.path_qs
        stream.end_input()
        await collect(stream)


def provider(is_async: bool, tokens: list[str]) -> Any:
    """A function that gives the tokens one after the other."""
    left = iter(tokens)

    async def give_later() -> str:
        await asyncio.sleep(0)
        return next(left)

    def give() -> str | Awaitable[str]:
        return next(left)

    return give_later if is_async else give


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_new_token_for_each_connect(is_async: bool) -> None:
    async def end_the_first(client: Talk) -> None:
        await client.say(BEGIN)
        if client is server.talks[0]:
            await client.close(1011)

    tokens = ["token-1", "token-2", "token-3"]
    async with Server(end_the_first) as server:
        options = APIConnectOptions(max_retry=1)
        token = provider(is_async, tokens)
        async with streaming(server.url, conn_options=options, token=token) as stream:
            second = await server.client(1)
            stream.end_input()
            await collect(stream)
    assert [client.query["token"] for client in server.talks] == tokens[:2]
    assert "Authorization" not in second.request.headers


async def test_a_token_may_be_a_str() -> None:
    async with Server() as server, streaming(server.url, token="token-1") as stream:
        client = await server.client()
        stream.end_input()
        await collect(stream)
    assert client.query["token"] == "token-1"
    assert "Authorization" not in client.request.headers


def test_a_key_and_a_token_are_too_much() -> None:
    with pytest.raises(ValueError, match="not both"):
        make_stt("ws://127.0.0.1:9", api_key="key", token="token")


async def test_extra_params_are_in_the_query_as_they_are() -> None:
    extra = {"brand_new": [1, "a"], "session_heartbeat": True, "speech_model": "mine"}
    async with Server() as server, streaming(server.url, extra_params=extra) as stream:
        client = await server.client()
        stream.end_input()
        await collect(stream)
    assert client.query["brand_new"] == '[1,"a"]'
    assert client.query["session_heartbeat"] == "true"
    assert client.query["speech_model"] == "mine"


async def test_keep_alive_while_nothing_is_pushed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def hurry(delay: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
        # The server's patience is 50 ms here; that of this test is not shortened.
        return call_later(delay / 100 if delay < 5 else delay, *args, **options)

    monkeypatch.setattr(loop, "call_later", hurry)
    async with Server() as server:
        async with streaming(server.url, inactivity_timeout=5):
            client = await server.client()
            await until(lambda: client.asked == ["KeepAlive"] * 3)
        await until(lambda: client.closed)
    assert client.query["inactivity_timeout"] == "5"
    assert client.asked == ["KeepAlive"] * 3 + ["Terminate"]


async def test_no_keep_alive_unless_the_server_is_impatient() -> None:
    async with Server() as server, streaming(server.url) as stream:
        client = await server.client()
        assert "inactivity_timeout" not in client.query
        stream.end_input()
        await collect(stream)
    assert client.asked == ["Terminate"]


# ---- metrics, prewarming ----


async def test_how_long_each_connection_took_is_a_metric() -> None:
    async def dawdle(client: Talk) -> None:
        await asyncio.sleep(0.05)
        await begin(client)
        if client is server.talks[0]:
            await client.close(1011)

    metrics: list[STTMetrics] = []
    async with Server(dawdle) as server:
        stt = make_stt(server.url)
        stt.on("metrics_collected", metrics.append)
        async with closing(
            stt.stream(conn_options=APIConnectOptions(max_retry=1))
        ) as stream:
            await until(lambda: len(metrics) == 2)
            stream.end_input()
            await collect(stream)
    for metric in metrics:
        assert metric.acquire_time >= 0.045
        assert metric.connection_reused is False
        assert metric.audio_duration == 0
        assert metric.streamed


async def test_prewarming_asks_for_the_name_and_opens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def resolve(host: str, *args: Any) -> list[Any]:
        loop.call_soon_threadsafe(asked.put_nowait, host)
        raise socket.gaierror("no such name")  # nobody minds

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with Server() as server:
        stt = make_stt(server.url)  # an address: there is nothing to be asked
        stt.prewarm()
        await stt.aclose()
        stt = make_stt(server.url.replace("127.0.0.1", "localhost"))
        stt.prewarm()
        assert await within(5, asked.get()) == "localhost"
        assert asked.empty()
        await stt.aclose()
        complaints: list[Any] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        await loop.run_in_executor(None, gc.collect)
        gc.collect()
        assert complaints == []
    assert server.calls == []


def test_prewarming_needs_no_loop() -> None:
    make_stt("ws://127.0.0.1:9").prewarm()
