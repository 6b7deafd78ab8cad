"""What a stream needs no more: by finals, by silence, and what nobody will hear."""

from __future__ import annotations

import pytest

from aai_stream.messages import AudioLost, Silence, SilenceSkipped
from aai_stream.protocol.events import Retry
from tests.audio import hum, speech
from tests.protocol.driver import PER_MS, RATE, Call
from tests.talks import final, turn

# ---- finals ----


def test_a_first_unformatted_final_covers_nothing() -> None:
    call = Call(speech_model="universal-streaming-english", format_turns=True)
    peer = call.open()
    call.push(RATE)
    peer.say(turn(0, ("hello", 200, 700), end_of_turn=True))
    assert call.acked_ms == 0
    assert call.stats.turns == 0
    peer.say(final(0, ("hello", 200, 700)))
    assert call.acked_ms == 700
    assert call.stats.turns == 1


@pytest.mark.parametrize("end_ms", [-5, 10**9])
def test_a_final_that_can_not_be_covers_what_was_sent_at_most(end_ms: int) -> None:
    call = Call()
    peer = call.open()
    call.push(1600)
    peer.say(final(0, ("Hi", end_ms - 5, end_ms)))
    assert 0 <= call.ring.acked <= 1600
    assert call.stats.turns == 1


def test_a_partial_covers_nothing() -> None:
    call = Call()
    peer = call.open()
    call.push(RATE)
    peer.say(turn(0, ("a", 0, 900)))
    assert call.acked_ms == 0
    assert call.protocol.awaits_turn


def test_a_final_without_words_ends_at_a_pause() -> None:
    call = Call()
    peer = call.open()
    call.write(hum(1, 5) + speech(2, 5000) + hum(2, 5))
    peer.say({**final(0), "transcript": "something"})
    assert call.acked_ms == pytest.approx(3000, abs=50)
    assert call.stats.turns == 1


def test_one_without_text_either_is_no_turn() -> None:
    call = Call()
    peer = call.open()
    call.write(hum(1, 5) + speech(2, 5000) + hum(2, 5))
    peer.say(final(0))
    assert call.acked_ms == 0
    assert call.stats.turns == 0
    assert len(call.turns) == 1


def test_each_turn_counts_once() -> None:
    call = Call()
    peer = call.open()
    call.push(RATE)
    said = final(0, ("a", 0, 300)), final(1, ("b", 400, 500))
    peer.say(*said, *said)
    assert call.finals == ["a", "b"]
    assert call.stats.turns == 2


def test_turns_are_told_in_their_order() -> None:
    """A final waits for that of an earlier turn, but not for ever."""
    call = Call(max_retries=0)
    peer = call.open()
    call.push(RATE)
    peer.say(turn(0, ("a", 0, 300)), final(1, ("b", 400, 500)))
    assert call.finals == []
    call.run(0.9)
    peer.say(final(0, ("a", 0, 300)))
    assert call.finals == ["a", "b"]
    peer.say(turn(2, ("c", 600, 700)), final(3, ("d", 800, 900)))
    call.run(0.9)
    assert call.finals == ["a", "b"]
    call.run(0.2)
    assert call.finals == ["a", "b", "d"]


# ---- turns that never end ----


def test_a_session_that_leaves_a_turn_open_is_lost() -> None:
    """Another one shall hear it."""
    call = Call()
    first = call.open()
    call.push(RATE)
    first.say(turn(0, ("a", 0, 300)), final(1, ("b", 400, 500)))
    call.run(1.1)
    assert first.is_closed
    assert first.asked == ["Terminate"]
    assert str(call.all(Retry)[0].failure) == "the server did not end a turn"
    assert call.protocol.awaits_turn
    second = call.open()
    second.say(final(0, ("a", 0, 300)), final(1, ("b", 400, 500)))
    assert call.finals == ["a", "b"]
    assert not call.protocol.awaits_turn
    assert call.all(AudioLost) == []


def test_but_once_only() -> None:
    call = Call()
    call.push(RATE)
    for _ in range(2):
        peer = call.open()
        peer.say(turn(0, ("a", 0, 300)), final(1, ("b", 400, 500)))
        call.run(1.1)
    assert not peer.is_closed
    assert call.finals == ["b"]
    (lost,) = call.all(AudioLost)
    assert lost.why == "the server never ended this turn"
    assert (lost.start_ms, lost.end_ms) == (0, 400)
    assert len(call.waits) == 1


def test_nor_where_nothing_is_tried_again() -> None:
    call = Call(max_retries=0)
    peer = call.open()
    call.push(RATE)
    peer.say(turn(0, ("a", 0, 300)), final(1, ("b", 400, 500)))
    call.run(1.1)
    assert not peer.is_closed
    assert call.finals == ["b"]
    assert len(call.all(AudioLost)) == 1


