"""A server that does as a test says, and streams of the plugin's to it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents.stt import SpeechEvent, SpeechEventType, STTError

from aai_stream.livekit import STT, SpeechStream
from tests import talks
from tests.servers import BEGIN, raw_server, until, within
from tests.talks import Talk

KEY = "key-that-nobody-may-see"
RATE = 16_000
NO_RETRY = APIConnectOptions(max_retry=0)
AT_ONCE = APIConnectOptions(max_retry=2, retry_interval=0)
"""Try again, and don't wait before that."""
FINAL = SpeechEventType.FINAL_TRANSCRIPT


Behaviour = Callable[[Talk], Awaitable[None]]
"""What a server does in a session while it reads."""


async def begin(talk: Talk) -> None:
    """What a server does first, and most that it does here."""
    await talk.begin()


def begin_then(*messages: Any) -> Behaviour:
    """Begin and say `messages`."""

    async def behave(talk: Talk) -> None:
        await talk.say(BEGIN, *messages)

    return behave


class Server(talks.Server):
    """Reads everything, and meanwhile does as `behave` says; an async context manager.

    The first connections are refused with the HTTP statuses in `refuse`. `script` is
    what it says in each session when it has got so many seconds of audio. It answers
    Terminate; `counted` is what Termination then says of the audio, in seconds, if it
    isn't the truth.
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
        super().__init__(*((status, {}) for status in refuse), self._act)
        self.url = ""
        self._behave = behave
        self._script = script
        self._counted = counted
        self._answers_terminate = answers_terminate
        self._running = self.serve()

    async def __aenter__(self) -> Server:
        self.url = await self._running.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._running.__aexit__(*exc_info)

    async def client(self, number: int = 0) -> Talk:
        """The session of that number, once it is there."""
        await until(lambda: len(self.talks) > number)
        return self.talks[number]

    async def _act(self, talk: Talk) -> None:
        behaving = asyncio.ensure_future(self._behave(talk))
        try:
            await self._read(talk)
        finally:
            talk.closed = True
            behaving.cancel()
            with suppress(asyncio.CancelledError):
                await behaving

    async def _read(self, talk: Talk) -> None:
        left = deque(self._script)
        while await talk.next():
            while left and talk.seconds >= left[0][0]:
                await talk.say(left.popleft()[1])
            if talk.terminates and self._answers_terminate:
                seconds = talk.seconds if self._counted is None else self._counted
                await talk.terminate(
                    audio_duration_seconds=seconds, session_duration_seconds=seconds
                )


@asynccontextmanager
async def deaf_server() -> AsyncIterator[str]:
    """A server that takes connections and never says a word; gives its base URL."""

    async def say_nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with raw_server(say_nothing) as url:
        yield url


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
