"""How a session opens and ends, on the wire: what its server gets to see."""

from __future__ import annotations

import asyncio
import gc
import logging
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import aai_stream
from aai_stream import messages
from aai_stream.errors import (
    BusyError,
    DroppedError,
    RefusedError,
    SessionError,
    TimedOutError,
)
from tests.servers import (
    BEGIN,
    Handler,
    begin_then,
    read_to_end,
    terminate_when_asked,
    websocket_server,
    within,
)
from tests.talks import all_events, collect

KEY = "key-that-nobody-may-see"
TERMINATE = [{"type": "Terminate"}]

connect = partial(aai_stream.connect, api_key=KEY, max_retries=0)

Http = aiohttp.ClientSession | None


async def failure_of(
    handler: Handler, http_session: Http, **options: Any
) -> SessionError:
    """What a stream with such a server fails with, as it opens or afterwards."""

    async def listen(url: str) -> None:
        options["http_session"] = http_session
        async with connect(base_url=url, **options) as stream:
            await all_events(stream)

    async with websocket_server(handler) as url:
        with pytest.raises(SessionError) as caught:
            await within(5, listen(url))
    assert KEY not in repr(caught.value)
    return caught.value


async def test_from_begin_to_termination(http_session: Http) -> None:
    seen: list[Any] = []
    asked: dict[str, str] = {}

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        asked.update(request.query)
        asked["key"] = request.headers["Authorization"]
        await begin_then(socket, {"type": "Turn", "turn_order": 0})
        seen.extend(await terminate_when_asked(socket))

    async with (
        websocket_server(handler) as url,
        connect(
            base_url=url, http_session=http_session, speech_model="u3-rt-pro"
        ) as stream,
    ):
        assert stream.session_id == "session-1"
        assert stream.expires_at == 2_000_000_000
        stream.push(b"\1\2" * 800)
        stream.update(prompt="x")
        stream.force_endpoint()
        stream.keep_alive()
        termination = await within(5, stream.end())
        events = await collect(stream)
    assert asked == {
        "speech_model": "u3-rt-pro",
        "sample_rate": "16000",
        "encoding": "pcm_s16le",
        "key": KEY,
    }
    assert seen == [
        b"\1\2" * 800,
        {"type": "UpdateConfiguration", "prompt": "x"},
        {"type": "ForceEndpoint"},
        {"type": "KeepAlive"},
        *TERMINATE,
    ]
    assert [type(event).__name__ for event in events] == [
        "Begin",
        "Turn",
        "Termination",
    ]
    assert termination is events[-1]


async def test_closing_terminates_so_that_billing_stops(http_session: Http) -> None:
    seen: list[Any] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        seen.extend(await read_to_end(socket))

    async with (
        websocket_server(handler) as url,
        connect(base_url=url, http_session=http_session) as stream,
    ):
        await within(5, stream.aclose())
        await within(5, stream.aclose())
    assert seen == TERMINATE


async def test_no_begin_in_time(http_session: Http) -> None:
    seen: list[Any] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        seen.extend(await read_to_end(socket))

    failure = await failure_of(handler, http_session, begin_timeout=0.05)
    assert isinstance(failure, TimedOutError)
    assert str(failure) == "the session did not begin within 0.05 s"
    assert seen == TERMINATE


async def test_an_error_is_the_answer_even_without_a_close(http_session: Http) -> None:
    seen: list[Any] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        error = {"type": "Error", "error_code": 1008, "error": "Invalid API key"}
        await socket.send_json(error)
        seen.extend(await read_to_end(socket))

    failure = await failure_of(handler, http_session)
    assert isinstance(failure, RefusedError)
    assert "Invalid API key" in str(failure)
    assert seen == TERMINATE


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize(
    ("code", "kind"), [(3005, DroppedError), (1008, RefusedError), (3009, BusyError)]
)
async def test_the_server_closes_with_error_and_code(
    code: int, kind: type[SessionError], begins: bool, http_session: Http
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        if begins:
            await begin_then(socket)
        error = {"type": "Error", "error_code": code, "error": f"no, {KEY}"}
        await socket.send_json(error)
        await socket.close(code=code, message=b"short")

    failure = await failure_of(handler, http_session)
    assert type(failure) is kind
    assert str(failure) == f"the server closed the session with code {code}: no, ***"
    assert failure.code == code


async def test_cancelling_the_opening_closes_the_socket(http_session: Http) -> None:
    arrived = asyncio.Event()
    gone = asyncio.Event()

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        arrived.set()
        await read_to_end(socket)
        gone.set()

    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    async with websocket_server(handler) as url:
        stream = connect(base_url=url, http_session=http_session)
        opening = asyncio.ensure_future(stream.__aenter__())
        await within(5, arrived.wait())
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await within(5, gone.wait())
    del opening, stream
    gc.collect()
    assert complaints == []  # of an exception that nobody retrieved


async def test_messages_that_cannot_be_read_are_counted_and_survived(
    http_session: Http, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        bad = '{"type":"Turn","turn_order":0,"words":"what was said"}'
        await begin_then(socket, "garbage", bad, {"type": "New"})
        await socket.send_bytes(b"binary")
        await socket.send_json({"type": "Turn", "turn_order": 1})
        await terminate_when_asked(socket)

    caplog.set_level(logging.DEBUG)
    async with (
        websocket_server(handler) as url,
        connect(base_url=url, http_session=http_session) as stream,
    ):
        await within(5, stream.end())
        events = await collect(stream)
        assert stream.stats.malformed_messages == 2
    assert events[1:3] == [
        messages.Unknown(type="New", raw={"type": "New"}),
        messages.Turn(turn_order=1),
    ]
    assert caplog.text.count("a message could not be read") == 2
    assert "what was said" not in caplog.text
    assert KEY not in caplog.text


async def test_what_the_server_did_not_take_is_warned_of(
    http_session: Http, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_json({**BEGIN, "configuration": {"mode": "balanced"}})
        await read_to_end(socket)

    async with (
        websocket_server(handler) as url,
        connect(base_url=url, http_session=http_session, mode="max_accuracy"),
    ):
        pass
    assert [record.getMessage() for record in caplog.records] == [
        "session session-1: the server did not take: mode"
    ]
