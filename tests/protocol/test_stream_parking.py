"""A stream that is parked: no session while nobody speaks, and not a word missed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aai_stream.errors import OptionError, StateError, UnreachableError
from aai_stream.messages import AudioLost, SilenceSkipped, Termination
from aai_stream.protocol.coverage import LEAD_SECONDS
from aai_stream.protocol.settings import LEAST_PARK_SECONDS
from aai_stream.protocol.stream import StreamState
from tests.audio import hum, speech
from tests.protocol.driver import CHUNK, RATE, TERMINATE, Call, Peer
from tests.talks import final, turn

PARK = 20.0


def live(call: Call, audio: bytes) -> None:
    """Push audio as it is spoken."""
    for start in range(0, len(audio), 2 * CHUNK):
        call.write(audio[start : start + 2 * CHUNK])
        call.run(CHUNK / RATE)


def a_call(**options: Any) -> Call:
    options = {"park_after": PARK, "replay_seconds": 120, **options}
    return Call(catch_up_rate=1.25, **options)


def parked(call: Call, seconds: float = PARK + 2) -> Peer:
    """The server of the first session, when there was speech and then silence."""
    peer = call.open()
    live(call, speech(2, 5000))
    peer.say(final(0, ("a", 100, 1900)))
    live(call, hum(seconds, 20))
    return peer


def is_parked(call: Call) -> bool:
    return call.protocol.parking.is_on


def skipped(call: Call) -> list[tuple[int, int]]:
    return [(one.start_ms, one.end_ms) for one in call.all(SilenceSkipped)]


# ---- when it is parked ----


def test_after_so_much_silence_its_session_is_ended() -> None:
    call = a_call()
    peer = parked(call, PARK - 1)
    assert not is_parked(call)
    live(call, hum(2.5, 20, seed=2))
    assert is_parked(call)
    assert peer.asked == [TERMINATE]
    peer.finish()
    assert not call.is_open
    assert call.protocol.deadline == math.inf
    heard = len(peer.audio)
    live(call, hum(200, 20, seed=3))
    assert len(peer.audio) == heard
    assert len(call.peers) == 1
    assert call.protocol.state is StreamState.OPEN
    assert call.ring.memory_bytes < 2 * 4 * RATE
    assert call.stats.dropped_samples == call.stats.forgotten_samples == 0
    assert not call.has_backlog


def test_without_it_no_session_is_ended() -> None:
    call = a_call(park_after=None)
    peer = parked(call, 100)
    assert peer.asked == []
    assert call.stats.parked_seconds == 0


def test_so_is_one_to_which_no_audio_comes() -> None:
    call = a_call()
    peer = call.open()
    live(call, speech(2, 5000))
    peer.say(final(0, ("a", 100, 1900)))
    call.run(PARK - 2)
    assert not is_parked(call)
    call.run(PARK + 2)
    assert is_parked(call)
    assert peer.asked == [TERMINATE]


def test_also_if_none_ever_came() -> None:
    call = a_call()
    call.open()
    call.run(PARK + 1)
    assert is_parked(call)


@pytest.mark.parametrize(
    "said",
    [turn(1, ("b", 2100, 2200)), {"type": "SpeechStarted", "timestamp": 2100}],
    ids=["a turn", "speech"],
)
def test_not_while_a_turn_is_open(said: dict[str, Any]) -> None:
    call = a_call()
    peer = call.open()
    live(call, speech(2, 5000))
    peer.say(said)
    call.run(2 * PARK)
    live(call, hum(4, 20))
    assert not is_parked(call)


def test_nor_while_a_turn_of_a_lost_session_is_to_be_heard_again() -> None:
    call = a_call()
    first = call.open()
    live(call, speech(2, 5000))
    first.say(turn(0, ("a", 100, 1900)))
    live(call, hum(PARK + 1, 20))
    first.cut()
    call.open()
    live(call, hum(3, 20, seed=2))
    assert not is_parked(call)
    live(call, hum(30, 20, seed=3))
    assert is_parked(call)  # it has found no words


def test_what_only_the_server_hears_is_no_silence() -> None:
    call = a_call()
    peer = call.open()
    for order in range(10):
        live(call, hum(5, 20))
        at = 5000 * order + 4000
        peer.say(final(order, ("a", at, at + 500)))
    assert not is_parked(call)
    live(call, hum(PARK + 1, 20))
    assert is_parked(call)


def test_nor_is_noise_that_changes() -> None:
    call = a_call()
    call.open()
    live(call, speech(3 * PARK, 500))
    assert not is_parked(call)


def test_nor_what_waits_to_be_sent() -> None:
    call = a_call()
    peer = call.open()
    peer.has_room = False
    live(call, hum(2 * PARK, 20))
    assert not is_parked(call)
    peer.make_room()
    live(call, hum(2, 20))


# ---- its session's end ----


def test_its_last_turn_is_told_and_its_termination_is_not() -> None:
    call = a_call()
    peer = parked(call)
    peer.say(final(1, ("soft", 5000, 6000)))
    peer.finish(audio_duration_seconds=24)
    assert call.finals == ["a", "soft"]
    assert call.all(Termination) == []
    assert is_parked(call)


def test_a_session_that_dies_instead_is_not_missed() -> None:
    call = a_call()
    peer = parked(call)
    peer.cut()
    assert is_parked(call)
    assert call.waits == []


def test_nor_is_one_that_never_ends() -> None:
    call = a_call()
    peer = parked(call)
    call.run(100)
    assert peer.is_closed
    assert is_parked(call)
    assert call.waits == []


def test_unless_it_had_words_to_tell() -> None:
    call = a_call()
    peer = parked(call)
    peer.say(turn(1, ("soft", 21_000, 21_500)))
    peer.cut()
    assert not is_parked(call)
    assert call.open().session.timeline.to_stream_ms(0) < 21_000


def test_what_it_said_nothing_of_is_heard_again_if_it_does_not_end() -> None:
    """Only Termination says that it was nothing."""
    call = a_call()
    peer = call.open()
    live(call, speech(2, 5000) + hum(PARK + 3, 20))
    assert is_parked(call)
    peer.cut()
    again = call.open()
    live(call, hum(1, 20, seed=2))
    assert again.session.timeline.to_stream_ms(0) == 0
    assert skipped(call) == []


def test_if_it_ends_it_is_not() -> None:
    call = a_call()
    peer = call.open()
    live(call, speech(2, 5000) + hum(PARK + 3, 20))
    peer.finish()
    assert is_parked(call)
    assert call.acked_ms > 20_000


def test_sessions_that_never_end_are_no_reason_to_give_up() -> None:
    """As they are where the whole stream is to end."""
    call = a_call(max_retries=1)
    for count in (1, 2, 3):
        peer = parked(call)
        while not is_parked(call):
            live(call, hum(1, 20))  # it is behind, where words were heard again
        at = peer.session.timeline.sent_ms - 1000
        peer.say(turn(1, ("soft", at, at + 500)))
        call.run(100)  # it says nothing more
        assert call.protocol.state is StreamState.OPEN
        assert len(call.waits) == count


# ---- the first sound ----


def test_a_sound_begins_the_next_session_half_a_second_before_it() -> None:
    call = a_call()
    parked(call).finish()
    live(call, hum(60, 20, seed=2))
    sound_at = call.ring.written
    call.write(speech(0.05, 5000))
    assert call.is_asking
    assert not is_parked(call)
    live(call, speech(1, 5000, seed=2))
    peer = call.open()
    live(call, speech(1, 5000, seed=3))
    begins = peer.session.timeline.to_stream_ms(0)
    lead = sound_at / RATE - begins / 1000
    assert lead == pytest.approx(LEAD_SECONDS, abs=0.06)
    ((start, end),) = skipped(call)
    assert start == pytest.approx(1000 * (2 + PARK), abs=1500)
    assert end == begins
    at = sound_at // 16
    peer.say(final(0, ("b", 600, 900)))
    assert call.turns[-1].words[0].start == pytest.approx(at + 100, abs=60)
    assert call.turns[-1].turn_order == 1
    assert call.stats.sessions == 2
    assert call.stats.parked_seconds == pytest.approx(62, abs=1)
    assert call.waits == []


def test_a_sound_that_comes_before_the_last_one_is_over() -> None:
    call = a_call()
    first = parked(call)
    call.write(speech(0.1, 5000))
    second = call.ask()
    first.finish()
    assert call.protocol.state is StreamState.OPEN
    second.connect().begin()
    assert call.protocol.session is second.session
    assert call.all(Termination) == []


def test_or_whose_session_is_ready_before() -> None:
    call = a_call()
    first = parked(call)
    call.write(speech(0.1, 5000))
    second = call.open()
    assert first.is_closed
    assert call.protocol.session is second.session


def test_one_that_tells_a_turn_is_heard_to_its_end_first() -> None:
    call = a_call()
    first = parked(call)
    first.say(turn(1, ("soft", 21_000, 21_500)))
    call.write(speech(0.1, 5000))
    second = call.open()
    assert call.protocol.session is first.session
    first.say(final(1, ("soft", 21_000, 21_500)))
    assert call.protocol.session is second.session
    assert call.finals == ["a", "soft"]


@pytest.mark.parametrize("how", ["it dies", "it never ends"])
def test_the_last_one_is_not_missed_then_either(how: str) -> None:
    call = a_call(max_retries=0)
    first = parked(call)
    call.write(speech(0.1, 5000))
    second = call.ask()
    if how == "it dies":
        first.cut()
    else:
        call.run(30)
    assert first.is_closed
    assert call.waits == []
    second.connect().begin()
    assert call.protocol.session is second.session


@pytest.mark.parametrize("is_finished", [True, False])
def test_one_that_is_lost_before_it_may_take_over(is_finished: bool) -> None:
    call = a_call()
    first = parked(call)
    first.say(turn(1, ("soft", 21_000, 21_500)))
    call.write(speech(0.1, 5000))
    call.open().cut()
    assert len(call.waits) == 1
    if is_finished:
        first.say(final(1, ("soft", 21_000, 21_500)))
        first.finish()
        assert call.protocol.state is StreamState.OPEN
    third = call.open()
    assert call.protocol.lineup.standby is (None if is_finished else third.session)
    assert call.all(Termination) == []


def test_a_session_that_can_not_be_had_is_tried_for_again() -> None:
    call = a_call()
    parked(call)  # and has not ended yet
    call.write(speech(0.1, 5000))
    call.ask().refuse(UnreachableError("refused"))
    assert len(call.waits) == 1
    call.open()
    assert call.is_open


def test_a_word_in_which_a_stream_falls_mute_is_heard_again() -> None:
    call = a_call()
    peer = call.open()
    live(call, speech(2, 5000))
    call.run(2 * PARK)
    peer.finish()
    live(call, speech(1, 5000))
    second = call.open()
    live(call, hum(0.1, 20))
    assert second.session.timeline.to_stream_ms(0) == 0


def test_to_a_mute_stream_any_audio_is_a_sound() -> None:
    """Nothing is known of how loud its silence is."""
    call = a_call()
    peer = call.open()
    live(call, speech(2, 5000))
    peer.say(final(0, ("a", 100, 1900)))
    call.run(2 * PARK)
    peer.finish()
    call.write(hum(0.1, 5000))
    assert not is_parked(call)
    second = call.open()
    live(call, hum(0.1, 5000))
    assert second.session.timeline.to_stream_ms(0) <= 2000


def test_unless_it_was_silent_before() -> None:
    call = a_call()
    peer = call.open()
    live(call, speech(2, 5000) + hum(5, 20))
    peer.say(final(0, ("a", 100, 1900)))
    call.run(2 * PARK)
    peer.finish()
    live(call, hum(10, 20, seed=2))
    assert is_parked(call)
    call.write(speech(0.1, 5000))
    assert not is_parked(call)


def test_audio_that_waits_for_it_is_urgent() -> None:
    call = a_call()
    parked(call)
    live(call, speech(2, 5000))
    assert call.protocol.unheard_seconds >= 2


def test_a_stream_is_parked_again_and_again() -> None:
    call = a_call()
    peers = [parked(call)]
    for seed in range(2, 5):
        peers[-1].finish()
        live(call, hum(30, 20, seed=seed) + speech(1, 5000, seed=seed))
        peers.append(call.open())
        live(call, speech(1, 5000, seed=seed + 10))
        peers[-1].say(final(0, ("b", 600, 2400)))
        live(call, hum(PARK + 3, 20, seed=seed))
        assert is_parked(call)
    assert len(skipped(call)) == 3
    assert call.stats.parked_seconds == pytest.approx(3 * 33, abs=3)


# ---- what else a caller does ----


def test_an_update_is_for_the_next_handshake() -> None:
    call = a_call()
    first = parked(call)
    call.update(prompt="x")
    first.finish()
    call.update(keyterms_prompt=["y"])
    assert first.asked == [TERMINATE]
    call.write(speech(0.1, 5000))
    second = call.open()
    assert second.query["prompt"] == "x"
    assert second.query["keyterms_prompt"] == '["y"]'
    assert second.asked == []


def test_nothing_is_kept_alive() -> None:
    call = a_call(keeps_alive=True, inactivity_timeout=10)
    first = parked(call)
    call.do(lambda protocol: protocol.keep_alive(call.now))
    call.run(15)
    assert first.asked == [TERMINATE]


def test_what_is_flushed_waits_for_the_next_sound() -> None:
    call = a_call()
    parked(call).finish()
    live(call, hum(1.03, 20))
    call.flush()
    call.force_endpoint()
    assert is_parked(call)
    assert len(call.peers) == 1
    call.write(speech(0.1, 5000))
    assert call.open().asked == ["ForceEndpoint"]


def test_an_endpoint_keeps_its_place_where_all_is_heard_again() -> None:
    call = a_call(skip_silence=False)
    first = call.open()
    live(call, speech(2, 5000) + hum(PARK + 3, 20))
    forced = []
    for seed in (2, 3):
        live(call, hum(1, 20, seed=seed))
        forced.append(call.ring.written)
        call.force_endpoint()
    first.cut()
    second = call.open()
    call.run(60)
    before, _ = second.around({"type": "ForceEndpoint"})
    assert len(before) == pytest.approx(forced[0], abs=CHUNK)
    assert second.asked[:2] == ["ForceEndpoint"] * 2


def test_an_end_needs_no_session() -> None:
    call = a_call()
    parked(call).finish(audio_duration_seconds=23)
    live(call, hum(10, 20))
    call.end()
    assert call.protocol.state is StreamState.ENDED
    assert len(call.peers) == 1
    assert call.told[-1].audio_duration_seconds == 23
    ((_, end),) = skipped(call)
    assert end == call.ring.written // 16
    assert not [note for note in call.notes if "left to be heard" in note.text]
    seconds = call.stats.parked_seconds
    assert seconds == pytest.approx(12, abs=1)
    call.now += 100
    assert call.stats.parked_seconds == seconds


def test_an_end_waits_for_the_session_s() -> None:
    call = a_call()
    peer = parked(call)
    call.end()
    assert not call.protocol.is_over
    peer.finish()
    assert call.protocol.state is StreamState.ENDED
    assert len(call.all(Termination)) == 1


def test_as_long_as_it_gets_on() -> None:
    call = a_call()
    peer = parked(call)
    call.end()
    call.run(15)
    peer.say(turn(1, ("soft", 21_000, 21_500)))
    call.run(15)
    peer.say(final(1, ("soft", 21_000, 21_500)))
    peer.finish()
    assert call.finals == ["a", "soft"]
    assert call.protocol.state is StreamState.ENDED
    assert call.waits == []


def test_or_for_its_loss() -> None:
    call = a_call()
    peer = parked(call)
    call.end()
    peer.cut()
    assert call.protocol.state is StreamState.ENDED


def test_an_end_right_behind_a_sound_needs_one() -> None:
    call = a_call()
    parked(call).finish()
    call.ring.write(speech(0.1, 5000), RATE)  # which nobody has looked at
    call.end()
    second = call.open()
    call.run(1)
    assert second.asked == [TERMINATE]
    second.finish()
    assert call.protocol.state is StreamState.ENDED


def test_a_close_is_one() -> None:
    call = a_call()
    parked(call).finish()
    live(call, hum(10, 20))
    call.close()
    assert call.protocol.state is StreamState.CLOSED
    assert len(skipped(call)) == 1
    assert call.stats.parked_seconds == pytest.approx(12, abs=1)


def test_what_is_skipped_is_not_lost_with_the_stream() -> None:
    call = a_call()
    parked(call).finish()
    live(call, hum(10, 20))
    call.do(lambda protocol: protocol.fail(StateError("nobody reads"), call.now))
    ((_, end),) = skipped(call)
    (lost,) = call.all(AudioLost)
    assert lost.start_ms == end
    assert lost.end_ms == call.ring.written // 16


# ---- the option ----


@pytest.mark.parametrize("bad", [0, -1, LEAST_PARK_SECONDS - 0.1, "20", True, math.nan])
def test_a_bad_option(bad: Any) -> None:
    with pytest.raises(OptionError, match="park_after must be None, or at least 10 s"):
        a_call(park_after=bad)


def test_the_server_is_to_be_patient_for_longer() -> None:
    with pytest.raises(OptionError, match=r"below inactivity_timeout \(15\).* not 20"):
        a_call(inactivity_timeout=15)
    a_call(inactivity_timeout=21)
    a_call(inactivity_timeout=15, keeps_alive=True)
