"""Our path from a LiveKit frame to a message, against the official plugin's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.utils import aio
from livekit.agents.utils.audio import AudioByteStream

from aai_stream._core import AudioRing
from benchmarks.gate import measure, repeat

RATE = 16000


class Incumbent:
    """What livekit-agents and livekit-plugins-assemblyai 1.8.9 do with a frame.

    That is `RecognizeStream.push_frame` and the plugin's `send_task` up to its
    `send_bytes`. The task switch between the two is left out, in their favour.
    """

    def __init__(self, rate: int, loop: asyncio.AbstractEventLoop) -> None:
        self.sent_bytes = 0
        self.seconds = 0.0
        self._frames = aio.Chan[rtc.AudioFrame](loop=loop)
        self._chunks = AudioByteStream(RATE, 1, RATE // 20)
        self._resampler: rtc.AudioResampler | None = None
        if rate != RATE:
            quality = rtc.AudioResamplerQuality.HIGH
            self._resampler = rtc.AudioResampler(rate, RATE, quality=quality)

    def push(self, frame: rtc.AudioFrame) -> None:
        if self._resampler is not None:
            for resampled in self._resampler.push(frame):
                self._frames.send_nowait(resampled)
        else:
            self._frames.send_nowait(frame)
        while not self._frames.empty():
            data = self._frames.recv_nowait()
            for chunk in self._chunks.write(data.data.tobytes()):
                self.seconds += chunk.duration
                self.sent_bytes += len(chunk.data.tobytes())


class Ours:
    """The same with the core: up to the buffer that the wire is given."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self._ring = AudioRing(RATE)

    def push(self, frame: rtc.AudioFrame) -> None:
        self._ring.write(frame.data, frame.sample_rate, frame.num_channels)
        while (chunk := self._ring.next_chunk()) is not None:
            self.sent_bytes += len(memoryview(chunk).cast("B"))
            self._ring.ack(chunk.start)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize(
    ("rate", "pushes", "least"), [(16000, 1, 1.5), (24000, 1, 6.0), (48000, 5, 7.5)]
)
def test_cheaper_than_the_incumbent(
    benchmark: Any,
    loop: asyncio.AbstractEventLoop,
    rate: int,
    pushes: int,
    least: float,
) -> None:
    samples = rate // 20 // pushes
    pcm = np.random.default_rng(3).integers(-8000, 8000, samples, np.int16).tobytes()
    frame = rtc.AudioFrame(pcm, rate, 1, samples)
    ours, theirs = Ours(), Incumbent(rate, loop)

    cost = measure(
        benchmark,
        lambda: repeat(lambda: ours.push(frame), pushes),
        yardstick=lambda: repeat(lambda: theirs.push(frame), pushes),
    )
    benchmark.extra_info.update(times_cheaper=1 / cost.ratio)
    assert 1 / cost.ratio >= least
