"""Listening on loopback, for tests: HTTP, websockets, and bytes.

What speaks v3 on top of it is `talks.Server`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.frames import unmasked

BEGIN = {"type": "Begin", "id": "session-1", "expires_at": 2_000_000_000}

Handler = Callable[[web.WebSocketResponse, web.Request], Awaitable[None]]


@contextlib.asynccontextmanager
async def websocket_server(handler: Handler) -> AsyncIterator[str]:
    """A websocket server that does what `handler` says; gives its base URL."""
    async with http_server(websocket_handler(handler)) as url:
        yield url


def websocket_handler(
    handler: Handler,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Accept a websocket, then do what `handler` says."""

    async def accept(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        await handler(socket, request)
        return socket

    return accept


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


@contextlib.asynccontextmanager
async def raw_server(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """A server of bytes, which hangs up when `handler` returns; gives its `ws:` URL."""
    connections: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        # Cancelled at the end, which asyncio's server would complain of.
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*gone):
            await handler(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        if connections:
            await asyncio.wait(connections)


def port_of(url: str) -> int:
    """The port in a base URL."""
    return int(url.rpartition(":")[2])


async def accept_raw(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, then: bytes = b""
) -> None:
    """Accept a websocket, and send `then` in the same breath."""
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    (key,) = re.findall(r"(?i)sec-websocket-key: (\S+)", request)
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest.digest()) + b"\r\n\r\n"
        b"" + then
    )


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """A client's frame of up to 65535 bytes: opcode, mask key, payload."""
    first, length = await reader.readexactly(2)
    assert first & 0xF0 == 0x80  # whole, and nothing reserved
    assert length & 0x80  # masked
    size = length & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    key = await reader.readexactly(4)
    masked = await reader.readexactly(size)
    return first & 0xF, key, unmasked(masked, key)


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


SOON = 100
"""Turns of the loop in which most happens; who waits longer leaves the processor."""


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until `condition` holds; it should take no 5 s."""

    async def turn() -> None:
        turns = 0
        while not condition():
            await asyncio.sleep(0 if turns < SOON else 0.001)
            turns += 1

    await within(5, turn())


PATIENCE = 10
"""Times what is enough on an idle machine: who hangs is told from who is slow."""


async def within(seconds: float, awaitable: Awaitable[Any]) -> Any:
    """The awaitable's result, or a failure that says it hung."""
    seconds *= PATIENCE
    task = asyncio.ensure_future(awaitable)
    # Unlike `wait_for`, this counts a result that came only by being cancelled.
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        task.cancel()
        raise AssertionError(f"still not done after {seconds} s")
    return task.result()
