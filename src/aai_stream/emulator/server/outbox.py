"""What is to be told in one session, in the order in which it happened."""

from __future__ import annotations

import asyncio
from typing import Literal, NamedTuple

from ..replies import Message
from .line import Line

UNREAD_LIMIT = 1000
"""When more messages wait for a client that doesn't read, it isn't heard either."""


class Close(NamedTuple):
    """How the websocket is closed."""

    code: int
    reason: str = ""


class Text(NamedTuple):
    """What is told as it is, being no message."""

    text: str


class Break(NamedTuple):
    """The connection breaks, as by a fault of this kind."""

    kind: Literal["reset", "freeze", "mute"]


Item = Message | Text | Break | Close


class Outbox:
    """A queue before `line`, written by the task that runs `run`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._items = asyncio.Queue[Item]()

    def put(self, item: Item) -> None:
        """Add what is told, or the close that ends it all."""
        self._items.put_nowait(item)

    async def run(self) -> None:
        """Send what is put in, up to the close."""
        try:
            while not isinstance(item := await self._items.get(), Close):
                if isinstance(item, Text):
                    await self._line.tell_text(item.text)
                elif isinstance(item, Break):
                    await self._line.break_by(item.kind)
                else:
                    await self._line.tell(item)
                self._items.task_done()
            await self._line.close(item.code, item.reason)
        except ConnectionError:
            pass  # the client has gone, which the reader sees as well

    async def wait_for_room(self) -> None:
        """If more than `UNREAD_LIMIT` messages wait, wait until none do."""
        if self._items.qsize() > UNREAD_LIMIT:
            await self._items.join()
