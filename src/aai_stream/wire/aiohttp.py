"""A wire on aiohttp's websocket client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import WSMsgType

from ..errors import (
    BusyError,
    DroppedError,
    RefusedError,
    RejectedError,
    SessionError,
    TimedOutError,
    UnreachableError,
)
from . import ABNORMAL

if TYPE_CHECKING:
    from typing_extensions import Buffer

HIGH_WATER_BYTES = 64 * 1024
"""With this much in the transport's buffer (2 s at 16 kHz), audio stays in the ring."""

CLOSE_SECONDS = 3.0
"""How long `close` waits for the peer's close frame."""


async def open_wire(
    url: str,
    headers: Mapping[str, str],
    *,
    on_text: Callable[[bytes], None],
    on_closed: Callable[[int, str], None],
    http_session: aiohttp.ClientSession | None = None,
) -> AiohttpWire:
    """Connect as `OpenWire` says, on `http_session` or on one of the wire's own."""
    session = http_session or aiohttp.ClientSession()
    failure: SessionError
    try:
        ws = await session.ws_connect(
            url,
            headers=headers,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            decode_text=False,
        )
        return AiohttpWire(
            ws, on_text, on_closed, session if http_session is None else None
        )
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
        failure = describe_failure(exc)
    except BaseException:
        if http_session is None:
            await session.close()
        raise
    if http_session is None:
        await session.close()
    # Outside of the except block: the original holds the key in its headers.
    raise failure


class AiohttpWire:
    """See `aai_stream.wire.Wire`."""

    def __init__(
        self,
        ws: aiohttp.ClientWebSocketResponse[Any],
        on_text: Callable[[bytes], None],
        on_closed: Callable[[int, str], None],
        owned: aiohttp.ClientSession | None,
    ) -> None:
        self._ws = ws
        self._on_text = on_text
        self._on_closed = on_closed
        self._owned = owned
        # aiohttp shows its transport nowhere in public, and without the size of its
        # buffer a stalled peer would swallow audio that could not be replayed.
        self._transport: asyncio.WriteTransport = ws._writer.transport
        self._reader = asyncio.ensure_future(self._read())

    @property
    def writable(self) -> bool:
        return self._transport.get_write_buffer_size() < HIGH_WATER_BYTES

    def send_audio(self, chunk: Buffer) -> None:
        # Bytes as items: of any other format aiohttp would declare a wrong length.
        _run_now(self._ws.send_bytes(memoryview(chunk).cast("B")))  # type: ignore[arg-type]

    def send_text(self, text: bytes) -> None:
        _run_now(self._ws.send_frame(text, WSMsgType.TEXT))

    async def close(self) -> None:
        try:
            await self._ws.close()
            await self._reader
        finally:
            self._reader.cancel()
            if self._owned is not None:
                await self._owned.close()

    async def _read(self) -> None:
        # Never timed out or cancelled while the socket is in use: aiohttp would then
        # report 1006 and skip the closing handshake.
        code, reason = ABNORMAL, ""
        try:
            while True:
                message = await self._ws.receive()
                if message.type is WSMsgType.TEXT:
                    self._on_text(message.data)
                elif message.type is WSMsgType.CLOSE:
                    # `ws.close_code` is wrong for codes that aiohttp doesn't know.
                    code, reason = message.data, message.extra or ""
                    break
                elif message.type is not WSMsgType.BINARY:
                    break
        finally:
            self._on_closed(code, reason)


def _run_now(send: Coroutine[Any, Any, None]) -> None:
    """Run aiohttp's `send` up to the point where it has written.

    It only suspends afterwards, to wait for a full transport; `writable` stands for
    that. A lost connection is told by the reader.
    """
    try:
        send.send(None)
    except (StopIteration, ConnectionError, aiohttp.ClientError):
        return
    send.close()


def describe_failure(exc: Exception) -> SessionError:
    """The error of ours that says what `exc` says, without URL, headers or key."""
    if isinstance(exc, aiohttp.WSServerHandshakeError):
        return http_failure(exc.status, exc.headers or {})
    if isinstance(exc, (asyncio.TimeoutError, TimeoutError)):
        return TimedOutError("the server did not answer in time")
    if isinstance(exc, aiohttp.ClientConnectorError):
        why = exc.os_error.strerror or type(exc.os_error).__name__
        return UnreachableError(f"cannot connect to {exc.host}:{exc.port}: {why}")
    if isinstance(exc, OSError) and exc.strerror:
        return UnreachableError(f"cannot connect: {exc.strerror}")
    return UnreachableError(
        f"the connection broke while opening ({type(exc).__name__})"
    )


def http_failure(status: int, headers: Mapping[str, str]) -> SessionError:
    """The error for a handshake or request that was answered with `status`."""
    wait = _retry_after(headers.get("Retry-After"))
    text = f"the server answered with HTTP status {status}"
    if status in (401, 403):
        return RefusedError(
            f"the key or token was refused (HTTP {status})", code=status
        )
    if status == 408:
        return TimedOutError(text, code=status, retry_after=wait)
    if status == 429:
        return BusyError(text, code=status, retry_after=wait)
    if status >= 500:
        return DroppedError(text, code=status, retry_after=wait)
    return RejectedError(text, code=status)


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date (RFC 9110)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
