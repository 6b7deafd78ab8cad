"""A wire on aiohttp's websocket client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import WSMsgType

from ..errors import (
    OptionError,
    SessionError,
    TimedOutError,
    UnreachableError,
    UntrustedError,
)
from ..failures import http_failure
from ..timeouts import timeout
from . import ABNORMAL

if TYPE_CHECKING:
    from typing_extensions import Buffer

logger = logging.getLogger("aai_stream")

HIGH_WATER_BYTES = 64 * 1024
"""With this much in the transport's buffer (2 s at 16 kHz), audio stays in the ring."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""A longer message ends the connection: no turn has that many words."""

CLOSE_SECONDS = 2.0
"""How long `close` waits for the peer's close frame."""


async def open_wire(
    url: str,
    headers: Mapping[str, str],
    *,
    on_text: Callable[[bytes], None],
    on_closed: Callable[[int, str], None],
    http_session: aiohttp.ClientSession | None = None,
    dead_after: float | None = None,
) -> AiohttpWire:
    """Connect as `OpenWire` says, on `http_session` or on one of the wire's own.

    With `dead_after` the peer is pinged when it is silent, and the connection counts
    as lost (1006) when it has been silent for so many seconds.

    Raises `OptionError` if `http_session` is closed.
    """
    session = session_or_new(http_session)
    owned = session if http_session is None else None
    try:
        ws = await session.ws_connect(
            url,
            headers=headers,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            # aiohttp waits for a pong half as long as it waited to ping.
            heartbeat=None if dead_after is None else dead_after / 1.5,
            max_msg_size=MAX_MESSAGE_BYTES,
            decode_text=False,
        )
        if not ws._response.history:
            return AiohttpWire(ws, on_text, on_closed, owned)
        # Nobody has said that speech may go there, nor that it may go without TLS.
        await ws.close()
        raise UnreachableError("the server redirects to another address")
    except Exception as exc:
        caught = exc
    except BaseException:
        if owned is not None:
            await owned.close()
        raise
    # Outside of the except block: what was caught holds the key in its headers, and
    # must not become the context of what is raised.
    if owned is not None:
        await owned.close()
    raise describe_failure(caught)


def session_or_new(http_session: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
    """The caller's session, or a new one that is ours to close.

    Raises `OptionError` if the caller's is closed.
    """
    if http_session is None:
        return aiohttp.ClientSession()
    if http_session.closed:
        raise OptionError("http_session is closed")
    return http_session


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
        # Private names of aiohttp's, for want of public ones. Its `send_*` are
        # coroutines that may wait for a full transport, each in a task then; and a
        # stalled peer must be seen before its transport swallows audio.
        self._write = ws._writer._write_websocket_frame
        self._transport: asyncio.WriteTransport = ws._writer.transport
        self._reader = asyncio.ensure_future(self._read())

    @property
    def writable(self) -> bool:
        return self._transport.get_write_buffer_size() < HIGH_WATER_BYTES

    def send_audio(self, chunk: Buffer) -> None:
        # Bytes as items: of any other format aiohttp would declare a wrong length.
        self._send(memoryview(chunk).cast("B"), WSMsgType.BINARY)

    def send_text(self, text: bytes) -> None:
        self._send(text, WSMsgType.TEXT)

    def _send(self, message: bytes | memoryview, kind: WSMsgType) -> None:
        if not self._ws.closed:
            with contextlib.suppress(ConnectionError):  # the reader tells
                self._write(message, kind, 0)  # type: ignore[arg-type]

    async def close(self) -> None:
        try:
            # aiohttp's own bound begins anew with every message that still arrives.
            with contextlib.suppress(asyncio.TimeoutError):
                async with timeout(CLOSE_SECONDS):
                    await self._ws.close()
            await self._reader
        finally:
            self._reader.cancel()
            if self._transport.get_write_buffer_size():
                # A peer that reads no more would keep the socket open for ever.
                self._transport.abort()
            if self._owned is not None:
                await self._owned.close()

    def _hand_over(self, text: bytes) -> None:
        try:
            self._on_text(text)
        except Exception:
            # A fault of ours or of the caller's callback: the next message may do.
            logger.exception("a message could not be dealt with")

    async def _read(self) -> None:
        # Never timed out or cancelled while the socket is in use: aiohttp would then
        # report 1006 and skip the closing handshake.
        code, reason = ABNORMAL, ""
        try:
            while True:
                message = await self._ws.receive()
                if message.type is WSMsgType.TEXT:
                    self._hand_over(message.data)
                elif message.type is WSMsgType.CLOSE:
                    # `ws.close_code` is wrong for codes that aiohttp doesn't know.
                    code, reason = message.data, message.extra or ""
                    break
                elif message.type is not WSMsgType.BINARY:
                    break
        finally:
            self._on_closed(code, reason)


def describe_failure(exc: Exception) -> SessionError:
    """The error of ours that says what `exc` says, without URL, headers or key."""
    if isinstance(exc, SessionError):
        return exc
    if isinstance(exc, aiohttp.WSServerHandshakeError):
        return http_failure(exc.status, exc.headers or {})
    if isinstance(exc, (asyncio.TimeoutError, TimeoutError)):
        return TimedOutError("the server did not answer in time")
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return UntrustedError(
            f"the certificate of {exc.host}:{exc.port} is not trusted"
        )
    if isinstance(exc, aiohttp.ClientConnectorSSLError):
        # Its `os_error` holds OpenSSL's own number, which is no errno.
        return UnreachableError(f"no TLS with {exc.host}:{exc.port} could be agreed on")
    if isinstance(exc, aiohttp.ClientConnectorError):
        why = _reason(exc.os_error)
        return UnreachableError(f"cannot connect to {exc.host}:{exc.port}: {why}")
    if isinstance(exc, OSError) and exc.strerror:
        return UnreachableError(f"cannot connect: {_reason(exc)}")
    return UnreachableError(
        f"the connection broke while opening ({type(exc).__name__})"
    )


def _reason(exc: OSError) -> str:
    if exc.errno is not None and exc.errno > 0:
        return os.strerror(exc.errno)
    return exc.strerror or type(exc).__name__
