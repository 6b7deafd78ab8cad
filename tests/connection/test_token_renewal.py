"""Tokens that have expired: a source is asked for another, once in a row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import aai_stream
from aai_stream.errors import DroppedError, RefusedError, TokenExpiredError
from tests.servers import begin_then, http_server, until, within
from tests.talks import Waits, collect_until, impatient


class Gate:
    """A server that lets in who has a new token, and refuses others with `text` or an
    HTTP status."""

    def __init__(
        self,
        text: str = "Unauthorized Connection: Signature has expired",
        *,
        status: int | None = None,
    ) -> None:
        self.tokens: list[str] = []
        self.sockets: list[web.WebSocketResponse] = []
        self._text = text
        self._status = status

    def serve(self) -> AbstractAsyncContextManager[str]:
        return http_server(self._accept)

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        token = request.query["token"]
        self.tokens.append(token)
        if not token.startswith(("new", "cut")) and self._status is not None:
            return web.Response(status=self._status)
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        if token.startswith("new"):
            self.sockets.append(socket)
            await begin_then(socket)
            async for _ in socket:
                pass
        elif token.startswith("cut"):
            assert request.transport is not None
            request.transport.abort()
        else:
            await socket.send_json({"type": "Error", "error": self._text})
            await socket.close(code=1008, message=b"See Error message for details")
        return socket


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Those before another attempt, which is made at once."""
    return impatient(monkeypatch)


def source_of(tokens: list[str], is_async: bool = False) -> Callable[[], Any]:
    async def later() -> str:
        return tokens.pop(0)

    return later if is_async else lambda: tokens.pop(0)


def stream(url: str, *tokens: str, **options: Any) -> aai_stream.Stream:
    return aai_stream.connect(token=source_of([*tokens]), base_url=url, **options)


@pytest.mark.parametrize("own_session", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_token_that_has_expired_is_replaced_once(
    is_async: bool, own_session: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    caplog.set_level("INFO")
    async with gate.serve() as url, aiohttp.ClientSession() as http:

        def stream(*tokens: str) -> aai_stream.Stream:
            return aai_stream.connect(
                token=source_of([*tokens], is_async),
                base_url=url,
                http_session=http if own_session else None,
            )

        async with stream("old", "new") as opened:
            assert opened.stats.sessions == 1
        assert "the token had expired; trying another" in caplog.messages
        with pytest.raises(TokenExpiredError, match="Signature has expired") as caught:
            await within(5, stream("old", "older", "new").__aenter__())
    assert gate.tokens == ["old", "new", "old", "older"]
    assert caught.value.code == 1008
    assert not caught.value.retryable


async def test_it_uses_up_no_retry(waits: Waits) -> None:
    gate = Gate()
    async with gate.serve() as url, stream(url, "old", "new", max_retries=0):
        assert gate.tokens == ["old", "new"]
    assert waits.seconds == []


async def test_after_each_begin_once_more(waits: Waits) -> None:
    gate = Gate()
    tokens = ["old 1", "new 1", "old 2", "new 2", "old 3", "older"]
    async with gate.serve() as url, stream(url, *tokens) as opened:
        await gate.sockets[0].close(code=1011)
        await until(lambda: opened.stats.sessions == 2)
        await gate.sockets[1].close(code=1011)
        _, failure = await collect_until(opened, TokenExpiredError)
    assert gate.tokens == tokens
    assert failure.code == 1008
    assert len(waits.seconds) == 2  # one for each session that was lost


async def test_after_another_failure_once_more(waits: Waits) -> None:
    gate = Gate()
    tokens = ["old 1", "cut 1", "old 2", "cut 2", "old 3", "older", "new"]
    async with gate.serve() as url:
        with pytest.raises(TokenExpiredError):
            await within(5, stream(url, *tokens).__aenter__())
    assert gate.tokens == tokens[:-1]
    assert len(waits.seconds) == 2


async def test_a_fixed_token_that_has_expired_is_refused() -> None:
    gate = Gate()
    async with gate.serve() as url:
        with pytest.raises(TokenExpiredError):
            await within(5, aai_stream.connect(token="old", base_url=url).__aenter__())
    assert gate.tokens == ["old"]


@pytest.mark.parametrize(
    "gate",
    [Gate(status=401), Gate("Unauthorized Connection: Invalid API key")],
    ids=["HTTP", "v3"],
)
async def test_a_token_that_is_refused_for_another_reason(gate: Gate) -> None:
    async with gate.serve() as url:
        with pytest.raises(RefusedError) as caught:
            await within(5, stream(url, "bad", "new").__aenter__())
    assert type(caught.value) is RefusedError
    assert gate.tokens == ["bad"]


async def test_closing_while_another_token_is_made() -> None:
    asked = asyncio.Event()
    tokens = ["old"]

    async def source() -> str:
        if tokens:
            return tokens.pop()
        asked.set()
        await asyncio.Event().wait()
        return "never"

    gate = Gate()
    async with gate.serve() as url:
        opened = aai_stream.connect(token=source, base_url=url)
        entering = asyncio.ensure_future(opened.__aenter__())
        await within(5, asked.wait())
        entering.cancel()
        await asyncio.wait([entering])
        await within(5, opened.aclose())
    assert entering.cancelled()
    assert gate.tokens == ["old"]


async def test_a_connection_that_breaks_is_no_reason_to_renew(waits: Waits) -> None:
    """It is tried again as any connection that is lost."""
    gate = Gate()
    async with gate.serve() as url:
        with pytest.raises(DroppedError):
            await within(5, stream(url, "cut", "new", max_retries=0).__aenter__())
        async with stream(url, "cut", "new"):
            pass
    assert gate.tokens == ["cut", "cut", "new"]
    assert len(waits.seconds) == 1
