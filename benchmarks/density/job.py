"""A job's process: forked as LiveKit does it, with one stream.

It imports no more than LiveKit and what its kind needs, all of which the fork server
should have imported before.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

# What a job of LiveKit's imports to begin with.
import livekit.agents.ipc.job_proc_lazy_main  # noqa: F401
from livekit import rtc
from livekit.agents.utils import http_context
from livekit.rtc._ffi_client import FfiClient

SAMPLE_RATE = 24_000
FRAME_SECONDS = 0.05
FRAME_SAMPLES = 1200

PROBE_SECONDS = 0.005
PROBED_SECONDS = 1.0
WARM_SECONDS = 0.25


@dataclass(frozen=True)
class Kind:
    """A plugin."""

    package: str
    """That is imported before the fork."""
    stt: str
    """Module and name of what makes streams."""

    def make(self) -> Callable[..., Any]:
        """The class. Raises `RuntimeError` if there wasn't everything in the parent."""
        if self.package not in sys.modules:
            raise RuntimeError(f"the fork server has not imported {self.package}")
        module, _, name = self.stt.partition(":")
        made: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return made


@dataclass(frozen=True)
class Task:
    """What a job is to do."""

    kind: Kind
    options: dict[str, Any]
    """Of its STT."""
    offset: float
    """Of its frames within the 50 ms, in seconds."""
    first_seconds: float
    """That it speaks of its own accord, and for which it then goes on."""


@dataclass(frozen=True)
class Spoken:
    """What a job did for a while."""

    cpu_seconds: float
    frames: int


@dataclass(frozen=True)
class First:
    """How a job fared, from the fork on."""

    first: Spoken
    """To the end of its first seconds of speech."""
    then: Spoken
    """In as many that followed: the same without what comes once."""
    longest_push_ms: float
    longest_push_cpu_ms: float
    """Of the thread that pushes."""
    held_ms: float
    """The longest time that its event loop stood still in the first second."""


@dataclass(frozen=True)
class Speak:
    """Ask for audio for so long. Answered with `Spoken`."""

    seconds: float


@dataclass(frozen=True)
class Weigh:
    """Ask for the memory. Answered with `Weight`."""


@dataclass(frozen=True)
class Weight:
    """Of a process, in KB."""

    private: int
    """That it shares with nobody."""
    proportional: int
    """Its share of the rest added."""

    @classmethod
    def of_this_process(cls) -> Weight:
        """As the kernel tells it."""
        with open("/proc/self/smaps_rollup") as smaps:
            return cls.of_smaps(smaps.read())

    @classmethod
    def of_smaps(cls, text: str) -> Weight:
        """From a `smaps_rollup`."""
        sizes = {
            name: int(rest.split()[0])
            for name, separator, rest in (
                line.partition(":") for line in text.splitlines()[1:]
            )
            if separator
        }
        return cls(sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Pss"])


def run(pipe: Connection, task: Task) -> None:
    """Be a job until nobody is at the other end of `pipe`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to deal with
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(_Job(pipe, task).run())
    except EOFError:
        os._exit(0)


class _Job:
    def __init__(self, pipe: Connection, task: Task) -> None:
        self._pipe = pipe
        self._task = task
        self._pcm = random.Random(3).randbytes(2 * FRAME_SAMPLES)
        self._stream: Any = None
        self._events = 0
        self._frames = 0
        self._longest_s = self._longest_cpu_s = 0.0

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        _ = FfiClient.instance  # a job's room starts LiveKit's native threads
        http_context._new_session_ctx()
        self._pipe.send(await self._begin())
        while True:
            asked = await self._asked()
            if isinstance(asked, Speak):
                self._pipe.send(await self._speak(asked.seconds))
            else:
                self._pipe.send(Weight.of_this_process())

    async def _begin(self) -> First:
        probe = _Probe(self._loop)
        stt = self._task.kind.make()(**self._task.options)
        stt.prewarm()
        self._stream = stt.stream()
        self._listening = asyncio.ensure_future(self._listen())
        timer = self._voice()
        await asyncio.sleep(self._task.first_seconds)
        first = Spoken(time.process_time(), self._frames)
        then = await self._watch(self._task.first_seconds)
        timer.cancel()
        if not self._events:
            raise RuntimeError("the server has said nothing")
        return First(
            first,
            then,
            1000 * self._longest_s,
            1000 * self._longest_cpu_s,
            1000 * probe.held_seconds,
        )

    async def _speak(self, seconds: float) -> Spoken:
        timer = self._voice()
        await asyncio.sleep(WARM_SECONDS)
        spoken = await self._watch(seconds)
        timer.cancel()
        return spoken

    async def _watch(self, seconds: float) -> Spoken:
        cpu, frames = time.process_time(), self._frames
        await asyncio.sleep(seconds)
        return Spoken(time.process_time() - cpu, self._frames - frames)

    def _voice(self) -> _Timer:
        """Push frames from now on, at this job's moments of every 50 ms."""
        offset = self._task.offset
        turn = math.ceil((self._loop.time() - offset) / FRAME_SECONDS)
        first = offset + turn * FRAME_SECONDS
        return _Timer(self._loop, first, FRAME_SECONDS, self._push)

    def _push(self) -> None:
        frame = rtc.AudioFrame(self._pcm, SAMPLE_RATE, 1, FRAME_SAMPLES)
        began, cpu = time.perf_counter(), time.thread_time()
        self._stream.push_frame(frame)
        self._longest_cpu_s = max(self._longest_cpu_s, time.thread_time() - cpu)
        self._longest_s = max(self._longest_s, time.perf_counter() - began)
        self._frames += 1

    async def _listen(self) -> None:
        async for _ in self._stream:
            self._events += 1

    async def _asked(self) -> object:
        """Without a thread, which weighs something."""
        ready = self._loop.create_future()
        self._loop.add_reader(self._pipe.fileno(), ready.set_result, None)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._pipe.fileno())
        return self._pipe.recv()


class _Timer:
    """Calls `call` every `period` seconds; one that is late keeps its place."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        first: float,
        period: float,
        call: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._due = first
        self._period = period
        self._call = call
        self._timer = loop.call_at(first, self._ring)

    def cancel(self) -> None:
        """Call no more."""
        self._timer.cancel()

    def _ring(self) -> None:
        self._call()
        self._due += self._period
        self._timer = self._loop.call_at(self._due, self._ring)


class _Probe:
    """How late the loop calls what it is to call every 5 ms, in the first second."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.held_seconds = 0.0
        self._loop = loop
        self._until = loop.time() + PROBED_SECONDS
        self._wait()

    def _wait(self) -> None:
        due = self._loop.time() + PROBE_SECONDS
        self._loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        self.held_seconds = max(self.held_seconds, self._loop.time() - due)
        if due < self._until:
            self._wait()
