"""What one frame or message costs on each path."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import baseline
from benchmarks.gate import judge_instructions, judge_memory, show_time
from benchmarks.paths import PATHS


@pytest.mark.parametrize("name", PATHS)
def test_path(benchmark: Any, request: pytest.FixtureRequest, name: str) -> None:
    with PATHS[name].open() as frame:
        show_time(benchmark, frame)
        judge_memory(name, frame)
    # Last, for these may end a test early, as skipped.
    counted: dict[str, float] = request.getfixturevalue("counted")
    benchmark.extra_info["instructions"] = counted[name]
    try:
        known = baseline.known(name, baseline.read(), baseline.made_with())
    except baseline.Unknown as exc:
        pytest.skip(f"instructions are not compared: {exc}")
    judge_instructions(name, counted[name], known)
