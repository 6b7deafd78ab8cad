"""Turns that are not ended, or not formatted, are waited for no longer than said."""

from __future__ import annotations

import math

import pytest

from aai_stream.messages import Turn
from aai_stream.protocol.events import LostTurn
from aai_stream.protocol.turns import (
    MISSING_SECONDS,
    MOST_SECONDS,
    UNFORMATTED_SECONDS,
    Turns,
)
from tests.protocol.test_turns import final, formatted, raw, turn

SENT_MS = 1500
"""How much audio there is."""


class Call:
    """A session's turns, what time it is, and what was told."""

    def __init__(self, *, insists: bool = False) -> None:
        self.now = 0.0
        self.told: list[Turn | LostTurn] = []
        self.turns = Turns()
        self.turns.insists = insists

    def hear(self, *turns: Turn) -> list[Turn | LostTurn]:
        """What is told when they come."""
        before = len(self.told)
        for one in turns:
            self.told += self.turns.take(one, self.now)
        return self.told[before:]

    def run(self, seconds: float) -> None:
        """Let time pass; what is due is checked, unless the session is lost."""
        end = self.now + seconds
        while self.turns.deadline <= end and not self.turns.left_unended:
            self.now = max(self.now, self.turns.deadline)
            self.told += self.turns.check(self.now, SENT_MS)
            assert self.turns.deadline > self.now  # what was due is done
        self.now = end

    def finish(self, before_ms: float = math.inf) -> list[Turn | LostTurn]:
        """What is told at the end, or of what began before."""
        told = self.turns.finish(self.now, SENT_MS, before_ms)
        self.told += told
        return told

    @property
    def waits(self) -> bool:
        return self.turns.deadline < math.inf


def test_a_missing_final_is_told_as_lost() -> None:
    call = Call()
    assert not call.waits
    call.hear(turn(0, "one two"), final(1, "three"))
    assert call.turns.deadline == MISSING_SECONDS
    call.run(MISSING_SECONDS - 0.01)
    assert call.told == [turn(0, "one two")]
    call.run(0.01)
    assert call.told[1:] == [LostTurn(0, 1000, (0, 200)), final(1, "three")]
    assert not call.waits
    assert not call.turns.left_unended


def test_or_loses_the_session() -> None:
    call = Call(insists=True)
    call.hear(turn(0, "one two"), final(1, "three"))
    call.run(MISSING_SECONDS - 0.01)
    assert not call.turns.left_unended
    call.run(0.01)
    assert call.told == [turn(0, "one two")]
    assert call.turns.left_unended
    assert not call.turns.is_idle  # so it is known what another has to hear


def test_a_final_that_is_only_late() -> None:
    call = Call()
    call.hear(turn(0, "one"), final(1, "two"))
    call.run(MISSING_SECONDS / 2)
    assert call.hear(final(0, "one")) == [final(0, "one"), final(1, "two")]
    assert not call.waits


def test_the_next_that_is_missing_has_its_own_time() -> None:
    call = Call()
    call.hear(turn(0, "one"), final(1, "two"))
    call.run(MISSING_SECONDS / 2)
    call.hear(final(0, "one"), turn(2, "three"), final(3, "four"))
    assert call.turns.deadline == call.now + MISSING_SECONDS
    call.run(MISSING_SECONDS)
    assert call.told[4:] == [LostTurn(1100, 3000, (2000, 2100)), final(3, "four")]


def test_more_that_waits_gives_no_more_time() -> None:
    call = Call()
    call.hear(turn(0, "one"), final(1, "two"))
    call.run(MISSING_SECONDS / 2)
    call.hear(final(2, "three"))
    assert call.turns.deadline == MISSING_SECONDS
    call.run(MISSING_SECONDS / 2)
    assert call.told[1:] == [
        LostTurn(0, 1000, (0, 100)),
        final(1, "two"),
        final(2, "three"),
    ]


def test_only_what_others_wait_for_is_given_up() -> None:
    call = Call()
    call.hear(turn(0, "one"), final(1, "two"), turn(2, "three"))
    call.run(MISSING_SECONDS)
    assert call.told[2:] == [LostTurn(0, 1000, (0, 100)), final(1, "two")]
    assert not call.turns.is_idle
    assert call.hear(final(2, "three")) == [final(2, "three")]


def test_a_turn_that_is_not_formatted_is_final_as_it_is() -> None:
    call = Call(insists=True)
    call.hear(raw(0, "one"))
    call.run(UNFORMATTED_SECONDS - 0.01)
    assert call.told == [raw(0, "one")]
    call.run(0.01)
    assert call.told[1:] == [final(0, "one")]
    assert call.turns.is_idle
    assert not call.waits
    assert call.hear(formatted(0, "One.")) == []
    assert not call.turns.left_unended


def test_a_turn_that_ends_again_unformatted_gets_no_more_time() -> None:
    call = Call()
    call.hear(raw(0, "one"))
    call.run(UNFORMATTED_SECONDS / 2)
    call.hear(raw(0, "one"))
    assert call.turns.deadline == UNFORMATTED_SECONDS


def test_each_turn_has_its_time_to_be_formatted() -> None:
    call = Call()
    call.hear(raw(0, "one"))
    call.run(UNFORMATTED_SECONDS - 0.01)
    assert call.hear(raw(1, "two")) == [raw(1, "two")]
    call.run(UNFORMATTED_SECONDS - 0.01)
    assert call.told[2:] == [final(0, "one")]
    assert call.hear(formatted(1, "Two.")) == [formatted(1, "Two.")]
    assert not call.waits


