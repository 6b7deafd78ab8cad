"""Which audio is needed no more, and where the next session begins."""

from __future__ import annotations

import pytest

from aai_stream._core import AudioRing
from aai_stream.messages import AudioLost, SilenceSkipped
from aai_stream.protocol.coverage import (
    KEPT_SECONDS,
    LATE_SECONDS,
    LEAD_SECONDS,
    Coverage,
)
from aai_stream.protocol.events import Told
from tests.audio import hum, speech

RATE = 16_000


class Call:
    """Audio that was all sent to a session, unless it `waits`."""

    def __init__(
        self, *parts: bytes, waits: bool = False, replay_seconds: float = 600
    ) -> None:
        self.ring = AudioRing(replay_seconds=replay_seconds)
        self.told: list[Told] = []
        self.coverage = Coverage(self.ring, self.told)
        for part in parts:
            self.ring.write(part, RATE)
        if not waits:
            self.ring.flush(min_ms=0)

    def final(self, start: float, end: float, forced: float | None = None) -> None:
        at = None if forced is None else round(forced * RATE)
        lasted_ms = round(1000 * (end - start))
        self.coverage.take_final(round(end * RATE), lasted_ms, at)

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


def test_also_where_it_is_to_be_ended_by_force_later_on() -> None:
    call = Call(speech(12, 5000), hum(2, 5))
    call.final(0.1, 11.9, forced=13)
    assert call.resumes_at == 11.9


def test_right_there_where_the_sound_goes_on_behind_a_forced_end() -> None:
    """The next turn's word has begun."""
    call = Call(*TALK)
    call.final(0.1, 1.85, forced=1.9)
    assert call.resumes_at == 1.85


def test_behind_its_sound_where_that_ends_before_the_forced_end() -> None:
    call = Call(*TALK)
    call.final(0.1, 1.85, forced=2.1)
    assert call.resumes_at == pytest.approx(2, abs=0.02)


def test_right_there_where_something_else_covers_more() -> None:
    call = Call(*TALK, *TALK)
    call.final(0.1, 1.9)
    call.coverage.gaps.cover(round(5.9 * RATE))  # where another word sounds on
    assert call.resumes_at == 5.9


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


def test_nor_where_older_audio_has_no_final_yet() -> None:
    """It can't be sent again, but the present session may still speak of it."""
    call = Call(speech(5, 5000), replay_seconds=10)
    for second in range(12):
        call.ring.write(hum(1, 18, seed=second), RATE)
        call.ring.flush(min_ms=0)
    assert call.settle(17) == 7
    assert call.coverage.gaps.has_hole
    call.final(0.1, 7.1)
    assert call.settle(17) > 15
    assert call.told == []


def test_nor_speech_however_soft() -> None:
    assert Call(speech(30, 50)).settle(25) == 0


def test_a_session_that_has_expired_has_heard_everything() -> None:
    """But for what its last turns, which may be late, would have told."""
    call = Call(speech(30, 5000))
    call.coverage.expire(20 * RATE)
    assert call.resumes_at == 20 - LATE_SECONDS
    call.coverage.expire(10 * RATE)
    assert call.resumes_at == 20 - LATE_SECONDS


def test_what_the_server_calls_silence_covers_the_sound_of_the_last_word() -> None:
    call = Call(*TALK)
    call.final(0.1, 1.8)
    call.coverage.take_silence(round(1.95 * RATE))
    assert call.resumes_at == pytest.approx(2, abs=0.02)


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
    call.coverage.leave_unfinished((1000, 2000))
    call.ring.rewind(0)
    assert skipped(call, 0) is None
