"""A websocket on which anything can be said, right or wrong, and what is answered."""

from __future__ import annotations

import asyncio
import math
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from ..connection.addresses import endpoint
from ..connection.credentials import API_VERSION
from .findings import redacted
from .pacing import Pace

Message = dict[str, Any]

PATIENCE_SECONDS = 20.0
"""Nothing that is waited for may take longer."""
FAILURES = (OSError, aiohttp.ClientError, asyncio.TimeoutError)
"""What may become of a connection."""
RATE = 16_000
_BYTES_PER_MS = 32


@dataclass
class Exchange:
    """A connection, and all that came over it."""

    socket: aiohttp.ClientWebSocketResponse[Any] | None
    status: int
    """HTTP's, of the upgrade: 101, or the refusal."""
    pace: float
    """How many times faster than real time audio is sent."""
    opened_at: float
    messages: list[Message] = field(default_factory=list)
    came_at: list[float] = field(default_factory=list)
    """For each of them, how many seconds after the upgrade it came."""
    close_code: int | None = None
    close_reason: str = ""
    closed_at: float = math.inf

    async def say(self, kind: str, **fields: Any) -> None:
        """Send a message of ours."""
        await self.say_raw(msgspec.json.encode({"type": kind, **fields}).decode())

    async def say_raw(self, text: str) -> None:
        """Send this text."""
        if self.socket is not None and not self.socket.closed:
            with suppress(ConnectionError):  # what is read will tell
                await self.socket.send_str(text)

    async def send(self, pcm: bytes, *, chunk_ms: int = 100) -> None:
        """Send audio, 16 kHz PCM16, in messages of `chunk_ms`."""
        size = chunk_ms * _BYTES_PER_MS
        for at in range(0, len(pcm), size):
            if self.socket is None or self.socket.closed:
                return
            with suppress(ConnectionError):
                await self.socket.send_bytes(pcm[at : at + size])
            await asyncio.sleep(chunk_ms / 1000 / self.pace)

    async def until(self, kind: str, *, seconds: float = PATIENCE_SECONDS) -> bool:
        """Read on until a message of this kind has come; False if none does."""
        return await self._read(seconds, kind)

    async def rest(self, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Read on until the server closes."""
        await self._read(seconds, None)

    async def _read(self, seconds: float, kind: str | None) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.socket is not None and self.close_code is None:
            try:
                left = max(0.0, until - loop.time())
                received = await self.socket.receive(timeout=left)
            except asyncio.TimeoutError:
                return False
            now = loop.time() - self.opened_at
            if received.type is aiohttp.WSMsgType.TEXT:
                message = _readable(received.data)
                self.messages.append(message)
                self.came_at.append(now)
                if message.get("type") == kind:
                    return True
            elif received.type is aiohttp.WSMsgType.CLOSE:
                self.close_code, self.close_reason = received.data, received.extra or ""
                self.closed_at = now
                await self.socket.close()
            elif received.type is not aiohttp.WSMsgType.BINARY:
                self.close_code, self.closed_at = 1006, now
        return False

    def of(self, kind: str) -> list[Message]:
        """The messages of this kind that have come."""
        return [message for message in self.messages if message.get("type") == kind]

    @property
    def begin(self) -> Message | None:
        """The Begin, if it has come."""
        return next(iter(self.of("Begin")), None)

    @property
    def configuration(self) -> Message:
        """What Begin says of the session."""
        return (self.begin or {}).get("configuration") or {}

    @property
    def turns(self) -> list[Message]:
        """The Turns that have come."""
        return self.of("Turn")

    @property
    def finals(self) -> list[Message]:
        """Those that end a turn in which something was said."""
        return [t for t in self.turns if t.get("end_of_turn") and t.get("transcript")]


class Server:
    """The server that is asked, and the key to it."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        base_url: str,
        key: str,
        *,
        pace: float = 1.0,
        sessions_per_minute: float = math.inf,
        allow_unencrypted: bool = False,
    ) -> None:
        self.key = key
        self._connections = Pace(sessions_per_minute)
        self.pace = pace
        self._http = http
        self._url = endpoint(base_url, "/v3/ws", allow_unencrypted=allow_unencrypted)
        token = endpoint(base_url, "/v3/token", allow_unencrypted=allow_unencrypted)
        self._token_url = token.replace("ws", "http", 1)
        self._tokens: list[str] = []
        self._held: dict[Hashable, asyncio.Task[Exchange]] = {}
        self.connections = 0
        """How many were made; those that are refused may count as sessions, too."""
        self.sessions = 0
        """How many were opened."""
        self.seconds = 0.0
        """How long they were open, in all."""

    @asynccontextmanager
    async def connect(
        self,
        query: Mapping[str, str] | None = None,
        *,
        authorization: str | None = "",
        api_version: str = API_VERSION,
    ) -> AsyncIterator[Exchange]:
        """A connection, ended with Terminate when left. `authorization` is the header,
        None for none; it is the key if empty."""
        headers = {"AssemblyAI-Version": api_version}
        if authorization is not None:
            headers["Authorization"] = authorization or self.key
        loop = asyncio.get_running_loop()
        self.connections += 1
        await asyncio.sleep(self._connections.wait(loop.time()))
        params = {"sample_rate": str(RATE), **(query or {})}
        timeout = aiohttp.ClientWSTimeout(ws_close=5)
        connecting = self._http.ws_connect(
            self._url, params=params, headers=headers, timeout=timeout
        )
        try:
            websocket = await asyncio.wait_for(connecting, PATIENCE_SECONDS)
        except aiohttp.WSServerHandshakeError as exc:
            yield Exchange(None, exc.status, self.pace, loop.time())
            return
        exchange = Exchange(websocket, 101, self.pace, loop.time())
        try:
            yield exchange
        finally:
            if exchange.close_code is None and not websocket.closed:
                await exchange.say("Terminate")
                await exchange.rest(seconds=5)
                await websocket.close()
            if exchange.begin is not None:
                self.sessions += 1
                self.seconds += loop.time() - exchange.opened_at

    @asynccontextmanager
    async def session(self, **query: str) -> AsyncIterator[Exchange]:
        """A connection whose Begin has been waited for."""
        async with self.connect(query) as exchange:
            await exchange.until("Begin")
            yield exchange

    async def crowd(self, most: int) -> tuple[int, Exchange | None]:
        """Open sessions at once until one is refused, or `most` are open, and end them.
        Gives how many began, and the one that did not."""
        async with AsyncExitStack() as stack:
            for number in range(most):
                exchange = await stack.enter_async_context(self.session())
                if exchange.begin is None:
                    await exchange.rest()
                    return number, exchange
        return most, None

    async def once(
        self, name: Hashable, hold: Callable[[], Coroutine[Any, Any, Exchange]]
    ) -> Exchange:
        """What a conversation of this name came to; it is held by who asks first, and
        goes on if they ask no more. `aclose` ends it."""
        if name not in self._held:
            self._held[name] = asyncio.create_task(hold())
        return await asyncio.shield(self._held[name])

    async def aclose(self) -> None:
        """End the conversations that go on, with Terminate; they would be billed."""
        for task in self._held.values():
            task.cancel()
        await asyncio.gather(*self._held.values(), return_exceptions=True)

    async def date(self) -> str | None:
        """The `Date` of the server's answer to a request for a token, without a key."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        async with self._http.get(self._token_url, timeout=timeout) as response:
            return response.headers.get("Date")

    async def mint(
        self, query: Mapping[str, str], key: str | None = None
    ) -> tuple[int, Message]:
        """The status and the answer of a request for a token."""
        headers = {"Authorization": key or self.key}
        async with self._http.get(
            self._token_url,
            params=dict(query),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
        ) as response:
            try:
                answer = await response.json(content_type=None)
            except ValueError:
                answer = None
            answer = answer if isinstance(answer, dict) else {}
            if isinstance(answer.get("token"), str):
                self._tokens.append(answer["token"])
            return response.status, answer

    def redacted(self, text: str) -> str:
        """`text` without the key, or any token that was minted."""
        return redacted(text, self.key, *self._tokens)


UNREADABLE: Message = {"type": "(no JSON object)"}
"""Stands for a message that can't be read."""


def _readable(text: str) -> Message:
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return UNREADABLE
    return message if isinstance(message, dict) else UNREADABLE


def describe(exc: BaseException) -> str:
    """One of `FAILURES` in a few words."""
    if isinstance(exc, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(exc, socket.gaierror):
        return str(exc.strerror)
    if isinstance(exc, OSError) and exc.errno is not None and exc.errno > 0:
        return os.strerror(exc.errno)
    return type(exc).__name__
