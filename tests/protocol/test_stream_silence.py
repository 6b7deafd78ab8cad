"""Silence in live calls: let go of when it was heard, left out if it had to wait."""

from __future__ import annotations

import numpy as np
import pytest

from aai_stream.messages import SilenceSkipped
from aai_stream.protocol.coverage import LEAD_SECONDS, OVERDUE_SECONDS
from aai_stream.protocol.hearing import MARGIN_SECONDS, SETTLED_SECONDS
from tests.audio import speech, to_samples
from tests.protocol.driver import CHUNK, RATE, Call
from tests.talks import turn


def live(call: Call, seconds: float, peak: float = 0) -> bytes:
    """Push audio as it is spoken, or silence; returns it."""
    audio = speech(seconds, peak)
    for start in range(0, len(audio), 2 * CHUNK):
        call.write(audio[start : start + 2 * CHUNK])
        call.run(CHUNK / RATE)
    return audio


def a_call() -> Call:
    return Call(replay_seconds=600, catch_up_rate=1.25)


def late_seconds(call: Call) -> float:
    return (call.ring.written - call.ring.sent) / RATE


def skipped(call: Call) -> list[tuple[int, int]]:
    return [(one.start_ms, one.end_ms) for one in call.all(SilenceSkipped)]


# ---- what was heard ----


def test_silence_is_let_go_of_when_a_session_has_surely_heard_it() -> None:
    call = a_call()
    peer = call.open()
    for _ in range(20):
        call.write(bytes(2 * RATE))
        call.run(1)
    kept = (call.ring.sent - call.ring.acked) / RATE
    # What has settled is known by the second.
    assert 0 <= kept - SETTLED_SECONDS - MARGIN_SECONDS <= 2
    # Of a server that has said nothing meanwhile, nothing is known.
    acked = call.ring.acked
    peer.silent_seconds = 4.0
    for _ in range(4):
        call.write(bytes(2 * RATE))
        call.run(1)
        peer.silent_seconds += 1
        assert call.ring.acked == acked
    # To the next session all of it is new.
    peer.cut()
    peer = call.open()
    assert peer.session.timeline.to_stream_ms(0) == acked * 1000 // RATE
    live(call, 1)
    assert call.ring.acked == acked


def test_not_while_a_turn_is_open() -> None:
    call = a_call()
    call.open().say(turn(0, ("a", 0, 300)))
    live(call, 15)
    assert call.ring.acked == 0


def test_a_word_that_was_flushed_is_a_sound() -> None:
    call = a_call()
    peer = call.open()
    live(call, 10)
    call.write(speech(0.025, 5000))
    call.flush()
    live(call, 20)
    assert 0 < call.ring.acked <= 10 * RATE
    assert not call.protocol.coverage.is_calm()
    peer.cut()
    peer = call.open()
    live(call, 0.5)
    assert any(peer.audio)


def test_a_turn_that_does_not_end_is_given_up() -> None:
    call = a_call()
    peer = call.open()
    live(call, 2, 5000)
    peer.say(turn(0, ("a", 0, 1900)))
    live(call, OVERDUE_SECONDS + SETTLED_SECONDS + MARGIN_SECONDS - 1)
    assert not peer.is_closed
    live(call, 3)
    assert peer.is_closed


# ---- what had to wait ----


def test_a_connection_that_breaks_in_a_silence_makes_nobody_late() -> None:
    call = a_call()
    peer = call.open()
    live(call, 60)
    peer.cut()
    live(call, 10)
    call.open()
    # A burst of one second, then what leads to a sound that may come.
    assert late_seconds(call) <= LEAD_SECONDS
    ((start, end),) = skipped(call)
    assert 51_000 <= start <= 60_000
    assert end == 70_000 - 1000 * LEAD_SECONDS
    live(call, 4)
    assert late_seconds(call) < 0.05
    assert len(skipped(call)) == 1


def test_of_speech_that_waited_only_long_silence_is_left_out() -> None:
    call = a_call()
    parts = ((4, 0), (1, 90), (2.5, 0), (1, 90), (7, 0), (1, 90))
    audio = b"".join(live(call, seconds, peak) for seconds, peak in parts)
    peer = call.open()
    audio += live(call, 13)  # it takes a while
    expected = [(1050, 3500), (10_500, 15_000), (18_500, 24_400)]
    for found, span in zip(skipped(call), expected, strict=True):
        assert found == pytest.approx(span, abs=60)
    # All else was sent, as it was.
    left_out = np.zeros(len(audio) // 2, bool)
    for one in call.all(SilenceSkipped):
        left_out[one.start_sample : one.end_sample] = True
    rest = to_samples(np.frombuffer(audio, np.int16)[~left_out].tobytes())
    assert peer.audio == rest[: len(peer.audio)]
    assert len(rest) - len(peer.audio) < CHUNK
