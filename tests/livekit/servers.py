"""A server that does as a test says, and streams of the plugin's to it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents.stt import SpeechEvent, SpeechEventType, STTError

from aai_stream.livekit import STT, SpeechStream
from tests.servers import BEGIN, http_server, until, within

KEY = "key-that-nobody-may-see"
RATE = 16_000
NO_RETRY = APIConnectOptions(max_retry=0)
FINAL = SpeechEventType.FINAL_TRANSCRIPT


@dataclass
class Client:
    """One connection, as the server sees it."""

    socket: web.WebSocketResponse
    request: web.Request
    seen: list[Any] = field(default_factory=list)
    """What it sent, in order: audio as bytes, messages parsed."""
    arrived: list[float] = field(default_factory=list)
    """When each of its chunks came, by the loop's clock."""
    closed: bool = False

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query)

    @property
    def chunks(self) -> list[bytes]:
        """The binary messages."""
        return [data for data in self.seen if isinstance(data, bytes)]

    @property
    def audio(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def seconds(self) -> float:
        """How much audio it sent."""
        mu_law = self.query.get("encoding") == "pcm_mulaw"
        return len(self.audio) / (1 if mu_law else 2) / int(self.query["sample_rate"])

    @property
    def asked(self) -> list[str]:
        """The types of its messages."""
        return [told["type"] for told in self.seen if isinstance(told, dict)]

    async def say(self, *messages: Any) -> None:
        """Send them, unless it has hung up."""
        with suppress(ConnectionError):
            for message in messages:
                await self.socket.send_json(message)

    async def close(self, code: int, reason: str = "") -> None:
        await self.socket.close(code=code, message=reason.encode())

    def cut(self) -> None:
        """End the connection without a close frame."""
        assert self.request.transport is not None
        self.request.transport.abort()


Behaviour = Callable[[Client], Awaitable[None]]


async def begin(client: Client) -> None:
    """What a server does first, and most that it does here."""
    await client.say(BEGIN)


def begin_then(*messages: Any) -> Behaviour:
    """Begin and say `messages`."""

    async def behave(client: Client) -> None:
        await client.say(BEGIN, *messages)

    return behave


class Server:
    """Takes any number of clients; an async context manager.

    The first connections are refused with the HTTP statuses in `refuse`; with each of
    the others it does as `behave` says, which is to begin. `script` is what it says to
    each when it has got so many seconds of audio. It answers Terminate; `counted` is
    what Termination then says of the audio, in seconds, if it isn't the truth.
    """

    def __init__(
        self,
        behave: Behaviour = begin,
        *,
        script: Sequence[tuple[float, dict[str, Any]]] = (),
        refuse: Iterable[int] = (),
        counted: float | None = None,
        answers_terminate: bool = True,
    ) -> None:
        self.url = ""
        self.calls: list[float] = []
        """When each handshake came, refused ones too, by the loop's clock."""
        self.clients: list[Client] = []
        self._behave = behave
        self._script = script
        self._refuse = iter(refuse)
        self._counted = counted
        self._answers_terminate = answers_terminate
        self._running = http_server(self._accept)

    async def __aenter__(self) -> Server:
        self.url = await self._running.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._running.__aexit__(*exc_info)

    async def client(self, number: int = 0) -> Client:
        """The client of that number, once it is there."""
        await until(lambda: len(self.clients) > number)
        return self.clients[number]

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(asyncio.get_running_loop().time())
        status = next(self._refuse, None)
        if status is not None:
            return web.Response(status=status)
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        client = Client(socket, request)
        self.clients.append(client)
        behaving = asyncio.ensure_future(self._behave(client))
        try:
            await self._read(client)
        finally:
            client.closed = True
            behaving.cancel()
            with suppress(asyncio.CancelledError):
                await behaving
        return socket

    async def _read(self, client: Client) -> None:
        left = deque(self._script)
        async for message in client.socket:
            if message.type is web.WSMsgType.BINARY:
                client.seen.append(bytes(message.data))
                client.arrived.append(asyncio.get_running_loop().time())
                while left and client.seconds >= left[0][0]:
                    await client.say(left.popleft()[1])
                continue
            client.seen.append(message.json())
            if client.asked[-1] == "Terminate" and self._answers_terminate:
                counted = client.seconds if self._counted is None else self._counted
                await client.say(
                    {
                        "type": "Termination",
                        "audio_duration_seconds": counted,
                        "session_duration_seconds": counted,
                    }
                )
                await client.socket.close()


@asynccontextmanager
async def deaf_server() -> AsyncIterator[str]:
    """A server that takes connections and never says a word; gives its base URL."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


def make_stt(url: str, **options: Any) -> STT:
    """The plugin, with a key, and no pace."""
    if "token" not in options:
        options.setdefault("api_key", KEY)
    return STT(**{"base_url": url, "catch_up_rate": math.inf, **options})


def errors_of(stt: STT) -> list[STTError]:
    """A list that will hold the `error` events."""
    errors: list[STTError] = []
    stt.on("error", errors.append)
    return errors


@asynccontextmanager
async def streaming(
    url: str, *, conn_options: APIConnectOptions = NO_RETRY, **options: Any
) -> AsyncIterator[SpeechStream]:
    """A stream of the plugin's, which doesn't try again unless told to."""
    async with closing(
        make_stt(url, **options).stream(conn_options=conn_options)
    ) as stream:
        yield stream


@asynccontextmanager
async def closing(stream: SpeechStream) -> AsyncIterator[SpeechStream]:
    """Close the stream at the end, soon."""
    try:
        yield stream
    finally:
        await within(5, stream.aclose())


def silence(seconds: float, rate: int = RATE, channels: int = 1) -> bytes:
    return bytes(2 * channels * round(seconds * rate))


def to_frames(
    pcm: bytes, rate: int = RATE, channels: int = 1, frame_ms: int = 10
) -> list[rtc.AudioFrame]:
    """Frames of so many ms, the last one as long as what is left."""
    size = 2 * channels * (rate * frame_ms // 1000)
    pieces = [pcm[start : start + size] for start in range(0, len(pcm), size)]
    return [
        rtc.AudioFrame(piece, rate, channels, len(piece) // (2 * channels))
        for piece in pieces
    ]


def push(stream: SpeechStream, pcm: bytes, rate: int = RATE, channels: int = 1) -> None:
    """Push audio in frames of 10 ms."""
    for frame in to_frames(pcm, rate, channels):
        stream.push_frame(frame)


async def collect(stream: SpeechStream) -> list[SpeechEvent]:
    """All events up to the end, which must come soon."""
    events: list[SpeechEvent] = await within(5, _collect(stream))
    return events


async def _collect(stream: SpeechStream) -> list[SpeechEvent]:
    return [event async for event in stream]


async def next_of(stream: SpeechStream, kind: SpeechEventType) -> SpeechEvent:
    """The next event of that kind; those before it are skipped."""

    async def skip() -> SpeechEvent:
        async for event in stream:
            if event.type == kind:
                return event
        raise AssertionError(f"the stream ended without {kind}")

    event: SpeechEvent = await within(5, skip())
    return event


def texts(events: Iterable[SpeechEvent], kind: SpeechEventType = FINAL) -> list[str]:
    return [e.alternatives[0].text for e in events if e.type == kind]
