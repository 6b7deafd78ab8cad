"""The end of a stream: the tail, Terminate, and sessions that don't let it end."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from aai_stream.errors import (
    DroppedError,
    EndedError,
    RejectedError,
    TimedOutError,
    UnfinishedError,
)
from aai_stream.messages import AudioLost, Begin, Termination
from aai_stream.protocol.events import Level, Note, Retry
from aai_stream.protocol.stream import END_RETRIES, StreamState
from tests.audio import hum, speech
from tests.protocol.driver import (
    CHUNK,
    PER_MS,
    RATE,
    Call,
    Peer,
    heard_from,
    numbers,
)
from tests.talks import final, turn


def lost_at_end(call: Call, peer: Peer) -> None:
    """Break the connection when Terminate has come."""
    assert peer.asked == ["Terminate"]
    peer.cut()


# ---- as it should be ----


def test_the_tail_is_sent_then_terminate_and_termination_ends_it() -> None:
    call = Call()
    peer = call.open()
    call.push(900)
    call.end()
    assert peer.audio == numbers(1, 900) + [0] * 700
    assert peer.seen[-1] == {"type": "Terminate"}
    assert not call.protocol.is_over
    peer.say(final(0, ("Hello.", 0, 50)))
    peer.finish(audio_duration_seconds=0.1)
    assert call.protocol.state is StreamState.ENDED
    assert call.protocol.failure is None
    assert call.protocol.deadline == math.inf
    assert len(call.turns) == 1
    assert isinstance(call.told[-1], Termination)
    assert call.protocol.session is not None
    assert call.protocol.session.termination is call.told[-1]
    assert peer.is_closed
    assert call.waits == []


def test_it_ends_once() -> None:
    call = Call()
    peer = call.open()
    call.end()
    call.end()
    peer.finish()
    call.end()
    call.close()
    assert peer.asked == ["Terminate"]
    assert call.protocol.state is StreamState.ENDED


def test_terminate_waits_for_the_audio() -> None:
    call = Call(catch_up_rate=2.0)
    peer = call.open()
    call.push(3 * RATE)
    call.end()
    assert peer.asked == []
    call.run(5)
    assert peer.audio == numbers(1, 3 * RATE)
    assert peer.seen[-1] == {"type": "Terminate"}


def test_what_the_server_counted_otherwise_is_logged() -> None:
    call = Call()
    peer = call.open()
    call.push(5 * RATE)
    call.end()
    peer.finish(audio_duration_seconds=8)
    text = "session session-1 was sent 5.00 s of audio, the server counted 8.00 s"
    assert Note(Level.WARNING, text, "session-1") in call.notes


# ---- the server says nothing, or takes nothing ----


def test_silence_of_the_server_is_no_matter_where_every_word_is_final() -> None:
    call = Call()
    peer = call.open()
    call.end()
    call.run(19.9)
    assert not call.protocol.is_over
    call.run(0.2)
    assert call.protocol.state is StreamState.ENDED
    assert peer.is_closed
    assert call.protocol.session is not None
    assert call.protocol.session.termination is None
    assert call.notes[-1].level is Level.WARNING
    assert call.notes[-1].text.endswith("20 s, but nothing is left to be heard")
    assert [type(event) for event in call.told] == [Begin]


def test_two_sessions_that_do_not_end_are_enough() -> None:
    call = Call(max_retries=10)
    call.push(RATE)
    call.open()
    call.end()
    call.run(30)
    (retry,) = call.all(Retry)
    assert isinstance(retry.failure, UnfinishedError)
    assert call.peer.is_connected is False
    call.open()
    call.run(30)
    assert isinstance(call.protocol.failure, UnfinishedError)
    assert len(call.peers) == 2
    (lost,) = call.all(AudioLost)
    assert (lost.start_sample, lost.end_sample) == (0, RATE)


def test_but_not_if_something_else_came_between() -> None:
    call = Call()
    call.push(RATE)
    call.open()
    call.end()
    call.run(30)
    call.open().cut()
    call.open()
    call.run(30)
    assert not call.protocol.is_over
    call.open().finish()
    assert call.protocol.state is StreamState.ENDED


def test_a_server_may_take_its_time_as_long_as_its_turns_get_on() -> None:
    call = Call()
    call.push(10 * RATE)
    peer = call.open()
    call.end()
    call.run(10)
    for end_ms in (2000, 4000, 6000, 8000):
        call.run(19)
        peer.say(turn(0, ("a", 0, end_ms)))
    assert not peer.is_closed
    call.run(19)
    peer.say(turn(0, ("a", 0, 8000)))  # that is nothing new
    call.run(2)
    assert peer.is_closed


def test_a_server_that_takes_nothing() -> None:
    call = Call()
    peer = call.open()
    peer.has_room = False
    call.push(1600)
    call.end()
    call.run(19.9)
    assert call.waits == []
    call.run(0.1)
    (retry,) = call.all(Retry)
    assert type(retry.failure) is TimedOutError
    assert str(retry.failure) == "the server took no audio for 20 s"
    second = call.ask()
    second.has_room = False
    second.connect().begin()
    call.run(19.9)
    assert len(call.waits) == 1
    call.run(0.1)
    assert len(call.waits) == 2
    assert call.open().audio == numbers(1, 1600)


def test_a_server_that_takes_little_is_waited_for() -> None:
    call = Call()
    peer = call.open()
    peer.has_room = False
    call.push(4 * CHUNK)
    call.end()
    for _ in range(4):
        call.run(15)
        message = call.protocol.next_message(call.now, has_room=True)
        assert message is not None
        peer.take(message)
    call.settle()
    assert call.waits == []
    assert peer.audio == numbers(1, 4 * CHUNK)
    assert peer.asked == ["Terminate"]


# ---- sessions are lost meanwhile ----


def test_a_session_that_is_lost_by_the_end_is_replaced() -> None:
    call = Call()
    call.push(RATE)
    call.open()
    call.end()
    for _ in range(2):
        lost_at_end(call, call.peer)
        call.open()
    call.peer.finish()
    assert [peer.audio for peer in call.peers] == [numbers(1, RATE)] * 3
    assert call.protocol.state is StreamState.ENDED
    assert call.protocol.session is not None
    assert call.protocol.session.termination is not None


@pytest.mark.parametrize(("asked", "most"), [(3, 3), (1000, END_RETRIES)])
def test_but_not_for_ever(asked: int, most: int) -> None:
    call = Call(max_retries=asked)
    call.push(RATE)
    call.open()
    call.end()
    while not call.protocol.is_over:
        lost_at_end(call, call.peer)
        if not call.protocol.is_over:
            call.open()
    assert isinstance(call.protocol.failure, DroppedError)
    assert f"gave up after {most + 1} " in str(call.protocol.failure)
    assert len(call.peers) == most + 1


def test_a_session_that_closes_without_a_termination_is_lost() -> None:
    call = Call()
    call.push(RATE)
    peer = call.open()
    call.end()
    peer.close(1000)
    (retry,) = call.all(Retry)
    assert str(retry.failure) == "the session ended without a Termination"


@pytest.mark.parametrize(
    "audio_ends",
    [
        "in a pause",
        "with the last word",
    ],
)
def test_a_loss_is_no_matter_where_every_word_is_final(audio_ends: str) -> None:
    call = Call()
    peer = call.open()
    call.write(hum(1, 5) + speech(2, 5000))
    if audio_ends == "in a pause":
        call.write(hum(2, 5))
    peer.say(final(0, ("a", 1000, 2900)))  # its sound goes on for a bit
    call.end()
    peer.close(1011)
    assert call.protocol.state is StreamState.ENDED
    assert call.notes[-1].text.endswith("code 1011, but nothing is left to be heard")
    assert call.waits == []


def test_likewise_if_it_was_lost_before_the_end() -> None:
    call = Call()
    peer = call.open()
    call.write(hum(1, 5) + speech(2, 5000) + hum(2, 5))
    peer.say(final(0, ("a", 1000, 3000)))
    peer.close(1011)
    call.end()
    assert call.protocol.state is StreamState.ENDED
    text = "the connection was lost, but nothing is left to be heard"
    assert call.notes[-1] == Note(Level.WARNING, text, "session-1")
    assert not call.is_asking


def test_what_was_too_long_ago_is_told_where_only_silence_is_left() -> None:
    call = Call(replay_seconds=4)
    peer = call.open()
    call.write(speech(2, 5000))  # which the server says nothing of
    peer.cut()
    call.write(hum(6, 5))
    call.end()
    assert call.protocol.state is StreamState.ENDED
    lost = [(gap.start_ms, gap.end_ms) for gap in call.all(AudioLost)]
    assert sorted(lost) == [(0, 2000), (2000, 4000)]


def test_ending_while_it_reconnects() -> None:
    call = Call()
    first = call.open()
    call.push(RATE + 100)
    first.say(final(0, ("a", 0, 100)))
    first.cut()
    second = call.ask()
    call.end()
    assert not call.protocol.is_over
    second.connect().begin()
    assert heard_from(second, 100 * PER_MS + 1, RATE + 100)
    second.finish()
    assert call.protocol.state is StreamState.ENDED
    assert isinstance(call.told[-1], Termination)
    assert call.stats.sent_samples == call.stats.written_samples


MEANWHILE: dict[str, Callable[[Call], object]] = {
    "before it waits": lambda call: None,
    "while it waits": lambda call: call.run(0.05),
    "while it opens": Call.ask,
}


@pytest.mark.parametrize("when", MEANWHILE)
def test_ending_when_two_sessions_die_at_once(when: str) -> None:
    """The second as it begins."""
    call = Call()
    call.push(RATE)
    call.open().close(3005)
    MEANWHILE[when](call)
    call.end()
    call.open().close(3005)
    assert heard_from(call.open(), 1, RATE)
    call.peer.finish()
    assert call.protocol.state is StreamState.ENDED


def test_the_end_comes_within_bounds() -> None:
    call = Call()
    call.push(RATE)
    call.open().cut()
    call.end()
    call.ask().refuse(DroppedError("HTTP 503", code=503, retry_after=86_400))
    assert max(call.waits) < 3600


# ---- the server ends it on its own ----


def test_a_termination_that_nobody_asked_for() -> None:
    call = Call()
    peer = call.open()
    call.push(RATE)
    peer.say({"type": "Termination"})
    assert isinstance(call.protocol.failure, EndedError)
    assert str(call.protocol.failure) == "the server ended the session"
    assert isinstance(call.all(Termination)[0], Termination)
    assert peer.is_closed  # which the server may have forgotten
    (lost,) = call.all(AudioLost)
    assert (lost.start_sample, lost.end_sample) == (0, RATE)


def test_a_session_that_is_closed_for_inactivity() -> None:
    call = Call()
    call.open().close(3006, "Session ended: inactivity timeout")
    assert isinstance(call.protocol.failure, EndedError)


def test_a_host_that_hung_and_has_audio_goes_on_after_inactivity() -> None:
    call = Call(inactivity_timeout=20)
    peer = call.open()
    peer.has_room = False
    call.push(RATE)
    peer.close(3006, "Session ended: inactivity timeout")
    assert call.protocol.failure is None
    call.run(11)
    assert heard_from(call.open(), 1, RATE)


def test_a_stream_that_keeps_alive_goes_on_after_inactivity() -> None:
    call = Call(keeps_alive=True, inactivity_timeout=20)
    call.open().close(3006, "Session ended: inactivity timeout")
    assert call.protocol.failure is None
    call.run(11)
    peer = call.open()
    call.push(RATE)
    assert heard_from(peer, 1, RATE)


def test_bad_input_ends_a_stream_that_keeps_alive() -> None:
    call = Call(keeps_alive=True, inactivity_timeout=20)
    call.open().close(3006, "User Input Validation Error")
    assert isinstance(call.protocol.failure, RejectedError)


# ---- without a session ----


def test_ending_before_there_is_a_session_waits_for_one() -> None:
    call = Call()
    call.push(900)
    call.end()
    assert not call.protocol.is_over
    peer = call.open()
    assert heard_from(peer, 1, 900)
    peer.finish()
    assert call.protocol.state is StreamState.ENDED


def test_ending_what_is_over_changes_nothing() -> None:
    call = Call()
    call.close()
    call.end()
    assert call.protocol.state is StreamState.CLOSED
    assert call.told == []
