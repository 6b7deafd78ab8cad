"""What a frame may cost, told in a way that a busy machine doesn't change.

Raw times double when the cores are shared. So every round also times a yardstick, and
what counts is the median over the rounds of frame time / yardstick time: it stays within
about 10 %. The yardstick is `calibrate`, or the path that ours is compared with.

Baselines are in baseline.json; this makes them anew:

    REBASE=1 pytest --benchmark-only benchmarks
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from pytest_benchmark.fixture import BenchmarkFixture

Work = Callable[[], object]

FRAMES = 100
"""Frames per round."""
ROUNDS = 200
WARM_ROUNDS = 10

SLOWEST = 1.6
"""Times the baseline: far above the noise, below anything done twice."""
CEILING_US = 500.0
"""No frame of 50 ms may cost more than this, whatever the machine."""

BASELINE = Path(__file__).with_name("baseline.json")

_BYTES = bytes(range(256)) * 16
_TABLE = bytes(reversed(range(256)))
_NUMBER = 3**2000


class TooSlow(AssertionError):
    """A frame costs more time or memory than it may."""


def calibrate() -> None:
    """The unit of cost: some of the interpreter, memory and arithmetic, none of us."""
    for _ in range(20):
        _BYTES.translate(_TABLE)
        _NUMBER * _NUMBER  # noqa: B018


def measure(
    benchmark: BenchmarkFixture, frame: Work, yardstick: Work = calibrate
) -> tuple[float, float]:
    """Time of a frame, as the median multiple of `yardstick`'s time, and in µs."""
    yardsticks: list[float] = []

    def time_yardstick() -> None:
        start = perf_counter()
        yardstick()
        yardsticks.append(perf_counter() - start)

    def frames() -> None:
        for _ in range(FRAMES):
            frame()

    benchmark.pedantic(
        frames, setup=time_yardstick, rounds=ROUNDS, warmup_rounds=WARM_ROUNDS
    )
    times: list[float] = benchmark.stats.stats.data
    ratio = median(
        time / (unit * FRAMES)
        for time, unit in zip(times, yardsticks[WARM_ROUNDS:], strict=True)
    )
    return ratio, median(times) / FRAMES * 1e6


def count_leaked_blocks(frame: Work) -> int:
    """Memory blocks that 1000 frames leave behind, once 1000 others went before."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(1000):
            frame()
        before = sys.getallocatedblocks()
        for _ in range(1000):
            frame()
        return sys.getallocatedblocks() - before
    finally:
        gc.enable()


def check(benchmark: BenchmarkFixture, name: str, frame: Work) -> None:
    """Raise `TooSlow` if `frame` takes too much time or keeps memory."""
    ratio, us = measure(benchmark, frame)
    benchmark.extra_info.update(ratio=ratio, us_per_frame=us)
    baselines = json.loads(BASELINE.read_text())
    if "REBASE" in os.environ:
        baselines[name] = round(ratio, 4)
        BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")
    if us > CEILING_US:
        raise TooSlow(f"{name}: {us:.0f} µs a frame, more than {CEILING_US:.0f}")
    if ratio > SLOWEST * baselines[name]:
        raise TooSlow(f"{name}: {ratio / baselines[name]:.2f} times the baseline")
    if leaked := count_leaked_blocks(frame):
        raise TooSlow(f"{name}: {leaked} memory blocks left behind by 1000 frames")
