"""The gate itself: it must fail for a path that is worse than it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from aai_stream._core import AudioRing
from benchmarks.gate import Cost, TooCostly, check, judge, measure

NAME = "ring, 24 kHz"


class Ring:
    """The ring of that benchmark, and three ways to make it worse."""

    def __init__(self) -> None:
        self._ring = AudioRing(16000)
        self._pcm = bytes(2400)
        self._kept: list[object] = []

    def frame(self) -> None:
        self._ring.write(self._pcm, 24000)
        while (chunk := self._ring.next_chunk()) is not None:
            self._ring.ack(chunk.start)

    def frame_done_twice(self) -> None:
        self.frame()
        self.frame()

    def frame_with_a_nap(self) -> None:
        self.frame()
        time.sleep(0.00005)

    def frame_with_a_leak(self) -> None:
        self.frame()
        self._kept.append(object())


def test_passes_for_the_ring_as_it_is(benchmark: Any) -> None:
    check(benchmark, NAME, Ring().frame)


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (Ring().frame_done_twice, "times the baseline"),
        (Ring().frame_with_a_nap, "times the baseline"),
        (Ring().frame_with_a_leak, "blocks behind"),
    ],
)
def test_fails_for_worse(
    benchmark: Any, frame: Callable[[], None], complaint: str
) -> None:
    cost = measure(benchmark, frame)
    with pytest.raises(TooCostly, match=complaint):
        judge(NAME, cost)


def test_fails_above_the_ceiling_whatever_the_baseline() -> None:
    cost = Cost(ratio=0.0, us=501.0, leaked=0)
    with pytest.raises(TooCostly, match="501 µs a frame"):
        judge(NAME, cost)
