"""A page's microphone on a stream of ours, over any number of connections.

The page keeps what it has recorded until it is told that it was taken. So it may lose
its connection, come back to the same call, and go on where the server left off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from fastapi import WebSocket, WebSocketDisconnect

import aai_stream
from aai_stream.errors import BusyError, InputError, RefusedError, StateError
from aai_stream.messages import AudioLost, Turn

logger = logging.getLogger(__name__)

GRACE_SECONDS = 20.0
"""How long a page may be away before its call ends."""

GOODBYES = (1000, 1001)
"""The close codes of a page that was left, rather than cut off."""

TOO_MANY = "Too many people are talking just now. Try again in a minute."


class Call:
    """One stream, what it heard, and the page that it is for.

    `forget` is called when the call is over and nobody will ask for it any more.
    """

    def __init__(
        self, stream: aai_stream.Stream, forget: Callable[[], object] = lambda: None
    ) -> None:
        self._stream = stream
        self._forget = forget
        self._samples = 0
        """How many the page need not send again."""
        self._turns: dict[int, Turn] = {}
        self._untold: set[int] = set()
        """Turns that have changed since the page was told of them. A slow page is told
        less often: nothing piles up for it."""
        self._lost_ms = 0
        self._problem: str | None = None
        self._over = False
        self._news = asyncio.Event()
        self._opened = asyncio.Event()
        self._page: asyncio.Future[int] | None = None
        self._hangup: asyncio.TimerHandle | None = None
        self._listening = asyncio.create_task(self._listen())

    async def serve(self, socket: WebSocket, rate: int) -> None:
        """Talk with the page, whose audio has `rate` samples a second, until one of
        them has had enough; an older connection of the page gives way."""
        if self._hangup is not None:
            self._hangup.cancel()
        if self._page is not None:
            self._page.cancel()
        page = self._page = asyncio.ensure_future(self._converse(socket, rate))
        await asyncio.wait([page])
        if self._page is not page:
            return  # another connection has taken over
        self._page = None
        if page.result() in GOODBYES:
            self.hang_up()
        else:
            loop = asyncio.get_running_loop()
            self._hangup = loop.call_later(GRACE_SECONDS, self.hang_up)

    def hang_up(self) -> asyncio.Task[None]:
        """End the call without waiting for its last words; the task is done when
        AssemblyAI has been told."""
        self._forget()
        self._listening.cancel()
        return self._listening

    async def _listen(self) -> None:
        """Hold the stream open and keep what it tells."""
        try:
            async with self._stream as stream:
                self._opened.set()
                async for event in stream:
                    if isinstance(event, Turn):
                        self._turns[event.turn_order] = event
                        self._untold.add(event.turn_order)
                    elif isinstance(event, AudioLost):
                        self._lost_ms += event.end_ms - event.start_ms
                    self._news.set()
        except aai_stream.AaiStreamError as exc:
            self._fail(exc)
        finally:
            self._over = True
            self._opened.set()
            self._news.set()

    def _fail(self, failure: aai_stream.AaiStreamError) -> None:
        logger.warning("a call failed: %s", failure)
        self._problem = in_plain_words(failure)

    async def _converse(self, socket: WebSocket, rate: int) -> int:
        """One connection of the page; gives the code with which it was closed."""
        telling = asyncio.ensure_future(self._tell(socket))
        try:
            await self._hear(socket, rate)
            await telling
            await socket.close()
            return 1000
        except WebSocketDisconnect as exc:
            return exc.code
        finally:
            telling.cancel()

    async def _hear(self, socket: WebSocket, rate: int) -> None:
        """Take audio until the page says that this was all, or the stream fails."""
        await self._opened.wait()
        with contextlib.suppress(StateError, aai_stream.errors.SessionError):
            while (message := await socket.receive())["type"] == "websocket.receive":
                if (pcm := message.get("bytes")) is None:
                    await self._stream.end()
                    return
                try:
                    self._stream.push(pcm, sample_rate=rate)
                except InputError as exc:
                    self._fail(exc)
                    await self._stream.aclose()
                    return
                self._samples += len(pcm) // 2
                # While AssemblyAI can't take more, we read no more: it stays with the
                # page, which is told of what was taken only then.
                await self._stream.drain()
                self._news.set()
            raise WebSocketDisconnect(message["code"])

    async def _tell(self, socket: WebSocket) -> None:
        """Tell the page all that was heard, then what is new, until all is over."""
        self._untold = set(self._turns)
        self._news.set()
        while True:
            await self._news.wait()
            self._news.clear()
            turns = [self._turns[order] for order in sorted(self._untold)]
            self._untold.clear()
            over = self._over
            message = {
                "samples": self._samples,
                "turns": [
                    {"order": t.turn_order, "text": t.transcript, "final": t.is_final}
                    for t in turns
                ],
                "lost_ms": self._lost_ms,
                "problem": self._problem,
                "over": over,
            }
            try:
                await socket.send_json(message)
            except WebSocketDisconnect:
                return  # as whoever hears it is told, too
            if over:
                return


def in_plain_words(failure: aai_stream.AaiStreamError) -> str:
    """What to say to somebody who came to talk, and can mend nothing here."""
    if isinstance(failure, InputError):
        return "The page sent something that is no audio. Reload it."
    if isinstance(failure, RefusedError):
        return "Speech recognition is not set up right. Tell whoever runs this page."
    if isinstance(failure, BusyError):
        return TOO_MANY
    return "Speech recognition has failed. Try again in a moment."
