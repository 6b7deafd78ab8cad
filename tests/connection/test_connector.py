"""Where sessions are opened, as whom, and how many a minute."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import aai_stream
from aai_stream.connection import limiter
from aai_stream.connection.budget.limits import Limits
from aai_stream.connection.connector import DEAD_AFTER_SECONDS, Connector
from aai_stream.connection.credentials import Credentials
from aai_stream.connection.limiter import ConnectLimiter
from aai_stream.connection.watchdog import this_loops_ticker
from aai_stream.errors import (
    MissingExtraError,
    OptionError,
    RefusedError,
    TimedOutError,
)
from aai_stream.options import Options
from tests.clocks import Clock
from tests.connection.helpers import Heard
from tests.queues import limiter_on, settle
from tests.servers import (
    BEGIN,
    begin_then,
    http_server,
    raw_server,
    read_to_end,
    websocket_server,
    within,
)

REMOTE = "wss://streaming.assemblyai.com"


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_this_process(limits: Limits, _: object) -> ConnectLimiter:
        return limiter_on(Clock(), limits)

    monkeypatch.setattr(limiter, "ConnectLimiter", of_this_process)


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
        await settle()
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


async def test_a_hundred_go_at_once_unless_told_otherwise() -> None:
    default = await waits(*(connector() for _ in range(102)))
    assert default == [False] * 100 + [True] * 2
    assert not any(
        await waits(*(connector(sessions_per_minute=math.inf) for _ in range(200)))
    )


async def test_on_this_machine_nobody_waits_unless_told_to() -> None:
    url = "ws://127.0.0.1:1"
    assert not any(await waits(*(connector(url) for _ in range(200))))
    few: dict[str, Any] = {"sessions_per_minute": 1}
    assert await waits(connector(url, **few), connector(url, **few)) == [False, True]


async def test_no_more_than_are_to_be_open_at_once() -> None:
    some: dict[str, Any] = {"max_sessions": 2}
    url = "ws://127.0.0.1:1"
    places = [await connector(url, **some).admit(lambda: 0.0) for _ in range(2)]
    assert await waits(connector(url, **some)) == [True]
    assert places[0] is not None
    places[0].release()
    assert await waits(connector(url, **some)) == [False]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("localhost:6379", r"must begin with one of redis://, .*, not 'localhost'"),
        ("http://:secret@there", "must begin with one of redis://, .*, not 'http'"),
        ("there", "must begin with one of redis://"),
        ("redis://there:secret", "is no URL"),
        (5, "is no URL"),
    ],
)
def test_a_budget_that_is_none(
    bad: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match=said) as failure:
        connector(budget=bad)
    assert "secret" not in str(failure.value)
    monkeypatch.setenv("AAI_STREAM_BUDGET", str(bad))
    with pytest.raises(OptionError, match="budget"):
        connector()


def test_a_budget_without_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtraError, match=r"pip install redis"):
        connector(budget="redis://there")


async def test_tokens_are_one_account() -> None:
    def with_token(token: str) -> Connector:
        return Connector(Credentials(token=token), REMOTE, sessions_per_minute=1)

    assert await waits(with_token("one"), with_token("two")) == [False, True]


# ---- opening ----


async def test_a_wire_is_opened_as_asked() -> None:
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
            heard = Heard()
            wire = await made.open(Options({"speech_model": "u3-rt-pro"}), heard, 5)
            await within(5, heard.spoken.wait())
            assert [json.loads(text) for text in heard.texts] == [BEGIN]
            await wire.close()
            assert heard.end.done()
        assert not mine.closed
        assert connector(url, http_session=mine).http_session is mine
    assert [request.path for request in asked] == ["/proxy/v3/ws"] * 2
    assert asked[0].query == {"speech_model": "u3-rt-pro"}
    assert asked[0].headers["Authorization"] == "k"
    assert ["X-Mine" in request.headers for request in asked] == [False, True]


both_libraries = pytest.mark.parametrize("own_session", [False, True])


@both_libraries
async def test_a_refusal_leaves_nothing_open(own_session: bool) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=401)

    tasks = asyncio.all_tasks()
    async with http_server(refuse) as url, aiohttp.ClientSession() as http:
        made = connector(url, http_session=http if own_session else None)
        with pytest.raises(RefusedError):
            await made.open(Options({}), Heard(), 5)
    assert asyncio.all_tasks() == tasks


@both_libraries
async def test_a_server_that_does_not_answer_is_given_up(own_session: bool) -> None:
    gone = asyncio.Event()

    async def say_nothing(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read()
        gone.set()

    tasks = asyncio.all_tasks()
    heard = Heard()
    async with raw_server(say_nothing) as url, aiohttp.ClientSession() as http:
        made = connector(url, http_session=http if own_session else None)
        with pytest.raises(TimedOutError, match=r"connection .* within 0\.05 s"):
            await within(5, made.open(Options({}), heard, 0.05))
        await within(5, gone.wait())
    assert asyncio.all_tasks() == tasks
    assert not heard.end.done()


async def test_a_source_of_tokens_has_no_more_time() -> None:
    async def never() -> str:
        await asyncio.Event().wait()
        return "late"

    made = Connector(Credentials(token=never), "ws://127.0.0.1:1")
    with pytest.raises(TimedOutError, match=r"connection .* within 0\.05 s"):
        await within(5, made.open(Options({}), Heard(), 0.05))


@pytest.mark.parametrize("dead_after", [3, math.inf, DEAD_AFTER_SECONDS])
@both_libraries
async def test_a_silent_peer_is_watched_unless_trusted(
    dead_after: float, own_session: bool
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await read_to_end(socket)

    async with websocket_server(handler) as url, aiohttp.ClientSession() as http:
        made = connector(
            url, dead_after=dead_after, http_session=http if own_session else None
        )
        wire = await within(5, made.open(Options({}), Heard(), 5))
        assert this_loops_ticker().is_running is (dead_after != math.inf)
        await wire.close()
        assert not this_loops_ticker().is_running
