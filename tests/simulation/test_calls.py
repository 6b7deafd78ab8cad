"""Fifty hours of calls under virtual time, and more."""

from __future__ import annotations

import pytest

from tests.simulation.world import hold_call

BATCH = 50

KNOWN = {
    235: "a word under way where a turn is ended by force is taken for the turn's tail",
}
"""Calls that go wrong, and why: mistakes of the client's that are yet to be mended."""


@pytest.mark.parametrize("batch", range(10))
def test_calls(batch: int) -> None:
    wrong = {}
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        call = hold_call(seed)
        if call.problems:
            wrong[seed] = call.report()
    news = [report for seed, report in wrong.items() if seed not in KNOWN]
    assert not news, "\n\n".join(news)
    mended = {seed for seed in KNOWN if seed // BATCH == batch} - wrong.keys()
    assert not mended, "these calls go well now"


def test_a_call_is_the_same_every_time() -> None:
    assert hold_call(12).report() == hold_call(12).report()
