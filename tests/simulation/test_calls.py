"""Hours of calls under virtual time: no word is lost untold, none is told twice."""

from __future__ import annotations

import pytest

from tests.simulation.world import hold_call

BATCH = 25


@pytest.mark.parametrize("batch", range(6))
def test_calls(batch: int) -> None:
    wrong = []
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        call = hold_call(seed)
        if call.problems:
            wrong.append(call.report())
    assert not wrong, "\n\n".join(wrong)


def test_a_call_is_the_same_every_time() -> None:
    assert hold_call(12).report() == hold_call(12).report()
