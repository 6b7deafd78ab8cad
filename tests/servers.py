"""Servers for the client's tests, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

BEGIN = {"type": "Begin", "id": "session-1", "expires_at": 2_000_000_000}

Handler = Callable[[web.WebSocketResponse, web.Request], Awaitable[None]]


@contextlib.asynccontextmanager
async def websocket_server(handler: Handler) -> AsyncIterator[str]:
    """A websocket server that does what `handler` says; gives its base URL."""

    async def accept(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        await handler(socket, request)
        return socket

    async with http_server(accept) as url:
        yield url


@contextlib.asynccontextmanager
async def http_server(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """An HTTP server with one handler for every path; gives its `ws:` base URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def begin_then(socket: web.WebSocketResponse, *messages: Any) -> None:
    """Send Begin and then `messages`: str as it is, everything else as JSON."""
    for message in (BEGIN, *messages):
        if isinstance(message, str):
            await socket.send_str(message)
        else:
            await socket.send_json(message)


async def read_to_end(socket: web.WebSocketResponse) -> list[Any]:
    """Everything the client sends until it closes: text parsed, audio as bytes."""
    seen: list[Any] = []
    async for message in socket:
        seen.append(
            message.json()
            if message.type is web.WSMsgType.TEXT
            else bytes(message.data)
        )
    return seen


async def terminate_when_asked(socket: web.WebSocketResponse) -> list[Any]:
    """Read until Terminate, answer with Termination, close; gives what was read."""
    seen: list[Any] = []
    async for message in socket:
        if message.type is not web.WSMsgType.TEXT:
            seen.append(bytes(message.data))
            continue
        seen.append(message.json())
        if message.json()["type"] == "Terminate":
            await socket.send_json(
                {
                    "type": "Termination",
                    "audio_duration_seconds": 1,
                    "session_duration_seconds": 1,
                }
            )
            await socket.close()
    return seen


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until `condition` holds, 5 s at most."""

    async def turn() -> None:
        while not condition():  # noqa: ASYNC110, the loop is what is waited for
            await asyncio.sleep(0)

    await within(5, turn())


async def within(seconds: float, awaitable: Awaitable[Any]) -> Any:
    """The awaitable's result, or a failure that says it hung."""
    task = asyncio.ensure_future(awaitable)
    # Unlike `wait_for`, this counts a result that came only by being cancelled.
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        task.cancel()
        raise AssertionError(f"still not done after {seconds} s")
    return task.result()
