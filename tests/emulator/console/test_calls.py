"""Which sessions make up a lane: as their audio proves, and never by a guess."""

from __future__ import annotations

import pytest

from aai_stream.emulator.console import calls as calls_module
from aai_stream.emulator.console.calls import Calls
from aai_stream.emulator.console.session import Session
from aai_stream.emulator.faults import fault
from aai_stream.emulator.faults.running import Applied
from tests.emulator.console.helpers import RATE, begin, hear, noise, silence, turn
from tests.emulator.helpers import ManualClock

TALK = noise(6)


@pytest.fixture
def calls(clock: ManualClock) -> Calls:
    return Calls(clock)


def cut(calls: Calls, number: int, audio: bytes) -> Session:
    """A session that was cut after `audio`."""
    session = begin(calls, number)
    hear(session, audio)
    session.over(None, terminated=False)
    return session


def from_second(seconds: float) -> bytes:
    return TALK[2 * round(seconds * RATE) :]


def test_a_session_goes_on_where_another_one_was_cut(calls: Calls) -> None:
    cut(calls, 1, TALK[: 3 * 2 * RATE])
    session = begin(calls, 2)
    hear(session, from_second(1.2345))
    assert (session.lane, session.offset) == (1, round(1.2345 * RATE))


def test_silence_proves_nothing_but_what_follows_does(calls: Calls) -> None:
    cut(calls, 1, noise(1) + silence(2) + noise(1, seed=1))
    session = begin(calls, 2)
    hear(session, silence(2))
    assert session.lane == 2
    hear(session, noise(1, seed=1))
    assert (session.lane, session.offset_ms) == (1, 1000)


def test_a_third_session_finds_the_lane_that_two_have_its_audio_of(
    calls: Calls,
) -> None:
    cut(calls, 1, TALK[: 3 * 2 * RATE])
    cut(calls, 2, from_second(1)[: 3 * 2 * RATE])
    session = begin(calls, 3)
    hear(session, from_second(2))
    assert (session.lane, session.offset_ms) == (1, 2000)
    assert [s.number for s in calls.lane(1)] == [1, 2, 3]


def test_two_callers_with_the_same_audio_stay_apart(calls: Calls) -> None:
    cut(calls, 1, TALK)
    cut(calls, 2, noise(1, seed=5) + TALK)
    session = begin(calls, 3)
    hear(session, from_second(1))
    assert session.lane == 3


def test_sound_that_was_there_twice_proves_nothing(calls: Calls) -> None:
    cut(calls, 1, TALK + TALK)
    session = begin(calls, 2)
    hear(session, TALK)
    assert session.lane == 2


@pytest.mark.parametrize("tone", [bytes(2 * RATE), b"\x10\x27\xf0\xd8" * (RATE // 2)])
def test_a_tone_proves_nothing(calls: Calls, tone: bytes) -> None:
    cut(calls, 1, tone)
    session = begin(calls, 2)
    hear(session, tone[: RATE // 4])
    assert session.lane == 2


def test_other_audio_is_another_stream(calls: Calls) -> None:
    cut(calls, 1, TALK)
    session = begin(calls, 2)
    hear(session, noise(12, seed=3))
    assert session.lane == 2
    assert session.matcher is None  # it is not looked for any more


def test_who_terminated_or_still_talks_has_no_successor(calls: Calls) -> None:
    done = begin(calls, 1)
    hear(done, TALK)
    done.over(1000, terminated=True)
    live = begin(calls, 2)
    hear(live, TALK)
    session = begin(calls, 3)
    hear(session, from_second(1))
    assert {done.lane, live.lane, session.lane} == {1, 2, 3}


def test_a_frozen_session_is_lost_though_it_is_open(calls: Calls) -> None:
    frozen = begin(calls, 1)
    hear(frozen, TALK)
    calls.struck(Applied(fault("freeze"), 1, 6000))
    session = begin(calls, 2)
    hear(session, from_second(2))
    assert session.lane == 1


def test_what_was_lost_long_ago_is_over(calls: Calls, clock: ManualClock) -> None:
    cut(calls, 1, TALK)
    clock.advance(calls_module.REJOIN_SECONDS + 1)
    session = begin(calls, 2)
    hear(session, from_second(1))
    assert session.lane == 2


def test_another_rate_is_another_stream(calls: Calls) -> None:
    cut(calls, 1, TALK)
    session = begin(calls, 2, rate=8000)
    hear(session, from_second(1))
    assert session.lane == 2


def test_the_end_of_a_long_session_is_found(calls: Calls) -> None:
    """What is kept of its audio is bounded; where it lies is not forgotten."""
    cut(calls, 1, silence(90) + TALK)
    session = begin(calls, 2)
    hear(session, from_second(4))
    assert (session.lane, session.offset_ms) == (1, 94_000)


def test_words_that_were_final_are_not_said_again(calls: Calls) -> None:
    first = begin(calls, 1)
    hear(first, TALK[: 4 * 2 * RATE])
    first.told(turn(0, ("one", 100, 400), ("two", 1200, 1500), final=True))
    first.told(turn(1, ("thr", 2900, 3000)))
    first.over(None, terminated=False)
    second = begin(calls, 2)
    hear(second, from_second(1))
    second.told(turn(0, ("two", 205, 500), ("three", 1900, 2300), final=True))
    assert calls.words(second, second.turns[0]) == [(1900, 2300, "three")]
    assert len(calls.words(first, first.turns[0])) == 2


def test_a_fault_says_how_its_session_ended(calls: Calls) -> None:
    session = begin(calls, 1)
    calls.struck(Applied(fault("garbage"), 1, 0))
    assert session.how == ""
    calls.struck(Applied(fault("reset"), 1, 0))
    session.over(None, terminated=False)
    calls.struck(Applied(fault("reset"), 7, 0))  # a connection without a session
    assert session.how == "reset"
    assert [(m.kind, m.text) for m in session.marks] == [
        ("fault", "garbage,at=begin,on=every"),
        ("fault", "reset,at=begin,on=every"),
        ("end", "reset"),
    ]


def test_sessions_that_are_over_are_forgotten_in_time(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_module, "MOST_OVER", 2)
    live = begin(calls, 1)
    for number in (2, 3, 4, 5):
        begin(calls, number).over(1000, terminated=True)
    assert list(calls.sessions) == [live.number, 4, 5]


def test_audio_is_kept_as_long_as_a_session_may_go_on(
    calls: Calls, clock: ManualClock
) -> None:
    lost, done = cut(calls, 1, TALK), begin(calls, 2)
    done.over(1000, terminated=True)
    assert lost.recording is not None
    assert done.recording is None
    clock.advance(calls_module.REJOIN_SECONDS + 1)
    begin(calls, 3).over(1000, terminated=True)
    assert lost.recording is None
