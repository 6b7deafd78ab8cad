"""What surrounds the plugin in an agent, in this process: user, LLM and server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import aiohttp
from aiohttp import web
from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    io,
    stt,
)
from livekit.agents.utils import AudioBuffer

from aai_stream.emulator.engines.script import Said, ScriptEngine
from aai_stream.emulator.server import Emulator
from tests.servers import http_server

HANGS = 0
"""Instead of an HTTP status: no answer at all."""


def silence(
    seconds: float,
    sample_rate: int = 24_000,
    num_channels: int = 1,
    frame_ms: int = 50,
) -> list[rtc.AudioFrame]:
    """That much of it. Scripts do the talking: engines only count the audio."""
    samples = sample_rate * frame_ms // 1000
    frame = rtc.AudioFrame.create(sample_rate, num_channels, samples)
    return [frame] * round(seconds / frame.duration)


class Microphone(io.AudioInput):
    """A user of whom nothing is heard for as long as a test says."""

    def __init__(self, *format: int) -> None:
        """`format`: as `silence` takes it, after the seconds."""
        super().__init__(label="microphone")
        self._format = format
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    def hear(self, seconds: float) -> None:
        """Let that much pass at once."""
        for frame in silence(seconds, *self._format):
            self._frames.put_nowait(frame)

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()


class Screen(io.TextOutput):
    """Shows what the agent says: a queue of whole replies."""

    def __init__(self) -> None:
        super().__init__(label="screen", next_in_chain=None)
        self.replies: asyncio.Queue[str] = asyncio.Queue()
        self._text = ""

    async def capture_text(self, text: str) -> None:
        self._text += text

    def flush(self) -> None:
        if self._text:
            self.replies.put_nowait(self._text)
        self._text = ""


class OtherSTT(stt.STT[Any]):
    """Another maker's STT: hears `text` in every second of audio."""

    def __init__(self, text: str = "other") -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(streaming=True, interim_results=False)
        )
        self.text = text

    def final(self) -> stt.SpeechEvent:
        """The transcript that it always has."""
        heard = stt.SpeechData(language=LanguageCode("en"), text=self.text)
        return stt.SpeechEvent(
            type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[heard]
        )

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        return self.final()

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _OtherStream(stt=self, conn_options=conn_options)


class _OtherStream(stt.RecognizeStream):
    async def _run(self) -> None:
        assert isinstance(self._stt, OtherSTT)
        seconds = 0.0
        async for frame in self._input_ch:
            if isinstance(frame, rtc.AudioFrame):
                seconds += frame.duration
            if seconds >= 1:
                seconds -= 1
                self._event_ch.send_nowait(self._stt.final())


class Line:
    """The embedded server with a script, at the end of a line that may be broken.

    An async context manager. It keeps what clients said. Each connection is refused
    as `broken` says next: an HTTP status, or `HANGS`; when that is used up, or None,
    it is put through.
    """

    def __init__(self, *turns: list[Said]) -> None:
        self.broken: Iterator[int] = iter(())
        self.url = ""
        self.calls = 0
        """Connections, refused ones included."""
        self.queries: list[dict[str, str]] = []
        """Of those put through."""
        self.said: list[dict[str, Any]] = []
        """Messages of all clients, but for the audio."""
        self.audio_bytes = 0
        self.emulator = Emulator(ScriptEngine(turns))
        self._over = asyncio.Event()
        self._open: set[asyncio.Transport] = set()
        self._http: aiohttp.ClientSession
        self._stack = AsyncExitStack()

    def break_with(self, statuses: Iterable[int]) -> None:
        """Refuse the next connections like that."""
        self.broken = iter(statuses)

    def cut(self) -> None:
        """Break every connection, with no close and no goodbye."""
        for transport in self._open:
            transport.abort()

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The messages of a type."""
        return [message for message in self.said if message["type"] == kind]

    async def __aenter__(self) -> Line:
        await self._stack.enter_async_context(self.emulator)
        self._http = await self._stack.enter_async_context(aiohttp.ClientSession())
        self.url = await self._stack.enter_async_context(http_server(self._accept))
        self._stack.callback(self._over.set)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        status = next(self.broken, None)
        if status == HANGS:
            await self._over.wait()
        if status is not None:
            return web.Response(status=status or 503)
        self.queries.append(dict(request.query))
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._open.add(transport)
        try:
            return await self._put_through(request)
        finally:
            self._open.discard(transport)

    async def _put_through(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        headers = {"Authorization": request.headers["Authorization"]}
        async with self._http.ws_connect(
            self.emulator.url + request.path_qs, headers=headers
        ) as server:
            up = asyncio.create_task(self._forward_up(socket, server))
            async for message in server:
                with suppress(ConnectionError):  # the client has hung up
                    await socket.send_str(message.data)
            await socket.close(code=server.close_code or 1006)
            await up
        return socket

    async def _forward_up(
        self, socket: web.WebSocketResponse, server: aiohttp.ClientWebSocketResponse
    ) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.said.append(message.json())
                await server.send_str(message.data)
            else:
                self.audio_bytes += len(message.data)
                await server.send_bytes(message.data)
        await server.close()


async def finals(stream: AsyncIterator[stt.SpeechEvent]) -> AsyncIterator[str]:
    """The texts of the final transcripts."""
    async for event in stream:
        if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
            yield event.alternatives[0].text
