"""The gate itself: it must fail for a path that is slower than it was."""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from aai_stream._core import AudioRing
from benchmarks.gate import TooSlow, check

NAME = "ring, 24 kHz"
PCM = bytes(2400)


class SlowRing:
    """A ring that does its work twice, sleeps, or keeps what it should let go."""

    def __init__(self) -> None:
        self._ring = AudioRing(16000)
        self.kept: list[object] = []

    def frame(self) -> None:
        self._ring.write(PCM, 24000)
        while (chunk := self._ring.next_chunk()) is not None:
            self._ring.ack(chunk.start)

    def frame_done_twice(self) -> None:
        self.frame()
        self.frame()

    def frame_with_a_nap(self) -> None:
        self.frame()
        time.sleep(0.0006)

    def frame_with_a_leak(self) -> None:
        self.frame()
        self.kept.append(object())
