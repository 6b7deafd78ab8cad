"""The clients that are compared, and those that do nothing, for the harness's cost."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from assemblyai.streaming.v3 import (
    AsyncStreamingClient,
    BeginEvent,
    SpeechModel,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
)
from livekit import rtc
from livekit.plugins import assemblyai

from aai_stream.livekit import STT
from aai_stream.load.clients import OurClient, Setting, noise
from aai_stream.stats import StreamStats

from .nothing import TURN_FRAMES, NullStream
from .turns import HARNESS, OURS, THEIRS, Make


class _Plugin:
    """A LiveKit stream: a new `AudioFrame` for every push, one task that reads."""

    def __init__(self, setting: Setting) -> None:
        self.session = ""
        self.events = 0
        self._setting = setting
        self._pcm = noise(setting.frame_samples)
        self._samples = setting.frame_samples
        self._rate = setting.sample_rate
        self._stream: Any = None

    async def open(self) -> None:
        self._stream = self.make_stream()
        self._listening = asyncio.ensure_future(self._listen())
        while not self._stream.session_id:
            if self._listening.done():
                raise RuntimeError(
                    "the stream has ended"
                ) from self._stream._task.exception()
            await asyncio.sleep(0.005)
        self.session = self._stream.session_id

    def make_stream(self) -> Any:
        raise NotImplementedError

    async def _listen(self) -> None:
        async for _ in self._stream:
            self.events += 1

    def push(self) -> None:
        frame = rtc.AudioFrame(self._pcm, self._rate, 1, self._samples)
        self._stream.push_frame(frame)

    def stats(self) -> StreamStats | None:
        return None


class OurPlugin(_Plugin):
    """`aai_stream.livekit`."""

    def make_stream(self) -> Any:
        url, model = self._setting.url, self._setting.model
        return STT(api_key="none", base_url=url, model=model).stream()


class OfficialPlugin(_Plugin):
    """livekit-plugins-assemblyai.

    With an aiohttp session that all streams share, as in a job, but without the limit
    of 50 sockets that LiveKit's own has.
    """

    http: aiohttp.ClientSession | None = None

    def make_stream(self) -> Any:
        if OfficialPlugin.http is None:
            connector = aiohttp.TCPConnector(limit=0)
            OfficialPlugin.http = aiohttp.ClientSession(connector=connector)
        model: Any = self._setting.model
        stt = assemblyai.STT(
            api_key="none",
            base_url=self._setting.url,
            model=model,
            http_session=OfficialPlugin.http,
        )
        return stt.stream()


class NullPlugin(_Plugin):
    """Takes frames, and has an event to read for every fifth; there is no server."""

    def make_stream(self) -> Any:
        return NullStream(TURN_FRAMES * 50 // self._setting.frame_ms)


class SdkClient:
    """The AssemblyAI SDK's asyncio client. It resamples nothing and cuts nothing."""

    def __init__(self, setting: Setting) -> None:
        assert setting.sample_rate == 16_000
        self.session = ""
        self.events = 0
        self._chunk = noise(setting.frame_samples)
        self._model = SpeechModel(setting.model)
        self._client = AsyncStreamingClient(
            StreamingClientOptions(
                api_key="none", api_host=setting.url, connect_timeout=10
            )
        )
        self._begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._client.on(StreamingEvents.Begin, self._on_begin)
        self._client.on(StreamingEvents.Turn, self._on_event)
        self._client.on(StreamingEvents.SpeechStarted, self._on_event)
        self._client.on(StreamingEvents.Error, self._on_error)

    async def open(self) -> None:
        asked: dict[str, Any] = {"speech_model": self._model}
        await self._client.connect(StreamingParameters(sample_rate=16_000, **asked))
        self.session = await self._begun

    def _on_begin(self, _client: AsyncStreamingClient, event: BeginEvent) -> None:
        self._begun.set_result(event.id)

    def _on_event(self, _client: AsyncStreamingClient, _event: Any) -> None:
        self.events += 1

    def _on_error(self, _client: AsyncStreamingClient, error: Any) -> None:
        if not self._begun.done():
            self._begun.set_exception(RuntimeError(str(error)))

    def push(self) -> None:
        # `stream` puts the chunk into a queue without bounds and never waits, so that
        # it needs no task of its own here, which it would in a program: in its favour.
        try:
            self._client.stream(self._chunk).send(None)
        except StopIteration:
            return
        raise RuntimeError("the SDK's stream() waits")

    def stats(self) -> StreamStats | None:
        return None


class NullStreamClient:
    """Does nothing, for what is pushed as bytes; reads an event for every fifth."""

    def __init__(self, setting: Setting) -> None:
        self.session = "none"
        self.events = 0
        self._frames = 0
        self._every = TURN_FRAMES * 50 // setting.frame_ms
        self._queue: asyncio.Queue[int] = asyncio.Queue()

    async def open(self) -> None:
        self._listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        while True:
            await self._queue.get()
            self.events += 1

    def push(self) -> None:
        self._frames += 1
        if self._frames % self._every == 0:
            self._queue.put_nowait(self._frames)

    def stats(self) -> StreamStats | None:
        return None


PLUGINS: dict[str, Make] = {
    OURS: OurPlugin,
    THEIRS: OfficialPlugin,
    HARNESS: NullPlugin,
}
STREAMS: dict[str, Make] = {
    OURS: OurClient,
    THEIRS: SdkClient,
    HARNESS: NullStreamClient,
}
