"""A client's websocket. Messages are values here, and JSON only beyond it."""

from __future__ import annotations

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from .. import replies
from ..faults.connection import ConnectionFaults
from ..watching import Watch


class Line:
    """Talks to the client on `websocket`; `faults` have a say in every step.

    Iterating gives what the client sends, until the connection is over. `watch`, if
    there is one, is told all of it.
    """

    def __init__(
        self, websocket: web.WebSocketResponse, faults: ConnectionFaults
    ) -> None:
        self.faults = faults
        self.watch: Watch | None = None
        self._websocket = websocket

    @property
    def close_code(self) -> int | None:
        """The code of the client's close; None without one."""
        code = self._websocket.close_code
        return None if code == WSCloseCode.ABNORMAL_CLOSURE else code

    async def tell(self, message: replies.Message) -> None:
        """Send `message`, or what faults make of it. Raises `ConnectionError`."""
        for told in await self.faults.before_telling(message):
            await self._websocket.send_str(replies.encode(told))
            if self.watch is not None:
                self.watch.told(told)
        await self.faults.after_telling(message)

    async def tell_text(self, text: str) -> None:
        """Send what is no message. Raises `ConnectionError`."""
        if not self.faults.silent:
            await self._websocket.send_str(text)

    async def break_by(self, kind: str) -> None:
        """Let a fault of this `kind` strike now."""
        await self.faults.strike(kind)

    async def close(self, code: int, reason: str) -> None:
        """Close the websocket, unless faults keep it open."""
        await self.faults.close(code, reason)

    def __aiter__(self) -> Line:
        return self

    async def __anext__(self) -> WSMessage:
        while await self.faults.before_reading():
            message = await self._websocket.__anext__()
            if not self.faults.deaf:  # as of a fault that struck meanwhile
                if self.watch is not None and message.type is WSMsgType.TEXT:
                    self.watch.said(message.data)
                return message
        raise StopAsyncIteration
