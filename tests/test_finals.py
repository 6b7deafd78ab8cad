"""Turns that are not ended, or not formatted, are waited for no longer than said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aai_stream.messages import AudioLost, Event, Turn
from aai_stream.protocol.turns import MISSING_SECONDS, UNFORMATTED_SECONDS, Finals
from tests.clocks import Clock
from tests.test_turns import final, formatted, raw, turn


class Session(Clock):
    """What is told of its turns, and whether it was lost; time passes as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.told: list[Event] = []
        self.lost = 0
        self.finals = Finals(16_000, self.told.append, self._lose, lambda: SENT_MS)

    def _lose(self) -> None:
        self.lost += 1
        self.finals.stop()

    def hear(self, *turns: Any) -> list[Event]:
        """What is told when they come."""
        before = len(self.told)
        for one in turns:
            self.finals.take(one)
        return self.told[before:]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    session = Session()
    loop: Any = session
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return session


SENT_MS = 1500
"""How much audio there is."""


def lost(start_ms: int, end_ms: int) -> AudioLost:
    return AudioLost(
        start_sample=16 * start_ms,
        end_sample=16 * end_ms,
        start_ms=start_ms,
        end_ms=end_ms,
        why="the server never ended this turn",
    )


def test_a_missing_final_is_told_as_lost(session: Session) -> None:
    session.hear(turn(0, "one two"), final(1, "three"))
    session.run(MISSING_SECONDS - 0.01)
    assert session.told == [turn(0, "one two")]
    session.run(0.01)
    assert session.told[1:] == [lost(0, 1000), final(1, "three")]
    assert session.waiting == []


def test_or_loses_the_session(session: Session) -> None:
    session.finals.insists = True
    session.hear(turn(0, "one two"), final(1, "three"))
    session.run(MISSING_SECONDS)
    assert session.told == [turn(0, "one two")]
    assert session.lost == 1
    assert session.finals.was_unfinished


def test_a_final_that_is_only_late(session: Session) -> None:
    session.hear(turn(0, "one"), final(1, "two"))
    session.run(MISSING_SECONDS / 2)
    assert session.hear(final(0, "one")) == [final(0, "one"), final(1, "two")]
    assert session.waiting == []


def test_a_turn_that_is_not_formatted_is_final_as_it_is(session: Session) -> None:
    session.finals.insists = True
    session.hear(raw(0, "one"))
    session.run(UNFORMATTED_SECONDS - 0.01)
    assert session.told == [raw(0, "one")]
    session.run(0.01)
    assert session.told[1:] == [final(0, "one")]
    assert session.finals.is_idle
    assert session.waiting == []
    assert session.hear(formatted(0, "One.")) == []
    assert session.lost == 0


def test_each_turn_has_its_time_to_be_formatted(session: Session) -> None:
    session.hear(raw(0, "one"))
    session.run(UNFORMATTED_SECONDS - 0.01)
    assert session.hear(raw(1, "two")) == [raw(1, "two")]
    session.run(UNFORMATTED_SECONDS - 0.01)
    assert session.told[2:] == [final(0, "one")]
    assert session.hear(formatted(1, "Two.")) == [formatted(1, "Two.")]
    assert session.waiting == []


def test_a_repeated_final_does_not_stop_the_time_of_what_came_since(
    session: Session,
) -> None:
    more = raw(0, "one more")
    session.hear(raw(0, "one"), formatted(0, "One."), more, formatted(0, "One."))
    session.run(UNFORMATTED_SECONDS)
    assert session.told == [
        *[raw(0, "one"), formatted(0, "One."), more],
        final(0, "one more"),
    ]
    assert session.finals.is_idle


def test_turn_after_turn_that_is_not_formatted(session: Session) -> None:
    """Each is final after the same time: no other makes it wait."""
    ends: dict[int, float] = {}
    for order in range(100):
        session.hear(raw(order, "x"))
        session.run(0.1)
        for one in session.told:
            if isinstance(one, Turn) and one.is_final:
                ends.setdefault(one.turn_order, session.now)
    assert list(ends) == list(range(80))
    assert len(session.waiting) == len(session.finals._unformatted) == 20
    waits = [end - 0.1 * order for order, end in ends.items()]
    assert all(UNFORMATTED_SECONDS <= wait + 0.01 < 2.2 for wait in waits)


def test_the_end_settles_everything(session: Session) -> None:
    session.hear(raw(0, "one"), turn(1, "two"))
    assert session.finals.finish()
    assert session.told[2:] == [final(0, "one"), lost(100, SENT_MS)]
    assert session.waiting == []


def test_the_end_of_a_turn_that_another_session_shall_hear(session: Session) -> None:
    session.finals.insists = True
    session.hear(raw(0, "one"), turn(1, "two"))
    assert not session.finals.finish()
    assert session.told[2:] == [final(0, "one")]
    assert session.lost == 1


def test_raw_behind_a_missing_final(session: Session) -> None:
    session.hear(turn(0, "one"), raw(1, "two"))
    session.run(UNFORMATTED_SECONDS)
    assert session.told == [turn(0, "one"), raw(1, "two")]
    session.run(MISSING_SECONDS)
    assert session.told[2:] == [lost(0, 1000), final(1, "two")]
    assert session.waiting == []


def test_nothing_is_told_when_it_is_over(session: Session) -> None:
    session.hear(turn(0, "one"), final(1, "two"), raw(2, "three"))
    session.finals.stop()
    assert session.waiting == []
