"""Fifty hours of calls under virtual time, and more."""

from __future__ import annotations

import pytest

from tests.simulation.world import hold_call

BATCH = 50


@pytest.mark.parametrize("batch", range(10))
def test_calls(batch: int) -> None:
    seeds = range(batch * BATCH, (batch + 1) * BATCH)
    wrong = [call.report() for call in map(hold_call, seeds) if call.problems]
    assert not wrong, "\n\n".join(wrong)


def test_a_call_is_the_same_every_time() -> None:
    assert hold_call(12).report() == hold_call(12).report()
