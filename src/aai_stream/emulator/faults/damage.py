"""What a fault does to a session when it strikes, other than changing its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from .. import replies
from .kinds import Fault
from .messages import ODD_MESSAGES
from .moments import CONNECT
from .transport import FaultyTransport


class Damage:
    """A websocket and the `transport` below it, as far as faults have left them.

    `do` makes a fault happen. `shut_port` makes the server refuse new connections for
    so many seconds.
    """

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        transport: FaultyTransport,
        shut_port: Callable[[float], Awaitable[None]],
    ) -> None:
        self._websocket = websocket
        self._transport = transport
        self._shut_port = shut_port
        self.mute = False
        """The client is told nothing more, not even a close."""
        self.deaf = False
        """Nothing is read any more until `over`."""
        self.over = asyncio.Event()
        """A fault has ended the connection, or is closing the websocket."""
        self.refusal: web.HTTPException | None = None
        """The answer to the handshake."""

    @property
    def gone(self) -> bool:
        """Whether there is nothing left to close."""
        return self._transport.is_closing() or self.over.is_set()

    async def do(self, fault: Fault) -> None:
        """Make `fault` happen. Raises `ConnectionError`."""
        if fault.kind in ODD_MESSAGES:
            await self._websocket.send_str(ODD_MESSAGES[fault.kind])
        else:
            await _DEEDS[fault.kind](self, fault)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.over.set()
        self._transport.reset()

    async def close(self, code: int, reason: bytes = b"") -> None:
        """Close the websocket, once everything that was told has been written."""
        await self._transport.end_trickle()
        await self._websocket.close(code=code, message=reason)

    async def _refuse(self, fault: Fault) -> None:
        assert fault.seconds is not None
        await self._shut_port(fault.seconds)
        if fault.at == CONNECT:
            self.reset()

    async def _answer(self, fault: Fault) -> None:
        assert fault.code is not None
        self.refusal = web.HTTPServiceUnavailable(text='{"error":"by a fault"}')
        self.refusal.set_status(fault.code)
        self.refusal.content_type = "application/json"
        if fault.retry_after is not None:
            self.refusal.headers["Retry-After"] = str(fault.retry_after)

    async def _reset(self, fault: Fault) -> None:
        self.reset()

    async def _drop(self, fault: Fault) -> None:
        self.over.set()
        self._transport.close()

    async def _close(self, fault: Fault) -> None:
        assert fault.code is not None
        if fault.error is None:
            self.over.set()
            await self.close(fault.code)
        else:
            await self._fail(replies.error(fault.code, fault.error))

    async def _close_oddly(self, fault: Fault) -> None:
        assert fault.code is not None
        if fault.error is not None:
            await self._tell(replies.error(fault.code, fault.error))
        self.over.set()
        await self.close(fault.code, b"\xff\xfe")

    async def _expire(self, fault: Fault) -> None:
        await self._fail(replies.expired())

    async def _freeze(self, fault: Fault) -> None:
        self.mute = self.deaf = True
        self._transport.freeze()

    async def _stop_reading(self, fault: Fault) -> None:
        self.deaf = True
        self._transport.stop_reading()

    async def _mute(self, fault: Fault) -> None:
        self.mute = True

    async def _slow_down(self, fault: Fault) -> None:
        assert fault.seconds is not None
        self._transport.trickle(fault.seconds, fault.size)

    async def _send_binary(self, fault: Fault) -> None:
        await self._websocket.send_bytes(bytes(range(256)))

    async def _send_huge(self, fault: Fault) -> None:
        assert fault.size is not None
        await self._tell(replies.warning(0, "x" * fault.size))

    async def _fail(self, error: replies.Message) -> None:
        await self._tell(error)
        self.over.set()
        await self.close(error["error_code"], replies.CLOSE_REASON.encode())

    async def _tell(self, message: replies.Message) -> None:
        if not self.mute:
            await self._websocket.send_str(replies.encode(message))


_DEEDS: dict[str, Callable[[Damage, Fault], Awaitable[None]]] = {
    "refuse": Damage._refuse,
    "status": Damage._answer,
    "reset": Damage._reset,
    "drop": Damage._drop,
    "close": Damage._close,
    "bad-reason": Damage._close_oddly,
    "expire": Damage._expire,
    "freeze": Damage._freeze,
    "stop-reading": Damage._stop_reading,
    "mute": Damage._mute,
    "trickle": Damage._slow_down,
    "binary": Damage._send_binary,
    "huge": Damage._send_huge,
}
