"""Fifty hours of calls under virtual time, and more."""

from __future__ import annotations

import pytest

from tests.simulation import plan
from tests.simulation.world import Call, hold_call

BATCH = 50

SILENT_CALLS = (59, 132, 158, 215)
"""In which nobody speaks for minutes, over a network that is well."""


@pytest.mark.parametrize("batch", range(10))
def test_calls(batch: int) -> None:
    seeds = range(batch * BATCH, (batch + 1) * BATCH)
    wrong = [call.report() for call in map(hold_call, seeds) if call.problems]
    assert not wrong, "\n\n".join(wrong)


def test_a_call_is_the_same_every_time() -> None:
    assert hold_call(12).report() == hold_call(12).report()


def test_a_call_that_is_parked_costs_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """By as much as there is silence in it, and not a word."""

    def held(park_after: float | None) -> list[Call]:
        monkeypatch.setattr(plan, "_draw_park_after", lambda dice: park_after)
        calls = [hold_call(seed) for seed in SILENT_CALLS]
        assert [call.problems for call in calls] == [[]] * len(calls)
        return calls

    for open_call, parked in zip(held(None), held(10.0), strict=True):
        assert (parked.words, parked.lost) == (open_call.words, open_call.lost)
        assert parked.billed_seconds < 0.8 * open_call.billed_seconds