def test_a_repeated_final_does_not_stop_the_time_of_what_came_since() -> None:
    call = Call()
    more = raw(0, "one more")
    call.hear(raw(0, "one"), formatted(0, "One."), more, formatted(0, "One."))
    call.run(UNFORMATTED_SECONDS)
    assert call.told == [
        *[raw(0, "one"), formatted(0, "One."), more],
        final(0, "one more"),
    ]
    assert call.turns.is_idle


def test_turn_after_turn_that_is_not_formatted() -> None:
    """Each is final after the same time: no other makes it wait."""
    call = Call()
    ends: dict[int, float] = {}
    for order in range(100):
        call.hear(raw(order, "x"))
        call.run(0.1)
        for one in call.told:
            if isinstance(one, Turn) and one.is_final:
                ends.setdefault(one.turn_order, call.now)
    assert list(ends) == list(range(80))
    waits = [end - 0.1 * order for order, end in ends.items()]
    assert all(UNFORMATTED_SECONDS <= wait + 0.01 < 2.2 for wait in waits)
    assert call.turns.deadline == pytest.approx(8 + UNFORMATTED_SECONDS)
    assert call.finish() == [final(order, "x") for order in range(80, 100)]
    assert not call.waits


def test_what_is_late_to_be_checked_is_all_told() -> None:
    """For example by a loop that was blocked."""
    call = Call()
    call.hear(raw(0, "one"))
    call.now += 0.5
    call.hear(raw(1, "two"))
    assert call.turns.check(100, SENT_MS) == [final(0, "one"), final(1, "two")]
    call.now = 100
    call.hear(turn(2, "three"), final(3, "four"), raw(4, "five"))
    told = call.turns.check(200, SENT_MS)
    assert told == [
        LostTurn(1100, 3000, (2000, 2100)),
        final(3, "four"),
        final(4, "five"),
    ]
    assert call.turns.is_idle
    assert not call.waits


def test_what_is_not_due_is_not_told() -> None:
    call = Call()
    call.hear(raw(0, "one"), turn(1, "two"), final(2, "three"))
    assert call.turns.check(call.turns.deadline - 0.01, SENT_MS) == []


def test_what_has_ended_is_not_missing() -> None:
    """Though a later turn waits until it is formatted."""
    call = Call(insists=True)
    call.hear(turn(0, "one"), formatted(1, "Two."), raw(0, "one"))
    assert call.turns.deadline == UNFORMATTED_SECONDS
    call.run(UNFORMATTED_SECONDS)
    assert call.told[1:] == [raw(0, "one"), final(0, "one"), formatted(1, "Two.")]
    assert not call.turns.left_unended


def test_the_end_settles_everything() -> None:
    call = Call()
    call.hear(raw(0, "one"), turn(1, "two"))
    assert call.finish() == [final(0, "one"), LostTurn(100, SENT_MS, (1000, 1100))]
    assert not call.waits
    assert not call.turns.left_unended
    assert call.turns.is_idle


def test_the_end_of_a_turn_that_another_session_shall_hear() -> None:
    call = Call(insists=True)
    call.hear(raw(0, "one"), turn(1, "two"))
    assert call.finish() == [final(0, "one")]
    assert call.turns.left_unended


def test_the_end_of_what_began_before() -> None:
    call = Call()
    call.hear(turn(1, "two"))
    call.run(MOST_SECONDS + 1)
    call.hear(raw(0, "one"), turn(2, "three"))
    assert call.finish(before_ms=0) == []
    assert call.finish(before_ms=1001) == [LostTurn(100, 3100, (1000, 1100))]
    call.turns.speech_started()
    assert call.finish(before_ms=2000) == []
    assert not call.turns.is_idle
    assert call.hear(final(2, "three")) == [final(0, "one"), final(2, "three")]


def test_in_which_audio_was_left_out_it_may_be_long() -> None:
    call = Call()
    call.hear(turn(0, "one"))
    call.run(MOST_SECONDS)
    assert call.finish(before_ms=10_000) == []
    call.run(0.1)
    assert len(call.finish(before_ms=10_000)) == 1


def test_the_end_where_all_turns_have_theirs() -> None:
    call = Call(insists=True)
    call.hear(turn(0, "one"), final(0, "one"), raw(1, "two"))
    assert call.finish() == [final(1, "two")]
    assert not call.turns.left_unended


def test_raw_behind_a_missing_final() -> None:
    call = Call()
    call.hear(turn(0, "one"), raw(1, "two"))
    call.run(UNFORMATTED_SECONDS)
    assert call.told == [turn(0, "one"), raw(1, "two")]
    call.run(MISSING_SECONDS)
    assert call.told[2:] == [LostTurn(0, 1000, (0, 100)), final(1, "two")]
    assert not call.waits


def test_speech_that_started_is_a_turn_to_come() -> None:
    call = Call()
    call.turns.speech_started()
    assert not call.turns.is_idle
    assert not call.waits
    call.hear(final(0, "one"))
    assert call.turns.is_idle
    call.turns.speech_started()
    assert call.finish() == []
    assert call.turns.is_idle
