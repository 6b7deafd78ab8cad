"""Which audio is needed no more, and where the next session begins."""

from __future__ import annotations

import pytest

from aai_stream._core import AudioRing
from aai_stream.messages import AudioLost, SilenceSkipped
from aai_stream.protocol.coverage import (
    KEPT_SECONDS,
    LEAD_SECONDS,
    MOST_SECONDS,
    MOVED_MS,
    OVERDUE_SECONDS,
    Coverage,
)
from aai_stream.protocol.gaps import Told
from tests.audio import hum, speech

RATE = 16_000


class Call:
    """Audio that was all sent to a session, unless it `waits`."""

    def __init__(self, *parts: bytes, waits: bool = False) -> None:
        self.ring = AudioRing(replay_seconds=600)
        self.told: list[Told] = []
        self.coverage = Coverage(self.ring, self.told)
        for part in parts:
            self.ring.write(part, RATE)
        if not waits:
            self.ring.flush(min_ms=0)

    def final(self, start: float, end: float, forced: float | None = None) -> None:
        at = None if forced is None else round(forced * RATE)
        self.coverage.take_final(round(start * RATE), round(end * RATE), at)

    def settle(self, seconds: float) -> float:
        self.coverage.settle(round(seconds * RATE))
        return self.ring.acked / RATE

    @property
    def resumes_at(self) -> float:
        return self.coverage.resume() / RATE

    @property
    def lost(self) -> list[tuple[int, int]]:
        assert all(isinstance(event, AudioLost) for event in self.told)
        return [(e.start_ms, e.end_ms) for e in self.told]  # type: ignore[union-attr]


TALK = speech(2, 5000), hum(2, 5)


# ---- where the next session begins ----


def test_behind_the_last_word_of_a_final() -> None:
    call = Call(*TALK)
    assert call.resumes_at == 0
    call.final(0.1, 2)
    assert call.resumes_at == pytest.approx(2, abs=0.01)


def test_behind_its_sound_where_the_final_is_early() -> None:
    call = Call(*TALK)
    call.final(0.1, 1.9)
    assert call.ring.acked == 1.9 * RATE
    assert call.resumes_at == pytest.approx(2, abs=0.02)


def test_right_there_where_the_turn_was_cut_off() -> None:
    """At its longest, in the middle of speech: what sounds on may be a word."""
    call = Call(speech(12, 5000), hum(2, 5))
    call.final(0.1, 11.9)
    assert call.resumes_at == 11.9


def test_no_further_than_where_it_was_ended_by_force() -> None:
    call = Call(*TALK)
    call.final(0.1, 1.85, forced=1.9)
    assert call.resumes_at == 1.9


def test_a_final_that_comes_late_moves_nothing_back() -> None:
    call = Call(*TALK)
    call.final(0.1, 2)
    call.final(0.1, 1)
    assert call.ring.acked == 2 * RATE


def test_a_final_without_words_ends_at_a_pause() -> None:
    call = Call(hum(1, 5), *TALK, *TALK)
    call.coverage.take_final_without_words()
    assert call.resumes_at == pytest.approx(3, abs=0.05)
    call.coverage.take_final_without_words()
    assert call.resumes_at == pytest.approx(7, abs=0.05)


def test_or_nowhere_if_there_is_none() -> None:
    call = Call(speech(3, 5000))
    call.coverage.take_final_without_words()
    assert call.resumes_at == 0


# ---- silence that was heard ----


@pytest.mark.parametrize("rms", [0, 18, 300])
def test_is_let_go_of(rms: float) -> None:
    call = Call(hum(30, rms))
    assert call.settle(20) == 20
    assert call.lost == []


def test_but_not_the_last_of_it_before_a_sound() -> None:
    call = Call(hum(10, 18), speech(1, 100), hum(10, 18))
    assert call.settle(21) == pytest.approx(10 - LEAD_SECONDS, abs=0.05)
    assert call.settle(21) == pytest.approx(10 - LEAD_SECONDS, abs=0.05)
    call.final(10, 11)
    assert call.settle(20) == 20


def test_nor_speech_however_soft() -> None:
    assert Call(speech(30, 50)).settle(25) == 0


def test_a_session_that_has_expired_has_heard_everything() -> None:
    call = Call(speech(30, 5000))
    call.coverage.expire(20 * RATE)
    assert call.resumes_at == 20
    call.coverage.expire(10 * RATE)
    assert call.resumes_at == 20


# ---- silence that waits ----


def skipped(call: Call, session_start: float) -> tuple[float, float] | None:
    if not call.coverage.pass_over_silence(round(session_start * RATE)):
        assert call.told == []
        return None
    (event,) = call.told
    assert isinstance(event, SilenceSkipped)
    assert event.end_sample == call.ring.sent
    return event.start_ms / 1000, event.end_ms / 1000


