"""The server that does in each session as a test says, and a client in a hurry."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from aiohttp import web

import aai_stream
from aai_stream.errors import SessionError
from aai_stream.messages import Event, Turn
from aai_stream.protocol.events import Retry
from aai_stream.protocol.retry import Retries
from tests.audio import count_up
from tests.servers import BEGIN, http_server, within

connect = partial(aai_stream.connect, api_key="k", catch_up_rate=math.inf)
connect_formatting = partial(
    connect, speech_model="universal-streaming-english", format_turns=True
)
"""To a server that tells each turn that has ended again, formatted."""

SECOND = count_up(0, 16_000)
PER_MS = 32  # bytes


def turn(order: int, *words: tuple[str, int, int], **fields: Any) -> dict[str, Any]:
    """A Turn as the server says it; `words` are (text, start, end)."""
    return {
        "type": "Turn",
        "turn_order": order,
        "transcript": " ".join(text for text, _, _ in words),
        "words": [{"text": text, "start": a, "end": b} for text, a, b in words],
        **fields,
    }


def final(order: int, *words: tuple[str, int, int]) -> dict[str, Any]:
    return turn(order, *words, end_of_turn=True, turn_is_formatted=True)


@dataclass
class Talk:
    """One session as the server sees it. What it does is an `Act`."""

    request: web.Request
    socket: web.WebSocketResponse
    heard: list[Any] = field(default_factory=list)
    """Audio as bytes, everything else as objects, in the order in which it came."""
    arrived: list[float] = field(default_factory=list)
    """When each audio message came, by the loop's clock."""
    closed: bool = False
    """Whether its act is over."""

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query)

    @property
    def chunks(self) -> list[bytes]:
        """The audio messages."""
        return [data for data in self.heard if isinstance(data, bytes)]

    @property
    def audio(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def seconds(self) -> float:
        """How much audio came, by what the query says of it."""
        mu_law = self.query.get("encoding") == "pcm_mulaw"
        return len(self.audio) / (1 if mu_law else 2) / int(self.query["sample_rate"])

    @property
    def commands(self) -> list[Any]:
        return [data for data in self.heard if not isinstance(data, bytes)]

    @property
    def asked(self) -> list[str]:
        """The types of the commands."""
        return [command["type"] for command in self.commands]

    async def say(self, *messages: dict[str, Any]) -> None:
        """Send them, unless the client has hung up."""
        with contextlib.suppress(ConnectionError):
            for message in messages:
                await self.socket.send_json(message)

    async def begin(self, **fields: Any) -> None:
        await self.say({**BEGIN, **fields})

    async def hear(self, ms: int) -> None:
        """Listen until there are `ms` of audio."""
        while len(self.audio) < ms * PER_MS and await self.next():
            pass

    async def finish(self) -> None:
        """Listen until Terminate, and do that."""
        while await self.next():
            if self.terminates:
                await self.terminate()

    @property
    def terminates(self) -> bool:
        """Whether the last message is Terminate."""
        last = self.heard[-1]
        return not isinstance(last, bytes) and bool(last["type"] == "Terminate")

    async def terminate(self, **fields: Any) -> None:
        await self.say({"type": "Termination", **fields})
        await self.socket.close()

    async def close(self, code: int, reason: str = "") -> None:
        await self.socket.close(code=code, message=reason.encode())

    def cut(self) -> None:
        """End the connection without a close frame, behind what was said."""
        assert self.request.transport is not None
        self.request.transport.close()

    async def next(self) -> bool:
        """One more message; False when there is none."""
        message = await self.socket.receive()
        if message.type is web.WSMsgType.TEXT:
            self.heard.append(message.json())
        elif message.type is web.WSMsgType.BINARY:
            self.heard.append(bytes(message.data))
            self.arrived.append(asyncio.get_running_loop().time())
        else:
            return False
        return True


Act = Callable[[Talk], Awaitable[None]]
Refusal = tuple[int, dict[str, str]]
"""An HTTP status and headers."""


class Server:
    """Plays one act a session, the last one again and again.

    An act takes the session's messages when it wants them, and the connection ends
    when it returns.
    """

    def __init__(self, *acts: Act | Refusal) -> None:
        self.talks: list[Talk] = []
        """The sessions, in order; refused ones have none."""
        self.calls: list[float] = []
        """When each handshake came, refused ones too, by the loop's clock."""
        self._acts = acts

    @property
    def requests(self) -> int:
        """How many handshakes there were."""
        return len(self.calls)

    @property
    def open(self) -> int:
        """How many sessions go on."""
        return sum(not talk.closed for talk in self.talks)

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        async with http_server(self._accept) as url:
            yield url

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        act = self._acts[min(self.requests, len(self._acts) - 1)]
        self.calls.append(asyncio.get_running_loop().time())
        if isinstance(act, tuple):
            return web.Response(status=act[0], headers=act[1])
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        talk = Talk(request, socket)
        self.talks.append(talk)
        try:
            await act(talk)
        finally:
            talk.closed = True
        return socket


async def well(talk: Talk) -> None:
    await talk.begin()
    await talk.finish()


def lost_after(ms: int, *said: dict[str, Any]) -> Act:
    """Hear so much, say so much, break."""

    async def act(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(ms)
        await talk.say(*said)
        talk.cut()

    return act


def closed_with(code: int, after_ms: int = 0) -> Act:
    """Begin, hear so much, close."""

    async def act(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(after_ms)
        await talk.socket.close(code=code)

    return act


def begins_when(go: asyncio.Event) -> Act:
    async def act(talk: Talk) -> None:
        await go.wait()
        await well(talk)

    return act


class Waits:
    """The waits between attempts: noted and left out; `then` is done instead."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.then: Callable[[], object] = lambda: None
        self.really = 0.0


def impatient(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Make streams try again at once; their waits are those returned."""
    made = Waits()

    class Impatient(Retries):
        def plan(self, failure: Exception, now: float) -> Retry | Exception:
            plan = super().plan(failure, now)
            if isinstance(plan, Retry):
                made.seconds.append(plan.seconds)
                made.then()
                return replace(plan, seconds=made.really)
            return plan

    monkeypatch.setattr("aai_stream.client.Retries", Impatient)
    monkeypatch.setattr("aai_stream.client.uniform", lambda low, high: low)
    return made


async def collect(stream: aai_stream.Stream) -> list[Event]:
    return await within(5, all_events(stream))  # type: ignore[no-any-return]


async def all_events(stream: aai_stream.Stream) -> list[Event]:
    return [event async for event in stream]


async def collect_until(
    stream: aai_stream.Stream, kind: type[SessionError]
) -> tuple[list[Event], SessionError]:
    """What is told until the stream fails, and how it does."""
    events: list[Event] = []
    try:
        while True:
            events.append(await within(5, anext(stream)))
    except kind as exc:
        return events, exc


def assert_heard(talk: Talk, audio: bytes) -> None:
    """All of it, and no more than the padding of its tail."""
    assert talk.audio[: len(audio)] == audio
    padding = talk.audio[len(audio) :]
    assert not any(padding)
    assert len(padding) < 50 * PER_MS


def turns_of(events: list[Event]) -> list[Turn]:
    return [event for event in events if isinstance(event, Turn)]


def others() -> set[asyncio.Task[Any]]:
    """All tasks that a test may leave behind."""
    return asyncio.all_tasks() - {t for t in [asyncio.current_task()] if t}
