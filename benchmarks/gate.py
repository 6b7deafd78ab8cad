"""What a frame may cost, told in a way that a busy machine doesn't change.

Raw times double when the cores are shared. So every round times 20 frames, a second of
audio, and then a yardstick, and what counts is the median over the rounds of the two
times' ratio: that stays within 20 %, mostly 10. The yardstick is `calibrate`, or the
path that ours is compared with.

Baselines are in baseline.json, by Python version; this makes those of the present one:

    REBASE=1 pytest --benchmark-only benchmarks
"""

from __future__ import annotations

import gc
import json
import os
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pytest

Work = Callable[[], object]

FRAMES = 20
"""Frames of 50 ms per round: what pytest-benchmark's table shows is a second's cost."""
ROUNDS = 400
WARM_ROUNDS = 20

SLOWEST = 1.6
"""Times the baseline: far above the noise, below anything done twice."""
CEILING_US = 500.0
"""No frame of 50 ms may cost more than this, whatever the machine."""

BASELINE = Path(__file__).with_name("baseline.json")
PYTHON = "{}.{}".format(*sys.version_info)

_SIGNAL = np.linspace(-1, 1, 1024, dtype=np.float32)


class Cost(NamedTuple):
    """What one frame of 50 ms costs."""

    ratio: float
    """Time, as a multiple of the yardstick's."""
    us: float
    """Time in µs, as this machine had it this time."""
    leaked: int
    """Memory blocks that 1000 frames leave behind, once 1000 others went before."""


class TooCostly(AssertionError):
    """A frame costs more time or memory than it may."""


def calibrate() -> None:
    """The unit of cost: a filter of 32 taps over 1024 samples.

    Of several kernels this one was slowed down by other load most like the core is.
    """
    np.convolve(_SIGNAL, _SIGNAL[:32])


def measure(benchmark: Any, frame: Work, yardstick: Work = calibrate) -> Cost:
    """Run `frame` under pytest's `benchmark` fixture, in turns with `yardstick`."""
    if benchmark.disabled:
        pytest.skip("benchmarks are disabled")
    # For 200 µs, so that a round is short and few are interrupted.
    units = max(1, round(200e-6 / min(seconds_of(yardstick, 1) for _ in range(50))))
    unit_seconds: list[float] = []

    def time_yardstick() -> None:
        unit_seconds.append(seconds_of(yardstick, units) / units)

    benchmark.pedantic(
        repeat,
        args=(frame, FRAMES),
        setup=time_yardstick,
        rounds=ROUNDS,
        warmup_rounds=WARM_ROUNDS,
    )
    times = [seconds / FRAMES for seconds in benchmark.stats.stats.data]
    pairs = zip(times, unit_seconds[WARM_ROUNDS:], strict=True)
    cost = Cost(
        ratio=median(time / unit for time, unit in pairs),
        us=median(times) * 1e6,
        leaked=count_leaked_blocks(frame),
    )
    benchmark.extra_info.update(cost._asdict())
    return cost


def repeat(work: Work, times: int) -> None:
    for _ in range(times):
        work()


def seconds_of(work: Work, times: int) -> float:
    start = perf_counter()
    repeat(work, times)
    return perf_counter() - start


def count_leaked_blocks(frame: Work) -> int:
    marks = array("q", [0, 0])  # numbers kept as objects would be blocks themselves
    gc.collect()
    gc.disable()
    try:
        for mark in range(2):
            repeat(frame, 1000)
            marks[mark] = sys.getallocatedblocks()
    finally:
        gc.enable()
    return marks[1] - marks[0]


def judge(name: str, cost: Cost) -> None:
    """Raise `TooCostly` if a frame costs more than it may."""
    baselines = json.loads(BASELINE.read_text())
    slower = cost.ratio / baselines.get(PYTHON, baselines[max(baselines)])[name]
    if slower > SLOWEST:
        raise TooCostly(f"{name}: {slower:.2f} times the baseline")
    if cost.us > CEILING_US:
        raise TooCostly(f"{name}: {cost.us:.0f} µs a frame")
    if cost.leaked != 0:
        raise TooCostly(f"{name}: 1000 frames leave {cost.leaked} blocks behind")


def check(benchmark: Any, name: str, frame: Work) -> None:
    """Measure `frame` and judge it by the baseline of `name`."""
    cost = measure(benchmark, frame)
    if "REBASE" in os.environ:
        baselines = json.loads(BASELINE.read_text())
        baselines.setdefault(PYTHON, {})[name] = float(f"{cost.ratio:.3g}")
        BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")
    judge(name, cost)