@pytest.mark.parametrize("said", ["a turn", "that speech started"])
def test_a_turn_that_goes_on_for_ever_in_silence_is_overdue(said: str) -> None:
    call = Call(replay_seconds=120)
    first = call.open()
    call.write(speech(1, 5000))
    if said == "a turn":
        first.say(turn(0, ("a", 0, 900)))
    else:
        first.say({"type": "SpeechStarted", "timestamp": 0})
    for _ in range(30):
        call.write(hum(1, 5))
        call.run(1)
    assert first.is_closed is (said == "a turn")
    assert bool(call.waits) is (said == "a turn")
    assert call.protocol.awaits_turn is (said == "a turn")  # by another session


def test_a_turn_is_overdue_though_others_begin_behind_it() -> None:
    """And another session doesn't hear it again and again."""
    call = Call(replay_seconds=600, catch_up_rate=100)
    peers, second = [call.open()], speech(1, 5000)
    for seconds in range(1, 320):
        call.write(second)
        call.run(1)
        if peers[-1].is_closed:
            peers.append(call.open())
        if seconds % 50 == 20:
            order = seconds // 50
            at = 1000 * seconds - 500
            peers[-1].say(turn(order, ("a", at, at + 400)))
    assert len(peers) == 2
    assert call.all(AudioLost)
    assert call.acked_ms == 119_900


def test_words_that_no_other_session_hears_are_told_as_lost() -> None:
    call = Call(replay_seconds=120)
    first = call.open()
    call.write(hum(2, 5) + speech(1, 5000) + hum(2, 5))
    first.say(turn(0, ("a", 2000, 3000)))
    first.cut()
    assert call.protocol.awaits_turn
    call.open()
    for _ in range(20):
        call.write(hum(1, 5))
        call.run(1)
    assert not call.protocol.awaits_turn
    (lost,) = call.all(AudioLost)
    assert lost.start_ms <= 2000
    assert lost.end_ms >= 3000
    assert lost.why == "its turn was begun, but never ended"


# ---- silence ----


def test_what_the_server_calls_silence_is_needed_no_more() -> None:
    """But for the end of it, which may reach into speech."""
    call = Call()
    peer = call.open()
    call.push(5 * RATE)
    peer.say({"type": "Silence", "start_ms": 0, "end_ms": 3000})
    assert call.acked_ms == 2500
    assert len(call.all(Silence)) == 1
    peer.cut()
    assert call.open().session.timeline.to_stream_ms(0) == 2500


def test_not_while_a_turn_is_open() -> None:
    call = Call()
    peer = call.open()
    call.push(5 * RATE)
    peer.say(turn(0, ("a", 0, 300)))
    peer.say({"type": "Silence", "start_ms": 300, "end_ms": 3000})
    assert call.acked_ms == 0


def test_silence_that_was_heard_is_needed_no_more() -> None:
    """A session that lives had time to say that somebody speaks."""
    call = Call(replay_seconds=120)
    peer = call.open()
    for _ in range(30):
        call.write(hum(1, 20))
        call.run(1)
    assert 20_000 < call.acked_ms < 27_000
    assert call.protocol.coverage.silent_seconds == pytest.approx(30, abs=0.1)
    peer.cut()
    assert call.open().session.timeline.to_stream_ms(0) == call.acked_ms


def test_not_where_the_server_has_been_dead_for_so_long() -> None:
    call = Call(replay_seconds=120)
    peer = call.open()
    for _ in range(30):
        call.write(hum(1, 20))
        peer.silent_seconds += 1
        call.run(1)
    assert call.acked_ms == 0


def test_nor_speech() -> None:
    call = Call(replay_seconds=120)
    call.open()
    for second in range(30):
        call.write(speech(1, 5000, seed=second))
        call.run(1)
    assert call.acked_ms == 0


# ---- silence that had to wait ----


@pytest.mark.parametrize("skips", [True, False])
def test_long_silence_that_had_to_wait_is_left_out(skips: bool) -> None:
    call = Call(replay_seconds=120, catch_up_rate=1.25, skip_silence=skips)
    audio = speech(2, 5000) + hum(30, 5) + speech(2, 5000)
    call.write(audio)
    peer = call.open()
    while call.has_backlog:
        call.run(0.1)
    skipped = call.all(SilenceSkipped)
    if not skips:
        assert skipped == []
        assert len(peer.audio) == 34 * RATE
        assert call.now > 100 + 25
        return
    (one,) = skipped
    # 2 s behind the words end their turn, and the next ones begin softly.
    assert one.start_ms == pytest.approx(4000, abs=1100)
    assert one.end_ms == pytest.approx(31_500, abs=100)
    heard = len(peer.audio) / PER_MS
    assert heard == pytest.approx(34_000 - (one.end_ms - one.start_ms), abs=50)
    assert call.now < 100 + 8
    # Stream time counts what was left out.
    peer.say(final(0, ("late", 5000, 5500)))
    (said,) = call.turns
    assert said.words[0].start == pytest.approx(5000 + 34_000 - heard, abs=50)


def test_no_silence_is_left_out_while_a_turn_is_open() -> None:
    call = Call(replay_seconds=120, catch_up_rate=1.25)
    call.write(speech(2, 5000) + hum(30, 5))
    peer = call.open()
    peer.say(turn(0, ("a", 0, 500)))
    call.run(8)
    assert call.all(SilenceSkipped) == []
