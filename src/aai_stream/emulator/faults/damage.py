"""What faults do to a connection."""

from __future__ import annotations

import asyncio
import socket as sockets
import struct
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
from aiohttp import web

from .. import replies
from ..clock import Timers
from ..replies import Message
from .kinds import Fault
from .moments import CONNECT
from .trickle import Trickle

_ODD_MESSAGES = {
    "garbage": '{"type": "Turn", "turn_order": ',
    "unknown": '{"type": "Premonition", "words": [{"text": "soon"}]}',
    "wrong-types": '{"type": "Turn", "turn_order": "first", "transcript": 7, '
    '"words": "none", "end_of_turn": "perhaps"}',
}
_LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: what is then closed sends a reset."""


class Damage:
    """The connection of `request` and its websocket, as far as faults have left it.

    `do` makes a fault happen, other than those that shape messages. `shut_port` makes
    the server refuse new connections for so many seconds.
    """

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        timers: Timers,
        shut_port: Callable[[float], Awaitable[None]],
    ) -> None:
        self._transport = request.transport
        self._socket = socket
        self._timers = timers
        self._shut_port = shut_port
        self._trickle: Trickle | None = None
        self.silent = False
        """Nothing is told or closed any more."""
        self.deaf = False
        """Nothing is read any more; `cut` is set when that is over."""
        self.cut = asyncio.Event()
        """The connection is over, or a fault is closing it."""
        self.refusal: web.HTTPException | None = None
        """The answer to the handshake."""
        self._on_time = asyncio.Event()
        self._on_time.set()

    @property
    def slow(self) -> bool:
        """Whether what was told may still be on its way."""
        return self._trickle is not None

    @property
    def gone(self) -> bool:
        """Whether nothing connects us with the client any more."""
        return self._transport is None or self._transport.is_closing()

    async def send(self, message: Message) -> None:
        """Tell `message` if anything is told. Raises `ConnectionError`."""
        if not self.silent and not self.cut.is_set():
            await self._socket.send_str(_text(message))

    @property
    def late(self) -> bool:
        """Whether something is held back by `hold`."""
        return not self._on_time.is_set()

    async def hold(self, seconds: float) -> None:
        """Let that pass before the next message; less when the connection is reset."""
        self._on_time.clear()
        self._timers.arm("hold", seconds, self._on_time.set)
        await self._on_time.wait()

    async def close(self, code: int, reason: bytes = b"") -> None:
        """Close the websocket, when all that was told has been written."""
        if self._trickle is not None:
            await self._trickle.drained.wait()
            self._write_through(self._transport)
        await self._socket.close(code=code, message=reason)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.cut.set()
        self._on_time.set()
        if self._trickle is not None:
            self._trickle.stop()
        if self._transport is not None and not self.gone:
            socket = self._transport.get_extra_info("socket")
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _LINGER_NOT)
            self._transport.abort()

    async def do(self, fault: Fault) -> None:
        """Make `fault` happen. Raises `ConnectionError`."""
        if fault.kind in _ODD_MESSAGES:
            await self._socket.send_str(_ODD_MESSAGES[fault.kind])
        else:
            await _DEEDS[fault.kind](self, fault)

    async def _refuse(self, fault: Fault) -> None:
        assert fault.seconds is not None
        await self._shut_port(fault.seconds)
        if fault.at == CONNECT:
            self.reset()

    async def _answer(self, fault: Fault) -> None:
        assert fault.code is not None
        self.refusal = web.HTTPServiceUnavailable(text=_text({"error": "by a fault"}))
        self.refusal.set_status(fault.code)
        self.refusal.content_type = "application/json"
        if fault.retry_after is not None:
            self.refusal.headers["Retry-After"] = str(fault.retry_after)

    async def _reset(self, fault: Fault) -> None:
        self.reset()

    async def _drop(self, fault: Fault) -> None:
        self.cut.set()
        if self._transport is not None:
            self._transport.close()

    async def _close(self, fault: Fault) -> None:
        assert fault.code is not None
        if fault.error is not None:
            await self._fail(replies.error(fault.code, fault.error))
        else:
            self.cut.set()
            await self.close(fault.code)

    async def _close_oddly(self, fault: Fault) -> None:
        assert fault.code is not None
        if fault.error is not None:
            await self.send(replies.error(fault.code, fault.error))
        self.cut.set()
        await self.close(fault.code, b"\xff\xfe")

    async def _expire(self, fault: Fault) -> None:
        await self._fail(replies.expired())

    async def _fail(self, error: Message) -> None:
        await self.send(error)
        self.cut.set()
        await self.close(error["error_code"], replies.CLOSE_REASON.encode())

    async def _freeze(self, fault: Fault) -> None:
        self.silent = fault.kind == "freeze"
        self.deaf = True
        if self._transport is not None:
            self._transport.pause_reading()

    async def _mute(self, fault: Fault) -> None:
        self.silent = True

    async def _slow_down(self, fault: Fault) -> None:
        assert fault.seconds is not None
        if self._transport is None:
            return
        if self._trickle is None:
            self._trickle = Trickle(self._transport, self._timers)
            self._write_through(self._trickle)
        self._trickle.seconds, self._trickle.size = fault.seconds, fault.size

    def _write_through(self, transport: object) -> None:
        # A private name of aiohttp's, for want of a public one: whatever is written to
        # a websocket, pongs and closes too, goes to this.
        writer = self._socket._writer
        assert writer is not None
        writer.transport = cast(asyncio.Transport, transport)

    async def _send_binary(self, fault: Fault) -> None:
        await self._socket.send_bytes(bytes(range(256)))

    async def _send_huge(self, fault: Fault) -> None:
        assert fault.size is not None
        await self.send(replies.warning(0, "x" * fault.size))


_DEEDS: dict[str, Callable[[Damage, Fault], Awaitable[None]]] = {
    "refuse": Damage._refuse,
    "status": Damage._answer,
    "reset": Damage._reset,
    "drop": Damage._drop,
    "close": Damage._close,
    "bad-reason": Damage._close_oddly,
    "expire": Damage._expire,
    "freeze": Damage._freeze,
    "stop-reading": Damage._freeze,
    "mute": Damage._mute,
    "trickle": Damage._slow_down,
    "binary": Damage._send_binary,
    "huge": Damage._send_huge,
}


def _text(message: Message) -> str:
    return msgspec.json.encode(message).decode()
