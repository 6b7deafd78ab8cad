"""Turns that sessions left open, and when all is told."""

from __future__ import annotations

import math

import pytest

from aai_stream._core import AudioRing
from aai_stream.messages import AudioLost
from aai_stream.protocol.coverage import (
    OVERDUE_SECONDS,
    Coverage,
)
from aai_stream.protocol.events import LostTurn
from aai_stream.protocol.silence import CLICK_MS
from aai_stream.protocol.turns import MOST_SECONDS, MOVED_MS
from tests.audio import hum, speech
from tests.protocol.test_coverage import RATE, TALK, Call

# ---- turns that lost sessions left open ----


def left_open(words: tuple[float, float] | None = (1, 2)) -> Call:
    call = Call(hum(30, 5))
    span = None if words is None else (round(words[0] * 1000), round(words[1] * 1000))
    call.coverage.leave_unfinished(span)
    assert call.coverage.has_unfinished
    return call


def test_a_final_of_another_session_ends_it() -> None:
    call = left_open()
    call.final(1, 1.8)  # words move a little
    assert not call.coverage.has_unfinished
    assert call.settle(30) > 20
    assert call.lost == []


def test_a_final_of_a_part_does_not() -> None:
    call = left_open((1, 6))
    call.final(1, 2)
    assert call.coverage.has_unfinished
    call.final(3, 6)
    assert not call.coverage.has_unfinished


def test_words_that_no_other_session_hears_are_told_as_lost() -> None:
    call = left_open()
    assert call.settle(29.9) == 0  # it may still speak of them
    assert call.settle(30) > 20
    assert call.lost == [(0, 2000 + MOVED_MS)]  # they may have moved
    assert not call.coverage.has_unfinished


def test_a_part_of_them_likewise() -> None:
    call = left_open((1, 6))
    call.final(1, 2)
    call.settle(30)
    assert call.lost == [(2000, 6000 + MOVED_MS)]


def test_no_more_of_them_is_lost_than_was_sent() -> None:
    call = left_open((28, 29.5))
    call.settle(30)
    assert call.lost == [(28_000 - MOVED_MS, 30_000)]


def test_they_are_remembered_though_the_next_session_tells_none() -> None:
    call = left_open()
    call.coverage.leave_unfinished(None)
    call.settle(30)
    assert call.lost == [(0, 2000 + MOVED_MS)]


def test_they_are_waited_for_though_the_next_session_is_lost_sooner() -> None:
    call = left_open()
    call.ring.rewind(0)
    while call.ring.sent < 10 * RATE:
        call.ring.next_chunk()
    call.coverage.leave_unfinished(None)
    call.ring.flush(min_ms=0)  # the one after that hears all
    assert call.settle(29.9) == 0
    assert call.settle(30) > 20


def test_those_that_were_taken_for_silence_can_not_be_heard_again() -> None:
    """A soft speaker, of whom the server told late."""
    call = Call(speech(1, 5000), hum(20, 18))
    call.final(0, 1)
    assert call.settle(10) == 10
    call.coverage.leave_unfinished((9500, 11_000))  # where it is may be wrong
    assert call.told == []
    call.coverage.leave_unfinished((6000, 11_000))
    assert call.lost == [(6000, 10_000)]


def test_they_are_told_once() -> None:
    call = left_open()
    # By the session that left it open as well.
    call.coverage.take_lost(LostTurn(0, 2000, (1000, 2000)))
    assert not call.coverage.has_unfinished
    assert call.lost == [(0, 2000)]
    call.settle(30)
    assert call.lost == [(0, 2000)]


def test_those_of_two_sessions_are_lost_together() -> None:
    call = left_open((3, 4))
    call.coverage.leave_unfinished((6000, 7000))
    call.settle(30)
    assert call.lost == [(3000 - MOVED_MS, 7000 + MOVED_MS)]


def test_speech_that_only_began_holds_nothing_for_ever() -> None:
    call = left_open(None)
    assert call.settle(29.9) == 0
    assert call.settle(30) > 20
    assert call.lost == []


# ---- turns that a session was never told the end of ----


def lost_in(call: Call, turn: LostTurn) -> tuple[int, int]:
    call.coverage.take_lost(turn)
    (event,) = call.told
    assert isinstance(event, AudioLost)
    assert event.why == "the server never ended this turn"
    assert (event.start_sample, event.end_sample) == (
        event.start_ms * RATE // 1000,
        event.end_ms * RATE // 1000,
    )
    return event.start_ms, event.end_ms


def test_what_finals_cover_is_not_lost() -> None:
    call = Call(*TALK)
    call.final(0, 0.5)
    assert lost_in(call, LostTurn(0, 1001, None)) == (500, 1001)


def test_nor_what_they_cover_alone() -> None:
    call = Call(*TALK)
    call.final(0, 1.5)
    call.coverage.take_lost(LostTurn(0, 1001, (500, 900)))
    assert call.told == []


