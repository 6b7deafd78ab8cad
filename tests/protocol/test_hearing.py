"""How far a server has surely heard, and had time to say what."""

from __future__ import annotations

from aai_stream.protocol.hearing import MARGIN_SECONDS, SETTLED_SECONDS, Hearing

RATE = 16_000


class Call:
    """A session whose audio is sent, and what time it is."""

    def __init__(self, start_seconds: int = 0) -> None:
        self.now = 1000.0
        self.sent = start_seconds * RATE
        self.hearing = Hearing(RATE, self.sent)

    def send(self, seconds: float, speed: float = 1.0) -> int:
        """Returns how often it was time to ask."""
        due = 0
        for _ in range(round(seconds * 20)):
            self.now += 0.05 / speed
            self.sent += RATE // 20
            due += self.hearing.sent(self.sent, self.now)
        return due

    def heard_seconds(self, silent_seconds: float = 0) -> float:
        """By a server that was last heard from so long ago."""
        return self.hearing.heard_until(self.now - silent_seconds) / RATE


def test_live_audio_settles() -> None:
    call = Call()
    assert call.send(20) == 20  # asked once a second
    behind = 20 - call.heard_seconds()
    assert 0 <= behind - SETTLED_SECONDS - MARGIN_SECONDS <= 1.1


def test_a_server_that_is_not_heard_from_has_heard_nothing_since() -> None:
    call = Call()
    call.send(20)
    before = call.heard_seconds()
    call.send(20)
    assert call.heard_seconds(silent_seconds=20) <= before + 1
    assert call.heard_seconds() >= before + 19


def test_what_is_sent_at_once_is_heard_no_faster_than_it_was_spoken() -> None:
    call = Call()
    call.send(60, speed=1e9)
    assert call.heard_seconds() == 0
    call.now += SETTLED_SECONDS + 6.5
    assert 3 <= call.heard_seconds() <= 6.5 - MARGIN_SECONDS
    call.now += 100
    assert call.heard_seconds() <= 60 - MARGIN_SECONDS


def test_a_pause_gives_a_server_no_time_to_catch_up_that_it_needs() -> None:
    call = Call()
    call.send(20, speed=2)  # which takes ten seconds
    call.now += 4
    call.send(20, speed=1)  # it is six seconds behind for all of it
    assert call.heard_seconds() <= 40 - 6 - SETTLED_SECONDS - MARGIN_SECONDS + 1


def test_what_is_left_out_takes_no_time() -> None:
    call = Call()
    call.send(5)
    call.sent += 60 * RATE
    call.hearing.skipped(60 * RATE)
    call.send(10)
    behind = 60 + 15 - call.heard_seconds()
    assert 0 <= behind - SETTLED_SECONDS - MARGIN_SECONDS <= 1.1


def test_to_another_session_all_is_new() -> None:
    call = Call()
    call.send(30)
    assert call.heard_seconds() > 20
    call.sent = 2 * RATE
    call.hearing = Hearing(RATE, call.sent)
    assert call.heard_seconds() == 0
    call.send(SETTLED_SECONDS)
    assert call.heard_seconds() == 0
    call.sent = 10 * RATE
    call.hearing = Hearing(RATE, call.sent)
    call.send(20)
    assert 11 <= call.heard_seconds() < 30 - SETTLED_SECONDS
    call.sent = 10 * RATE
    call.hearing = Hearing(RATE, call.sent)
    call.send(20, speed=1e9)
    call.now += SETTLED_SECONDS + 6.5
    assert 13 <= call.heard_seconds() <= 16.5 - MARGIN_SECONDS


def test_before_anything_is_sent_nothing_is_heard() -> None:
    assert Call().heard_seconds() == 0


def test_of_a_server_that_is_never_heard_from_ten_minutes_are_remembered() -> None:
    call = Call()
    call.send(700)
    assert call.heard_seconds(silent_seconds=700) == 0
    # Of the oldest minutes there is no mark that could settle.
    assert call.heard_seconds(silent_seconds=601) == 0
    assert call.heard_seconds(silent_seconds=500) > 190
