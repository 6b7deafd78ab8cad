"""What a frame may cost: nothing that this decides on depends on the machine's speed.

Instructions, counted by callgrind, may be no more and no fewer than the baseline's,
within 2 %: an improvement that isn't kept as the new baseline could be lost unnoticed.
Memory blocks that stay must be none. Times are only shown.
"""

from __future__ import annotations

import gc
import sys
from array import array
from typing import Any

from benchmarks.paths import Work, repeat

FRAMES = 20
"""Frames of 50 ms per round: what pytest-benchmark's table shows is a second's cost."""
ROUNDS = 200
WARM_ROUNDS = 20

TOLERANCE = 0.02
"""Counts of the same code differ by less than a thousandth."""


class CostChanged(AssertionError):
    """A frame takes other instructions than before, or memory stays behind."""


def show_time(benchmark: Any, frame: Work) -> None:
    """Have pytest's `benchmark` fixture time a second's frames, for its table."""
    benchmark.pedantic(
        repeat, args=(frame, FRAMES), rounds=ROUNDS, warmup_rounds=WARM_ROUNDS
    )


def judge_instructions(name: str, counted: float, known: float) -> None:
    """Raise `CostChanged` if so many instructions aren't what is known of `name`."""
    change = counted / known - 1
    if abs(change) > TOLERANCE:
        raise CostChanged(
            f"{name}: {counted:,.0f} instructions, {100 * change:+.1f} % of the "
            f"baseline's {known:,.0f}; if that is meant, `make rebase`"
        )


def judge_memory(name: str, frame: Work) -> None:
    """Raise `CostChanged` if 1000 frames, once 1000 others went before, leave any."""
    left = blocks_left(frame)
    if left != 0:
        raise CostChanged(f"{name}: 1000 frames leave {left} memory blocks behind")


def blocks_left(frame: Work) -> int:
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
