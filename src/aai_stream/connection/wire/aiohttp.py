"""A wire on aiohttp's websocket client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Any, cast

import aiohttp
from aiohttp import WSMsgType

from ..._core import FrameWriter
from ...errors import OptionError, SessionError, TimedOutError, UnreachableError
from ...timeouts import timeout
from .. import wire
from ..failures import connect_failure, http_failure
from ..watchdog import Watchdog
from . import ABNORMAL, Owner, hand_over
from .closing import LastBytes, OverheardParser
from .inherited import keep_from_forks


async def open_wire(
    url: str,
    headers: Mapping[str, str],
    owner: Owner,
    *,
    http_session: aiohttp.ClientSession,
    dead_after: float | None = None,
) -> AiohttpWire:
    """Connect as `OpenWire` says, on `http_session`, which stays the caller's.

    With `dead_after` the peer is pinged when it is silent, and the connection counts
    as lost (1006) when it has been silent for so many seconds.

    Raises `OptionError` if `http_session` is closed.
    """
    session = usable(http_session)
    try:
        ws = await session.ws_connect(
            url,
            headers=headers,
            timeout=aiohttp.ClientWSTimeout(ws_close=wire.CLOSE_SECONDS),
            autoping=False,  # a pong is a sign of life that it would keep to itself
            max_msg_size=wire.MAX_MESSAGE_BYTES,
            decode_text=False,
        )
        if not ws._response.history:
            return AiohttpWire(ws, owner, dead_after)
        # Nobody has said that speech may go there, nor that it may go without TLS.
        await ws.close()
        raise UnreachableError("the server redirects to another address")
    except Exception as exc:
        failure = describe_failure(exc)
    # Outside of the except block: what was caught holds the key in its headers, and
    # must not become the context of what is raised.
    raise failure


def usable(http_session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """The session itself. Raises `OptionError` if it is closed."""
    if http_session.closed:
        raise OptionError("http_session is closed")
    return http_session


class AiohttpWire:
    """See `aai_stream.connection.wire.Wire`."""

    def __init__(
        self,
        ws: aiohttp.ClientWebSocketResponse[Any],
        owner: Owner,
        dead_after: float | None,
    ) -> None:
        self._ws = ws
        self.frames = FrameWriter()
        self._owner = owner
        # Private names of aiohttp's, for want of public ones. Its `send_*` are
        # coroutines that may wait for a full transport, each in a task then, and copy
        # twice; and a stalled peer must be seen before its transport swallows audio.
        # Frames of ours are good as long as no compression was asked for.
        self._transport: asyncio.WriteTransport = ws._writer.transport
        self.frames.open(self._transport.write)
        self._received = LastBytes()
        _overhear(ws, self._received)
        self._watch_room(ws)
        self._reader = asyncio.ensure_future(self._read())
        self._watchdog: Watchdog | None = None
        if dead_after is not None:
            self._watchdog = Watchdog(
                dead_after,
                self._transport.abort,
                ask=lambda: self.frames.send(WSMsgType.PING, b""),
            )
        self._is_inherited = False  # by a fork, which this is
        keep_from_forks(self)

    def _watch_room(self, ws: aiohttp.ClientWebSocketResponse[Any]) -> None:
        # aiohttp keeps to itself when its transport's buffer is full.
        protocol = ws._conn.protocol if ws._conn is not None else None
        if protocol is None:
            return
        pause, resume = protocol.pause_writing, protocol.resume_writing

        def no_room() -> None:
            self.frames.pause()
            pause()

        def room() -> None:
            resume()
            self.frames.resume()

        protocol.pause_writing = no_room  # type: ignore[method-assign]
        protocol.resume_writing = room  # type: ignore[method-assign]
        self._transport.set_write_buffer_limits(
            wire.HIGH_WATER_BYTES, wire.LOW_WATER_BYTES
        )

    @property
    def silent_seconds(self) -> float:
        return 0.0 if self._watchdog is None else self._watchdog.silent_seconds

    async def close(self) -> None:
        self.frames.is_open = False  # aiohttp says goodbye
        try:
            if not self._is_inherited:
                # aiohttp's own bound begins anew with every message that still arrives.
                with contextlib.suppress(asyncio.TimeoutError):
                    async with timeout(wire.CLOSE_SECONDS):
                        await self._ws.close()
                await self._reader
        finally:
            self._reader.cancel()
            # A peer that reads no more would keep the socket open for ever.
            self._transport.abort()

    async def _read(self) -> None:
        # Never timed out or cancelled while the socket is in use: aiohttp would then
        # report 1006 and skip the closing handshake.
        code, reason = ABNORMAL, ""
        try:
            while True:
                message = await self._ws.receive()
                if self._is_inherited:  # it had come before the fork
                    break
                if self._watchdog is not None:
                    self._watchdog.heard()
                if message.type is WSMsgType.TEXT:
                    hand_over(message.data, self._owner)
                elif message.type is WSMsgType.PING:
                    self.frames.send(WSMsgType.PONG, message.data)
                elif message.type is WSMsgType.CLOSE:
                    # `ws.close_code` is wrong for codes that aiohttp doesn't know.
                    code, reason = message.data or ABNORMAL, message.extra or ""
                    break
                elif _is_not_text(message):
                    code, reason = self._received.unreadable_close()
                    break
                elif message.type not in (WSMsgType.BINARY, WSMsgType.PONG):
                    break
        finally:
            self.frames.is_open = False
            if self._watchdog is not None:
                self._watchdog.stop()
            if not self._is_inherited:
                self._owner.closed(code, reason)

    # ---- see `Inheritable` ----

    def fileno(self) -> int:
        if self._transport.is_closing():
            return -1
        sock: socket.socket = self._transport.get_extra_info("socket")
        return sock.fileno()

    def disown(self) -> None:
        self._is_inherited = True
        self.frames.is_open = False
        if self._watchdog is not None:
            self._watchdog.stop()


def _is_not_text(message: aiohttp.WSMessage) -> bool:
    """Whether it says that a text is not UTF-8. aiohttp decodes those of close frames
    only, as it was told."""
    exc = message.data
    return (
        isinstance(exc, aiohttp.WebSocketError)
        and exc.code == aiohttp.WSCloseCode.INVALID_TEXT
    )


def _overhear(ws: aiohttp.ClientWebSocketResponse[Any], received: LastBytes) -> None:
    # Private names again: neither `ws` nor its errors keep what they could not read.
    connection = ws._conn
    protocol = None if connection is None else connection.protocol
    if protocol is not None and protocol._payload_parser is not None:
        protocol._payload_parser = OverheardParser(protocol._payload_parser, received)


def describe_failure(exc: Exception) -> SessionError:
    """The error of ours that says what `exc` says, without URL, headers or key."""
    if isinstance(exc, SessionError):
        return exc
    if isinstance(exc, aiohttp.WSServerHandshakeError):
        return http_failure(exc.status, exc.headers or {})
    if isinstance(exc, (asyncio.TimeoutError, TimeoutError)):
        return TimedOutError("the server did not answer in time")
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        why = cast(OSError, exc.certificate_error)  # of Python's ssl, which are such
        return connect_failure(why, f"{exc.host}:{exc.port}")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return connect_failure(exc.os_error, f"{exc.host}:{exc.port}")
    return UnreachableError(
        f"the connection broke while opening ({type(exc).__name__})"
    )
