"""What the benchmarks share."""

from __future__ import annotations

import pytest

from benchmarks.callgrind import Missing, count


@pytest.fixture(scope="session")
def counted() -> dict[str, float]:
    """Instructions of one frame on each path; tests are skipped where none can be."""
    try:
        return count()
    except Missing as exc:
        pytest.skip(f"instructions are not compared: {exc}")
