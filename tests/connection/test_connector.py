"""Where sessions are opened, as whom, and how many a minute."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import aai_stream
from aai_stream.connection import limiter
from aai_stream.connection.connector import DEAD_AFTER_SECONDS, Connector
from aai_stream.connection.credentials import Credentials
from aai_stream.connection.watchdog import this_loops_ticker
from aai_stream.errors import (
    OptionError,
    RefusedError,
    TimedOutError,
    TokenExpiredError,
)
from aai_stream.options import Options
from tests.servers import (
    begin_then,
    http_server,
    read_to_end,
    websocket_server,
    within,
)

REMOTE = "wss://streaming.assemblyai.com"


@pytest.fixture(autouse=True)
def no_limiters_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "_limiters", {})


def connector(base_url: str = REMOTE, key: str = "k", **options: Any) -> Connector:
    return Connector(Credentials(key), base_url, **options)


# ---- arguments ----


@pytest.mark.parametrize("bad", [0, -1, math.nan, -math.inf, "10", None])
def test_a_time_after_which_no_connection_is_dead(bad: Any) -> None:
    with pytest.raises(OptionError, match="dead_after"):
        connector(dead_after=bad)


@pytest.mark.parametrize(
    "base",
    [
        "nonsense",
        "wss://x/?token=abc",
        "ws://streaming.assemblyai.com",
        "wss://[::1",
        5,
    ],
)
def test_what_is_no_base_url(base: Any) -> None:
    for make in (connector, lambda url: aai_stream.connect(api_key="k", base_url=url)):
        try:
            with pytest.raises(OptionError, match="base_url"):
                make(base)
        except OptionError as exc:  # a ValueError, too, but not this one
            pytest.fail(str(exc))


def test_another_machine_without_tls_needs_permission() -> None:
    made = connector("ws://transcriber.internal:80", allow_unencrypted=True)
    assert made.host == "transcriber.internal"
    assert connector("wss://[2001:db8::1]:443/proxy").host == "2001:db8::1"


# ---- the line ----


async def waits(*connectors: Connector) -> list[bool]:
    """Whether each has to wait when they ask one after the other."""
    waited = []
    for one in connectors:
        asking = asyncio.ensure_future(one.admit(lambda: 0.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waited.append(not asking.done())
        asking.cancel()
        await asyncio.wait([asking])
    return waited


async def test_streams_to_one_server_and_account_wait_for_each_other() -> None:
    few: dict[str, Any] = {"sessions_per_minute": 1}
    assert await waits(connector(**few), connector(**few)) == [False, True]
    assert await waits(connector(key="other", **few)) == [False]
    assert await waits(connector("wss://streaming.eu.assemblyai.com", **few)) == [False]
    # Another path or port is the same server.
    assert await waits(connector(f"{REMOTE}:443/v0", **few)) == [True]


async def test_half_a_hundred_go_at_once_unless_told_otherwise() -> None:
    default = await waits(*(connector() for _ in range(52)))
    assert default.index(True) in (49, 50)  # floats round
    assert not any(
        await waits(*(connector(sessions_per_minute=math.inf) for _ in range(200)))
    )


async def test_on_this_machine_nobody_waits_unless_told_to() -> None:
    url = "ws://127.0.0.1:1"
    assert not any(await waits(*(connector(url) for _ in range(200))))
    few: dict[str, Any] = {"sessions_per_minute": 1}
    assert await waits(connector(url, **few), connector(url, **few)) == [False, True]


async def test_tokens_are_one_account() -> None:
    def with_token(token: str) -> Connector:
        return Connector(Credentials(token=token), REMOTE, sessions_per_minute=1)

    assert await waits(with_token("one"), with_token("two")) == [False, True]


# ---- opening ----


async def test_a_session_is_opened_as_asked() -> None:
    asked: list[web.Request] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        asked.append(request)
        await begin_then(socket)
        await read_to_end(socket)

    async with (
        websocket_server(handler) as url,
        aiohttp.ClientSession(headers={"X-Mine": "yes"}) as mine,
    ):
        for made in (
            connector(f"{url}/proxy/"),
            connector(f"{url}/proxy", http_session=mine),
        ):
            session = await made.open(
                Options({"speech_model": "u3-rt-pro"}), sample_rate=16_000, timeout=5
            )
            assert session.id == "session-1"
            await session.close()
        assert not mine.closed
        assert connector(url, http_session=mine).http_session is mine
    assert [request.path for request in asked] == ["/proxy/v3/ws"] * 2
    assert asked[0].query == {"speech_model": "u3-rt-pro"}
    assert asked[0].headers["Authorization"] == "k"
    assert ["X-Mine" in request.headers for request in asked] == [False, True]


async def test_how_opening_fails() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=401)

    async def say_nothing(socket: web.WebSocketResponse, _: web.Request) -> None:
        await read_to_end(socket)

    tasks = asyncio.all_tasks()
    async with http_server(refuse) as url, websocket_server(say_nothing) as mute:
        with pytest.raises(RefusedError):
            await connector(url).open(Options({}), sample_rate=16_000, timeout=5)
        made = connector(mute, begin_timeout=0.05)
        with pytest.raises(TimedOutError, match=r"within 0\.05 s"):
            await made.open(Options({}), sample_rate=16_000, timeout=5)
    assert asyncio.all_tasks() == tasks


class Gate:
    """A server that lets in who has a new token."""

    def __init__(self, status: int | None = None) -> None:
        self.tokens: list[str] = []
        self._status = status

    async def serve(self, request: web.Request) -> web.StreamResponse:
        token = request.query["token"]
        self.tokens.append(token)
        if token != "new" and self._status is not None:
            return web.Response(status=self._status)
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        if token == "new":
            await begin_then(socket)
            await read_to_end(socket)
        else:
            text = "Unauthorized Connection: Signature has expired"
            await socket.send_json({"type": "Error", "error": text})
            await socket.close(code=1008, message=b"See Error message for details")
        return socket


def source_of(tokens: list[str], is_async: bool) -> Callable[[], Any]:
    async def later() -> str:
        return tokens.pop(0)

    return later if is_async else lambda: tokens.pop(0)


@pytest.mark.parametrize("own_session", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_token_that_has_expired_is_replaced_once(
    is_async: bool, own_session: bool
) -> None:
    gate = Gate()
    async with http_server(gate.serve) as url, aiohttp.ClientSession() as http:

        def stream(*tokens: str) -> aai_stream.Stream:
            return aai_stream.connect(
                token=source_of(list(tokens), is_async),
                base_url=url,
                http_session=http if own_session else None,
            )

        async with stream("old", "new") as opened:
            assert opened.stats.sessions == 1
        with pytest.raises(TokenExpiredError, match="Signature has expired") as caught:
            await stream("old", "older", "new").__aenter__()
    assert gate.tokens == ["old", "new", "old", "older"]
    assert caught.value.code == 1008
    assert not caught.value.retryable


async def test_a_fixed_token_that_has_expired_is_refused() -> None:
    gate = Gate()
    async with http_server(gate.serve) as url:
        made = Connector(Credentials(token="old"), url)
        with pytest.raises(TokenExpiredError):
            await made.open(Options({}), sample_rate=16_000, timeout=5)
    assert gate.tokens == ["old"]


async def test_a_token_that_is_refused_for_another_reason() -> None:
    gate = Gate(status=401)
    async with http_server(gate.serve) as url:
        made = Connector(Credentials(token=source_of(["bad", "new"], False)), url)
        with pytest.raises(RefusedError) as caught:
            await made.open(Options({}), sample_rate=16_000, timeout=5)
    assert type(caught.value) is RefusedError
    assert gate.tokens == ["bad"]


@pytest.mark.parametrize("dead_after", [3, math.inf, DEAD_AFTER_SECONDS])
@pytest.mark.parametrize("own_session", [False, True])
async def test_a_silent_peer_is_watched_unless_trusted(
    dead_after: float, own_session: bool
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        await read_to_end(socket)

    async with websocket_server(handler) as url, aiohttp.ClientSession() as http:
        made = connector(
            url, dead_after=dead_after, http_session=http if own_session else None
        )
        session = await within(5, made.open(Options({}), sample_rate=16_000, timeout=5))
        assert this_loops_ticker().is_running is (dead_after != math.inf)
        await session.close()
        assert not this_loops_ticker().is_running
