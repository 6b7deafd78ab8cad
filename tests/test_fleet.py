"""A fleet of a hundred streams that loses its region; see benchmarks/fleet."""

from __future__ import annotations

import pytest

from benchmarks.fleet.outcome import BUDGETS, Outcome, Setting, table
from benchmarks.fleet.simulation import simulate

SETTING = Setting(streams=100, hosts=5, per_minute=40, outage=70.0)
NONE, HOST, SHARED = BUDGETS


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return {budget.name: simulate(SETTING, budget) for budget in BUDGETS}


def test_with_a_shared_budget_no_minute_sees_too_many(
    outcomes: dict[str, Outcome],
) -> None:
    figures = outcomes["shared"].figures()
    assert figures["connects in a minute, at most"] == SETTING.per_minute
    assert figures["refused as too many"] == 0
    assert len(outcomes["shared"].opened_at) == SETTING.streams
    # Places of what failed are used up, until 61 s and 122 s; then there are three
    # minutes' worth.
    assert 122 + 2 * 61 < figures["all open after, s"] < 122 + 2 * 61 + 3


@pytest.mark.parametrize("name", ["none", "per host"])
def test_without_one_streams_are_refused(
    name: str, outcomes: dict[str, Outcome]
) -> None:
    figures = outcomes[name].figures()
    assert figures["connects in a minute, at most"] > 2 * SETTING.per_minute
    assert figures["refused as too many"] > SETTING.streams
    assert len(outcomes[name].opened_at) == SETTING.streams


def test_a_budget_does_not_ask_for_each_place(outcomes: dict[str, Outcome]) -> None:
    asks = outcomes["shared"].asks
    assert max(asks.values()) < 3 * SETTING.streams
    assert asks.total() / max(asks) < SETTING.streams


def test_who_waits_for_a_place_uses_up_no_attempt() -> None:
    setting = Setting(
        streams=100, hosts=5, per_minute=40, outage=70.0, max_retries=5, patience=120.0
    )
    assert simulate(setting, NONE).gave_up > 90
    assert simulate(setting, SHARED).gave_up == 0


def test_the_same_run_gives_the_same_table(outcomes: dict[str, Outcome]) -> None:
    again = table([simulate(SETTING, budget) for budget in BUDGETS])
    assert again == table(list(outcomes.values()))
    assert again.splitlines()[:2] == [
        "| budget | none | per host | shared |",
        "| --- | --: | --: | --: |",
    ]