def test_is_passed_over_up_to_the_next_sound() -> None:
    call = Call(hum(10, 18), speech(1, 100), waits=True)
    assert skipped(call, 0) == pytest.approx((0, 10 - LEAD_SECONDS), abs=0.05)


def test_is_passed_over_up_to_now() -> None:
    assert skipped(Call(bytes(20 * RATE), waits=True), 0) == (0, 10 - LEAD_SECONDS)


@pytest.mark.parametrize("peak", [50, 100, 5000])
def test_speech_is_not(peak: float) -> None:
    assert skipped(Call(speech(20, peak), waits=True), 0) is None


def test_what_is_short_proves_nothing() -> None:
    assert skipped(Call(hum(2.9, 18), speech(1, 100), waits=True), 0) is None


def test_where_little_is_left_it_is_sent() -> None:
    call = Call(hum(10, 18), speech(1, 100), waits=True)
    while call.ring.sent < (10 - 1.9 * LEAD_SECONDS) * RATE:
        call.ring.next_chunk()
    assert skipped(call, 0) is None


def test_what_ends_a_turn_is_sent() -> None:
    call = Call(speech(2, 5000), hum(10, 18), waits=True)
    while call.ring.sent < (2 + KEPT_SECONDS) * RATE:
        assert skipped(call, 0) is None
        call.ring.next_chunk()
    while (found := skipped(call, 0)) is None:  # the sound's end is not quite there
        call.ring.next_chunk()
    assert found[0] == pytest.approx(2 + KEPT_SECONDS, abs=0.1)
    # To a session that begins in it, it ends none.
    call = Call(speech(2, 5000), hum(10, 18), waits=True)
    call.ring.flush()
    call.ring.rewind(round(2.1 * RATE))
    assert skipped(call, 2.1) == (2.1, 12 - LEAD_SECONDS)


def test_what_a_lost_session_had_a_turn_open_over_is_not() -> None:
    call = Call(bytes(40 * RATE))
    call.coverage.leave_unfinished((RATE, 2 * RATE))
    call.ring.rewind(0)
    assert skipped(call, 0) is None


# ---- turns that lost sessions left open ----


def left_open(words: tuple[float, float] | None = (1, 2)) -> Call:
    call = Call(hum(30, 5))
    span = None if words is None else (round(words[0] * RATE), round(words[1] * RATE))
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


def test_they_are_told_once() -> None:
    call = left_open()
    # By the session that left it open as well.
    lost = AudioLost(
        start_sample=0, end_sample=2 * RATE, start_ms=0, end_ms=2000, why=""
    )
    call.coverage.take_lost(lost)
    assert not call.coverage.has_unfinished
    call.settle(30)
    assert call.lost == []


def test_what_finals_cover_is_not_lost() -> None:
    call = Call(*TALK)
    call.final(0, 0.5)
    end = RATE + 1
    lost = AudioLost(start_sample=0, end_sample=end, start_ms=0, end_ms=1001, why="")
    call.coverage.take_lost(lost)
    assert (lost.start_sample, lost.start_ms) == (RATE // 2, 500)
    assert (lost.end_sample, lost.end_ms) == (end, 1001)  # none of it is left out


def test_speech_that_only_began_holds_nothing_for_ever() -> None:
    call = left_open(None)
    assert call.settle(29.9) == 0
    assert call.settle(30) > 20
    assert call.lost == []


# ---- turns that don't end ----


def test_a_turn_ends_in_silence() -> None:
    call = Call(speech(5, 5000), hum(30, 18))
    news = 6 * RATE
    until = 6 + OVERDUE_SECONDS
    assert not call.coverage.is_overdue(round((until - 0.1) * RATE), news)
    assert call.coverage.is_overdue(round((until + 0.1) * RATE), news)


def test_in_no_silence_that_began_before_the_sound_was_over() -> None:
    call = Call(speech(5, 5000), hum(30, 18))
    until = 5 + OVERDUE_SECONDS  # though it was told of a while before
    assert not call.coverage.is_overdue(round((until - 0.1) * RATE), 2 * RATE)
    assert call.coverage.is_overdue(round((until + 0.1) * RATE), 2 * RATE)


def test_or_when_it_is_longer_than_any() -> None:
    call = Call(speech(100, 5000))
    assert not call.coverage.is_overdue(round((MOST_SECONDS + 2) * RATE), 3 * RATE)
    assert call.coverage.is_overdue(round((MOST_SECONDS + 4) * RATE), 3 * RATE)


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
