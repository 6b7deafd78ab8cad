"""A process for each stream, forked as LiveKit's worker forks jobs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Collection
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import psutil
from livekit import rtc

from ..stats import StreamStats
from .clients import Setting, noise
from .host import SETTLE_SECONDS, WARM_SECONDS, Ran, Speak
from .voices import Voices, Window
from .worker import Worker

if TYPE_CHECKING:
    from ..livekit.stream import SpeechStream

PACKAGE = "aai_stream.livekit"


class JobProcesses(Worker):
    """Jobs with a `SpeechStream` each, none at first; use it in a `with` statement."""

    def __init__(
        self, setting: Setting, *, cores: Collection[int], ca: bytes | None
    ) -> None:
        super().__init__(PACKAGE, run, cores=cores, ca=ca)
        self._setting = setting
        self._count = 0

    def connect(self, count: int) -> None:
        """Let there be `count` jobs, each with its stream open."""
        for _ in range(count - self._count):
            self.start(self._setting)
        self._count = count
        self.begun()

    def speak(self, seconds: float) -> Ran:
        """Let all speak for so long, in real time."""
        return together(self.ask_all(Speak(seconds)))


def together(jobs: Collection[Ran]) -> Ran:
    """What all did in the same time."""
    windows = [job.window for job in jobs]
    return Ran(
        window=Window(
            seconds=max(window.seconds for window in windows),
            cpu_seconds=sum(window.cpu_seconds for window in windows),
            frames=sum(window.frames for window in windows),
            due_frames=sum(window.due_frames for window in windows),
            late_ms=[late for window in windows for late in window.late_ms],
        ),
        pushed={},
        pushes={name: n for job in jobs for name, n in job.pushes.items()},
        stats={name: stats for job in jobs for name, stats in job.stats.items()},
        events=sum(job.events for job in jobs),
        memory_bytes=sum(job.memory_bytes for job in jobs),
    )


def run(pipe: Connection, setting: Setting) -> None:
    """Be a job until nobody is at the other end of `pipe`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to deal with
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(_Job(pipe, setting).run())
    except EOFError:
        os._exit(0)


class _Job:
    def __init__(self, pipe: Connection, setting: Setting) -> None:
        self._pipe = pipe
        self._setting = setting
        self._pcm = noise(setting.frame_samples)
        self._stream: SpeechStream
        self._events = self._pushes = 0

    async def run(self) -> None:
        from ..livekit import STT

        setting = self._setting
        stt = STT(api_key="none", base_url=setting.url, model=setting.model)
        stt.prewarm()
        is_open = asyncio.Event()
        stt.on("server_message", lambda _: is_open.set())  # the first is Begin
        self._stream = stt.stream()
        self._listening = asyncio.ensure_future(self._listen())
        await is_open.wait()
        self._pipe.send(None)
        while True:
            asked = await self._asked()
            self._pipe.send(await self._speak(asked.seconds))

    async def _speak(self, seconds: float) -> Ran:
        voices = Voices([self._push], self._setting.frame_ms / 1000)
        await asyncio.sleep(WARM_SECONDS)
        window = await voices.measure(seconds)
        voices.stop()
        await asyncio.sleep(SETTLE_SECONDS)
        name = self._stream.session_id or ""
        self._pushes += voices.pushes[0]
        stats: dict[str, StreamStats | None] = {name: self._stream.stats}
        memory_bytes = psutil.Process().memory_full_info().pss
        return Ran(window, {}, {name: self._pushes}, stats, self._events, memory_bytes)

    def _push(self) -> None:
        setting = self._setting
        self._stream.push_frame(
            rtc.AudioFrame(self._pcm, setting.sample_rate, 1, setting.frame_samples)
        )

    async def _listen(self) -> None:
        async for _ in self._stream:
            self._events += 1

    async def _asked(self) -> Any:
        """Without a thread: a job of LiveKit's has none for this either."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._pipe.fileno(), ready.set_result, None)
        try:
            await ready
        finally:
            loop.remove_reader(self._pipe.fileno())
        return self._pipe.recv()
