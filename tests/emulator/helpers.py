"""A clock and an engine driven by hand, and a client that speaks raw JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from aai_stream.emulator.engines.engine import Finished, Heard, Recognizer, TurnSettings
from aai_stream.emulator.server import Emulator, Service
from tests.clocks import Clock

Message = dict[str, Any]

PLAIN = Service(
    place_seconds=0,
    lost_place_seconds=0,
    error_seconds=0,
    refusal_seconds=0,
    steady_partials=True,
)
"""For tests of other things: nothing is guessed, and nothing takes time."""


class ManualClock(Clock):
    """The server's clock, which stands still until `advance`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def unix(self) -> float:
        return 1_700_000_000 + self.now

    def monotonic(self) -> float:
        return self.now

    @property
    def pending(self) -> int:
        """How many timers are still to fire."""
        return len(self.waiting)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and what is due in them happen."""
        self.run(seconds)


class PuppetEngine:
    """Records what it is asked; its puppets tell what the test makes them tell."""

    def __init__(self, *, capacity: int = 10) -> None:
        self.capacity = capacity
        self.puppets: list[Puppet] = []
        self.started = self.stopped = False
        self.fails: Exception | None = None

    async def start(self) -> None:
        self.started = True

    def open(
        self, sample_rate: int, settings: TurnSettings, tell: Callable[[Heard], None]
    ) -> Recognizer:
        if self.fails is not None:
            raise self.fails
        self.puppets.append(Puppet(sample_rate, settings, tell))
        return self.puppets[-1]

    async def aclose(self) -> None:
        self.stopped = True


class Puppet:
    """A recogniser; `may_hear` is its backpressure, `fails` its bad day.

    Unless it `finishes` by itself, the test has to tell `Finished`.
    """

    def __init__(
        self, sample_rate: int, settings: TurnSettings, tell: Callable[[Heard], None]
    ) -> None:
        self.sample_rate = sample_rate
        self.settings = settings
        self.tell = tell
        self.pcm = b""
        self.hearing = asyncio.Event()
        self.may_hear = asyncio.Event()
        self.may_hear.set()
        self.finishing = asyncio.Event()
        self.finishes = True
        self.fails: Exception | None = None
        self.forced = 0
        self.closed = asyncio.Event()

    async def hear(self, pcm: bytes) -> None:
        self.hearing.set()
        await self.may_hear.wait()
        if self.fails is not None:
            raise self.fails
        self.pcm += pcm

    def configure(self, settings: TurnSettings) -> None:
        self.settings = settings

    def force_endpoint(self) -> None:
        self.forced += 1

    def finish(self) -> None:
        self.finishing.set()
        if self.finishes:
            self.tell(Finished())

    def close(self) -> None:
        assert not self.closed.is_set(), "closed twice"
        self.closed.set()


class Client:
    """A raw v3 client: JSON and bytes, nothing checked."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self.ws = ws
        self.begin: Message = {}
        self.close_code: int | None = None
        self.close_reason: str | None = None

    async def send(self, kind: str, **fields: Any) -> None:
        await self.ws.send_json({"type": kind, **fields})

    async def audio(self, ms: int, *, chunk_ms: int = 100) -> None:
        """Send `ms` of silence, PCM16 at 16 kHz."""
        for start in range(0, ms, chunk_ms):
            await self.ws.send_bytes(bytes(32 * min(chunk_ms, ms - start)))

    def vanish(self) -> None:
        """Cut the connection without a word."""
        connection = self.ws._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()

    async def next(self) -> aiohttp.WSMessage:
        """Whatever comes next, other than pongs."""
        while (message := await self.ws.receive()).type is aiohttp.WSMsgType.PONG:
            pass
        return message

    async def receive(self) -> Message:
        """The next message; fails if the server closes instead."""
        message = await self.next()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        got = message.json()
        assert isinstance(got, dict)
        return got

    async def until(self, kind: str) -> Message:
        """The next message of `kind`, passing over others."""
        while (message := await self.receive())["type"] != kind:
            pass
        return message

    async def settle(self) -> None:
        """Wait until the server has dealt with everything sent; reads what it says."""
        await self.ws.ping(b"settle")
        while (await self.ws.receive()).data != b"settle":
            pass

    async def rest(self) -> list[Message]:
        """Everything up to the close, whose code and reason are kept."""
        messages: list[Message] = []
        while True:
            message = await self.next()
            if message.type is aiohttp.WSMsgType.CLOSE:
                # Not `ws.close_code`, which is wrong for codes aiohttp doesn't know.
                self.close_code, self.close_reason = message.data, message.extra
                return messages
            assert message.type is aiohttp.WSMsgType.TEXT, message
            messages.append(message.json())

    async def error(self) -> Message:
        """The Error that ends the session, with nothing before it."""
        (error,) = await self.rest()
        assert error["type"] == "Error"
        assert self.close_code == error["error_code"]
        assert self.close_reason == "See Error message for details"
        return error

    async def transcribe(self, ms: int) -> list[Message]:
        """Send `ms` of silence and Terminate; everything the server says to it."""
        await self.audio(ms)
        await self.send("Terminate")
        return await self.rest()


@asynccontextmanager
async def raw_connection(
    emulator: Emulator,
    query: Mapping[str, object] | None = None,
    *,
    headers: dict[str, str] | None = None,
    **more: object,
) -> AsyncIterator[Client]:
    """A connection whose first message has not been read."""
    params = {name: str(value) for name, value in {**(query or {}), **more}.items()}
    given = {"Authorization": "key"} if headers is None else headers
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(
            f"{emulator.url}/v3/ws",
            params=params,
            headers=given,
            max_msg_size=0,
            autoping=False,
        ) as ws,
    ):
        yield Client(ws)


@asynccontextmanager
async def connection(
    emulator: Emulator,
    query: Mapping[str, object] | None = None,
    *,
    headers: dict[str, str] | None = None,
    **more: object,
) -> AsyncIterator[Client]:
    """A session that has begun."""
    async with raw_connection(emulator, query, headers=headers, **more) as client:
        client.begin = await client.receive()
        assert client.begin["type"] == "Begin"
        yield client


def turns(messages: list[Message]) -> list[Message]:
    """The Turn messages among `messages`."""
    return [m for m in messages if m["type"] == "Turn"]


def finals(messages: list[Message]) -> list[str]:
    """The transcripts of the ends of turns among `messages`."""
    return [m["transcript"] for m in turns(messages) if m["end_of_turn"]]


async def mint(
    emulator: Emulator, query: dict[str, int] | None = None, key: str = "key"
) -> tuple[int, str]:
    """The status of a token request, and the token or error it gave."""
    query = {"expires_in_seconds": 60} if query is None else query
    url = emulator.url.replace("ws:", "http:") + "/v3/token"
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, params=query, headers={"Authorization": key}) as response,
    ):
        body = await response.json()
        if response.status == 200:
            assert body["expires_in_seconds"] == query["expires_in_seconds"]
        return response.status, body.get("token", body.get("error"))