def test_nor_the_silence_around_it() -> None:
    call = Call(hum(5, 18), speech(1, 5000), hum(5, 18))
    start_ms, end_ms = lost_in(call, LostTurn(0, 10_500, None))
    assert start_ms == pytest.approx(5000 - CLICK_MS, abs=5)
    assert end_ms == pytest.approx(6000, abs=50)


def test_unless_words_were_told_there() -> None:
    call = Call(hum(5, 18), speech(1, 5000), hum(5, 18))
    found = lost_in(call, LostTurn(0, 10_500, (3000, 7000)))
    assert found == (3000 - MOVED_MS, 7000 + MOVED_MS)


def test_also_where_it_was_taken_for_silence_meanwhile() -> None:
    """A soft speaker, of whom the server tells late."""
    call = Call(speech(1, 5000), hum(20, 18))
    call.final(0, 1)
    assert call.settle(10) == 10
    found = lost_in(call, LostTurn(1000, 12_000, (6000, 7000)))
    assert found == (6000 - MOVED_MS, 7000 + MOVED_MS)


def test_and_where_it_was_taken_for_the_sound_of_the_word_before() -> None:
    call = Call(*TALK)
    call.final(0, 1.9)
    assert call.resumes_at > 1.9
    start_ms, _ = lost_in(call, LostTurn(1900, 3000, (1950, 2200)))
    assert start_ms == 1900


def test_where_nothing_but_silence_may_be_lost_none_is() -> None:
    call = Call(hum(11, 18))
    call.coverage.take_lost(LostTurn(0, 10_500, None))
    assert call.told == []


# ---- turns that don't end ----


def test_a_turn_ends_in_silence() -> None:
    call = Call(speech(5, 5000), hum(30, 18))
    call.ring.rewind(6 * RATE)
    call.coverage.take_news()
    until = 6 + OVERDUE_SECONDS
    assert call.coverage.overdue_before(round((until - 0.1) * RATE)) < math.inf
    assert call.coverage.overdue_before(round((until + 0.1) * RATE)) == math.inf


def test_in_no_silence_that_began_before_the_sound_was_over() -> None:
    call = Call(speech(5, 5000), hum(30, 18))
    call.ring.rewind(2 * RATE)
    call.coverage.take_news()
    until = 5 + OVERDUE_SECONDS  # though it was told of a while before
    assert call.coverage.overdue_before(round((until - 0.1) * RATE)) < math.inf
    assert call.coverage.overdue_before(round((until + 0.1) * RATE)) == math.inf


def test_or_when_it_is_longer_than_any() -> None:
    call = Call(speech(100, 5000))
    call.ring.rewind(3 * RATE)
    call.coverage.take_news()
    assert call.coverage.overdue_before(round((MOST_SECONDS + 2) * RATE)) < math.inf
    assert call.coverage.overdue_before(round((MOST_SECONDS + 4) * RATE)) == math.inf


def test_and_so_is_one_that_began_so_long_ago() -> None:
    """Though its session tells of later ones."""
    call = Call(speech(100, 5000))
    call.coverage.take_news()
    assert call.coverage.overdue_before(90 * RATE) == 1000 * (90 - MOST_SECONDS)


# ---- the end ----


def test_all_is_told_when_finals_cover_all_speech() -> None:
    call = Call(*TALK)
    call.coverage.input_ended = True
    assert not call.coverage.is_complete()
    call.final(0.1, 2)
    assert call.coverage.is_complete()
    assert call.coverage.is_calm()


def test_also_where_the_audio_ends_with_the_last_word() -> None:
    call = Call(speech(2, 5000))
    call.final(0.1, 1.9)
    assert not call.coverage.is_complete()  # it may go on
    call.coverage.input_ended = True
    assert call.coverage.is_complete()


def test_a_soft_word_is_speech() -> None:
    call = Call(*TALK, speech(0.5, 60), hum(1, 5))
    call.coverage.input_ended = True
    call.final(0.1, 2)
    assert not call.coverage.is_complete()


def test_and_so_is_what_a_lost_session_had_begun() -> None:
    call = left_open((1, 2))
    call.coverage.input_ended = True
    assert not call.coverage.is_complete()


def test_how_long_there_has_been_silence() -> None:
    assert Call(*TALK).coverage.silent_seconds == 0  # two seconds prove nothing
    call = Call(speech(2, 5000), hum(12, 5))
    assert call.coverage.silent_seconds == pytest.approx(12, abs=0.05)
    assert Call().coverage.silent_seconds == 0


def test_what_the_resampler_holds_is_let_out() -> None:
    ring = AudioRing()
    ring.write(bytes(2 * 24_000), 24_000)
    assert ring.written < RATE
    Coverage(ring, []).finish_writing()
    assert ring.written == RATE
