"""Turns that are told twice: as they ended, then formatted."""

from __future__ import annotations

from typing import Any

import pytest

from aai_stream.messages import Turn
from aai_stream.protocol.events import LostTurn
from aai_stream.protocol.turns import TurnOrder
from tests.protocol.test_turns import SENT_MS, final, formatted, raw, told, turn

FIRST = raw(0, "one")
FORMATTED = formatted(0, "One.")
AS_IT_IS = final(0, "one")
LATE: dict[str, Any] = {"ended": True, "is_final": True, "start": 100}


@pytest.mark.parametrize(
    ("came", "passed"),
    [
        pytest.param([FIRST, FORMATTED], [FIRST, FORMATTED], id="a pair"),
        pytest.param(
            [FIRST, FORMATTED, FORMATTED], [FIRST, FORMATTED], id="formatted twice"
        ),
        pytest.param([FORMATTED], [FORMATTED], id="the formatted one alone"),
        pytest.param(
            [turn(0, "one"), turn(1, "two"), FIRST, FORMATTED],
            [turn(0, "one"), turn(1, "two"), FIRST, FORMATTED],
            id="the formatted one behind the next turn's beginning",
        ),
        pytest.param(
            [FIRST, turn(1, "two"), formatted(1, "Two.")],
            [FIRST, turn(1, "two"), AS_IT_IS, formatted(1, "Two.")],
            id="one that is never formatted, and the next",
        ),
        pytest.param(
            [FIRST, raw(1, "two"), formatted(1, "Two."), FORMATTED],
            [FIRST, raw(1, "two"), AS_IT_IS, formatted(1, "Two.")],
            id="formatted behind the next one: too late",
        ),
        pytest.param(
            [turn(0, "one"), raw(1, "two"), formatted(2, "Three."), FIRST, FORMATTED],
            [
                turn(0, "one"),
                raw(1, "two"),
                FIRST,
                FORMATTED,
                final(1, "two"),
                formatted(2, "Three."),
            ],
            id="one that is never formatted, while an earlier one is open",
        ),
        pytest.param(
            [FIRST, formatted(1, "Two."), turn(0, "One.", **LATE, formatted=True)],
            [FIRST, AS_IT_IS, formatted(1, "Two.")],
            id="formatted too late, its end in another place",
        ),
        pytest.param(
            [
                *[FIRST, formatted(1, "Two."), turn(0, "one and a few more")],
                *[
                    raw(0, "one and a few more"),
                    FORMATTED,
                    formatted(0, "One and a few more."),
                ],
            ],
            [
                *[FIRST, AS_IT_IS, formatted(1, "Two."), turn(0, "one and a few more")],
                *[raw(0, "one and a few more"), formatted(0, "One and a few more.")],
            ],
            id="formatted too late, and the turn has gone on",
        ),
        pytest.param(
            [FIRST, AS_IT_IS, FORMATTED],
            [FIRST, AS_IT_IS],
            id="formatted, but that was switched off meanwhile",
        ),
        pytest.param(
            [AS_IT_IS, FORMATTED],
            [AS_IT_IS, FORMATTED],
            id="formatted where nobody waits for it: corrected",
        ),
        pytest.param(
            [
                *[turn(0, "one"), turn(1, "two"), formatted(2, "Three.")],
                *[raw(1, "two"), FORMATTED, formatted(1, "Two.")],
            ],
            [
                *[turn(0, "one"), turn(1, "two"), raw(1, "two"), FORMATTED],
                *[formatted(1, "Two."), formatted(2, "Three.")],
            ],
            id="formatted last, the one in the middle",
        ),
        pytest.param(
            [FIRST, turn(0, "one"), formatted(1, "Two."), FORMATTED],
            [FIRST, turn(0, "one"), AS_IT_IS, formatted(1, "Two.")],
            id="a partial behind a turn that is never formatted",
        ),
        pytest.param(
            [FIRST, formatted(1, "Two."), turn(0, "one more"), raw(0, "one more")],
            [
                *[FIRST, AS_IT_IS, formatted(1, "Two.")],
                *[turn(0, "one more"), raw(0, "one more")],
            ],
            id="one that was final as it is, and goes on",
        ),
    ],
)
def test_formatted_pairs(came: list[Turn], passed: list[Turn]) -> None:
    assert told(TurnOrder(), *came) == passed


def test_formatted_though_that_was_switched_off() -> None:
    """The server was on its way already."""
    turns = TurnOrder()
    turns.formats = True
    assert told(turns, AS_IT_IS, FORMATTED) == [AS_IT_IS]


def test_the_unformatted_one_behind_its_formatted_one() -> None:
    assert told(TurnOrder(), FORMATTED, FIRST) == [FORMATTED]


def test_a_turn_whose_formatted_final_is_to_come_is_open() -> None:
    turns = TurnOrder()
    told(turns, turn(0, "one"), FIRST)
    assert not turns.is_idle
    told(turns, FORMATTED)
    assert turns.is_idle


def test_settling_for_what_there_is() -> None:
    turns = TurnOrder()
    told(turns, FIRST, raw(1, "two"))
    assert not turns.is_idle
    assert turns.settle() == [AS_IT_IS, final(1, "two")]
    assert turns.is_idle
    assert turns.settle() == []
    assert told(turns, FIRST, FORMATTED) == []


def test_not_settling_before_an_earlier_turn_has_ended() -> None:
    turns = TurnOrder()
    told(turns, turn(0, "one"), raw(1, "two"))
    assert turns.settle() == []
    assert turns.is_stuck
    lost = LostTurn(0, 1000, words=(0, 100))
    assert turns.give_up(SENT_MS, everything=True) == ([lost], [final(1, "two")])


def test_of_many_raw_turns_the_oldest_are_final() -> None:
    turns = TurnOrder()
    passed = told(turns, *(raw(order, "x") for order in range(1000)))
    assert len([t for t in passed if t.is_final]) > 900
    finals = [t for t in [*passed, *turns.settle()] if t.is_final]
    assert finals == [final(order, "x") for order in range(1000)]


def test_settling_for_some() -> None:
    turns = TurnOrder()
    told(turns, FIRST, raw(1, "two"))
    assert turns.settle(0) == [AS_IT_IS]
    assert turns.settle() == [final(1, "two")]


def test_what_is_told_is_the_receiver_s_to_change() -> None:
    turns = TurnOrder()
    (passed,) = told(turns, raw(0, "one"))
    passed.turn_order += 7
    assert turns.settle() == [AS_IT_IS]


def test_an_utterance_is_told_once() -> None:
    turns = TurnOrder()
    first = raw(0, "one")
    first.utterance = "one"
    assert told(turns, first)[0].utterance == "one"
    assert turns.settle() == [AS_IT_IS]
