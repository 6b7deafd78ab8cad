"""Turns that are told twice: as they ended, then formatted."""

from __future__ import annotations

from typing import Any

import pytest

from aai_stream.messages import Turn
from aai_stream.protocol.events import LostTurn
from aai_stream.protocol.turns import (
    MISSING_SECONDS,
    UNFORMATTED_SECONDS,
    Turns,
)
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
    assert told(Turns(), *came) == passed


def test_formatted_though_that_was_switched_off() -> None:
    """The server was on its way already."""
    turns = Turns()
    turns.formats = True
    assert told(turns, AS_IT_IS, FORMATTED) == [AS_IT_IS]


def test_the_unformatted_one_behind_its_formatted_one() -> None:
    assert told(Turns(), FORMATTED, FIRST) == [FORMATTED]


def test_a_turn_whose_formatted_final_is_to_come_is_open() -> None:
    turns = Turns()
    told(turns, turn(0, "one"), FIRST)
    assert not turns.is_idle
    told(turns, FORMATTED)
    assert turns.is_idle


def settle(turns: Turns) -> list[Turn | LostTurn]:
    """What is told when the formatted versions have been waited for long enough."""
    return turns.check(UNFORMATTED_SECONDS, SENT_MS)


def test_settling_for_what_there_is() -> None:
    turns = Turns()
    told(turns, FIRST, raw(1, "two"))
    assert not turns.is_idle
    assert settle(turns) == [AS_IT_IS, final(1, "two")]
    assert turns.is_idle
    assert settle(turns) == []
    assert told(turns, FIRST, FORMATTED) == []


def test_not_settling_before_an_earlier_turn_has_ended() -> None:
    turns = Turns()
    told(turns, turn(0, "one"), raw(1, "two"))
    assert settle(turns) == []
    assert turns.deadline == UNFORMATTED_SECONDS + MISSING_SECONDS
    lost = LostTurn(0, 1000, words=(0, 100))
    assert turns.finish(0, SENT_MS) == [lost, final(1, "two")]


def test_of_many_raw_turns_the_oldest_are_final() -> None:
    turns = Turns()
    passed = told(turns, *(raw(order, "x") for order in range(1000)))
    assert len([t for t in passed if t.is_final]) > 900
    finals = [t for t in passed if t.is_final]
    assert finals + settle(turns) == [final(order, "x") for order in range(1000)]


def test_settling_for_some() -> None:
    turns = Turns()
    turns.take(raw(0, "one"), 0)
    turns.take(raw(1, "two"), 1)
    assert settle(turns) == [AS_IT_IS]
    assert turns.check(1 + UNFORMATTED_SECONDS, SENT_MS) == [final(1, "two")]


def test_what_is_told_is_the_receiver_s_to_change() -> None:
    turns = Turns()
    (passed,) = told(turns, raw(0, "one"))
    passed.turn_order += 7
    assert settle(turns) == [AS_IT_IS]


def test_an_utterance_is_told_once() -> None:
    turns = Turns()
    first = raw(0, "one")
    first.utterance = "one"
    assert told(turns, first)[0].utterance == "one"
    assert settle(turns) == [AS_IT_IS]


def test_a_held_final_keeps_its_utterance() -> None:
    """It was not told yet."""
    turns = Turns()
    held = formatted(1, "Two.")
    held.utterance = "Two."
    assert told(turns, turn(0, "one"), held) == [turn(0, "one")]
    assert settle(turns)[1:] == [held]
    assert held.utterance == "Two."


def test_a_partial_behind_an_end_opens_its_turn_no_more() -> None:
    """Or else it would be told as lost, and then as final."""
    turns = Turns()
    told(turns, turn(0, "one"), formatted(2, "Three."), raw(1, "two"))
    more = [turn(1, "two"), FIRST, FORMATTED]
    assert told(turns, *more) == more
    assert turns.deadline == UNFORMATTED_SECONDS
    assert settle(turns) == [final(1, "two"), formatted(2, "Three.")]


def test_what_such_a_partial_says_is_unfinished_too() -> None:
    turns = Turns()
    told(turns, FIRST, turn(0, "one two"))
    assert turns.unfinished == (0, 200)
    told(turns, turn(0))
    assert turns.unfinished == (0, 200)
    assert settle(turns) == [AS_IT_IS]
    # What the end didn't say is no part of it:
    more = [turn(0, "one two"), final(0, "one two")]
    assert told(turns, *more) == more


def test_a_turn_that_goes_on_has_its_own_time_to_be_formatted() -> None:
    turns = Turns()
    told(turns, FIRST, formatted(1, "Two."))
    turns.take(raw(0, "one more"), 1)
    assert turns.deadline == 1 + UNFORMATTED_SECONDS
