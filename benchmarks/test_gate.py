"""The gate itself: it must fail for a path that is worse than it was."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.gate import CostChanged, judge_instructions, judge_memory, show_time
from benchmarks.paths import PATHS, WASTEFUL

NAME = "ring, 24 kHz"
TWICE = f"{NAME}, done twice"


def test_fails_for_a_frame_done_twice(
    benchmark: Any, counted: dict[str, float]
) -> None:
    with WASTEFUL[TWICE].open() as frame:
        show_time(benchmark, frame)
    judge_instructions(NAME, counted[NAME], counted[NAME])
    with pytest.raises(CostChanged, match=r"instructions, \+10\d\.\d %"):
        judge_instructions(NAME, counted[TWICE], counted[NAME])


def test_fails_for_a_leak(benchmark: Any) -> None:
    kept: list[object] = []
    with PATHS[NAME].open() as frame:

        def frame_with_a_leak() -> None:
            frame()
            kept.append(object())

        show_time(benchmark, frame_with_a_leak)
        with pytest.raises(CostChanged, match=r"leave 100\d memory blocks behind"):
            judge_memory(NAME, frame_with_a_leak)
