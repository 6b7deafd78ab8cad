"""Audio on its way through a stream: what waits, what is sent, what is lost."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from aai_stream._core import AudioRing, limit_memory
from aai_stream.errors import AudioError, DroppedError
from aai_stream.messages import AudioLost, Begin
from aai_stream.protocol.events import Level
from tests.audio import count_up, to_samples
from tests.protocol.driver import CHUNK, RATE, Call, numbers


def test_full_chunks_are_sent_as_they_are_pushed() -> None:
    call = Call()
    peer = call.open()
    call.push(799)
    assert peer.seen == []
    call.push(1)
    assert peer.seen == [numbers(1, 800)]
    call.push(2000)
    assert peer.seen[1:] == [numbers(801, 1600), numbers(1601, 2400)]
    assert not call.has_backlog
    assert call.protocol.lineup.heard_samples == 2400


def test_audio_waits_for_a_session() -> None:
    call = Call()
    call.push(2000)
    assert call.has_backlog
    assert call.protocol.lineup.heard_samples == 0
    peer = call.ask().connect()
    assert peer.seen == []  # before Begin
    peer.begin()
    assert peer.audio == numbers(1, 1600)
    assert not call.has_backlog


def test_bad_audio_is_refused_and_changes_nothing() -> None:
    call = Call()
    peer = call.open()
    with pytest.raises(AudioError):
        call.write(bytes(1601))
    with pytest.raises(AudioError):
        call.write(bytes(1600), sample_rate=0)
    assert call.stats.written_samples == 0
    assert peer.seen == []


def test_a_socket_without_room_gets_nothing_until_it_has() -> None:
    call = Call()
    peer = call.open()
    peer.has_room = False
    call.push(1600)
    assert peer.seen == []
    assert call.has_backlog
    peer.make_room()
    assert peer.audio == numbers(1, 1600)
    assert not call.has_backlog


def test_the_chunk_s_length_may_be_set_at_any_time() -> None:
    call = Call()
    peer = call.open()
    call.push(CHUNK)
    call.ring.chunk_ms = 100
    assert call.ring.chunk_ms == 100
    call.push(CHUNK)
    assert len(peer.seen) == 1
    call.push(CHUNK)
    assert peer.seen[1:] == [numbers(CHUNK + 1, 3 * CHUNK)]


def test_audio_that_had_to_wait_follows_at_the_pace_asked_for() -> None:
    """A second at once, the rest at twice real time."""
    call = Call(catch_up_rate=2.0)
    call.push(3 * RATE)
    peer = call.open()
    began = call.now
    for seconds in (0.0, 0.5, 0.75):
        call.run(began + seconds - call.now)
        assert len(peer.audio) == pytest.approx(RATE * (1 + 2 * seconds), abs=CHUNK)
        assert call.protocol.sending.due > call.now
    call.run(0.3)
    assert peer.audio == numbers(1, 3 * RATE)


def test_a_session_that_is_too_fast_is_followed_by_a_slower_one() -> None:
    """Of what is above real time half is left; other failures change nothing."""

    def seconds_for_ten() -> float:
        call.push(10 * RATE)
        peer, began = call.open(), call.now
        while call.has_backlog:
            assert call.now < began + 60
            call.run(0.05)
        seconds = call.now - began
        peer.say({"type": "Silence", "start_ms": 0, "end_ms": 10_500})
        call.run(10)  # all that was sent is paid for
        return seconds

    call = Call(catch_up_rate=1.25, skip_silence=False)
    assert seconds_for_ten() == pytest.approx(9 / 1.25, abs=0.1)
    call.peer.close(1011)
    assert seconds_for_ten() == pytest.approx(9 / 1.25, abs=0.1)
    call.peer.close(3007)
    assert seconds_for_ten() == pytest.approx(9.5 / 1.125, abs=0.1)


# ---- audio that is lost ----


def test_what_can_not_be_kept_is_told() -> None:
    call = Call(replay_seconds=1)
    for _ in range(3):
        call.push(RATE // 2)
    assert call.told == []  # it is not over yet
    assert [note.level for note in call.notes] == [Level.WARNING]
    assert "audio is being lost" in call.notes[0].text
    peer = call.open()
    (lost,) = call.all(AudioLost)
    assert len(call.told) == 2
    assert len(call.all(Begin)) == 1
    assert lost.start_sample == 0
    assert peer.audio[0] == lost.end_sample + 1
    assert (lost.start_ms, lost.end_ms) == (0, lost.end_sample * 1000 // RATE)
    assert call.stats.dropped_samples == lost.end_sample


@pytest.mark.parametrize("how", ["flush", "force_endpoint", "end"])
def test_what_the_resampler_s_rest_drives_out_is_told_as_well(how: str) -> None:
    call = Call(replay_seconds=1, resampler="soxr")
    peer = call.open()
    peer.has_room = False
    call.write(bytes(2 * 36_001), 24_000)
    dropped = call.stats.dropped_samples
    if how == "flush":
        call.flush()
    elif how == "force_endpoint":
        call.force_endpoint(flush=True)
    else:
        call.end()
    assert call.stats.dropped_samples > dropped  # or this shows nothing
    peer.make_room()
    call.close()
    lost = call.all(AudioLost)
    assert sum(loss.end_sample - loss.start_sample for loss in lost) == (
        call.stats.dropped_samples
    )
    assert lost[0].start_sample == 0


# ---- memory that other streams need ----


def make_others_grow() -> None:
    """Have streams with less take memory from those with more."""
    others = [AudioRing(RATE) for _ in range(3)]
    for _ in range(200):
        for other in others:
            other.write(bytes(1600), RATE)


@pytest.fixture
def _bounded() -> Iterator[None]:
    gc.collect()  # other tests' rings
    limit_memory(2_000_000)  # 62 s
    yield
    limit_memory(512_000_000)


def with_a_minute_waiting() -> Call:
    """An open session whose socket has no room, and a minute of audio for it."""
    call = Call(replay_seconds=120)
    call.open().has_room = False
    for _ in range(60):
        call.push(RATE)
    return call


AFTER_LOSING: dict[str, Callable[[Call], None]] = {
    "its next push": lambda call: call.push(CHUNK),
    "its end": Call.end,
    "a session's loss": lambda call: call.peer.close(1011),
    "closing": Call.close,
    "giving up": lambda call: call.do(lambda p: p.fail(DroppedError("gone"), call.now)),
}


@pytest.mark.usefixtures("_bounded")
@pytest.mark.parametrize("how", AFTER_LOSING)
def test_what_others_took_from_a_stream_that_rests_is_told(how: str) -> None:
    call = with_a_minute_waiting()
    make_others_grow()
    assert [type(event) for event in call.told] == [Begin]
    AFTER_LOSING[how](call)
    if how == "a session's loss":
        call.open()
    call.peer.make_room()
    assert call.has_backlog is (how in ("closing", "giving up"))
    call.close()
    first, *rest = [(one.start_sample, one.end_sample) for one in call.all(AudioLost)]
    assert first == (0, call.stats.dropped_samples)
    assert first[1] > 20 * RATE
    assert rest == ([(first[1], 60 * RATE)] if how == "giving up" else [])
    if how in ("its next push", "its end", "a session's loss"):
        assert call.peer.audio[0] == to_samples(count_up(first[1] + 1, 1))[0]


@pytest.mark.usefixtures("_bounded")
def test_a_stream_that_rests_goes_on_behind_what_others_took() -> None:
    call = with_a_minute_waiting()
    make_others_grow()
    call.peer.make_room()
    while call.has_backlog:
        call.run(0.1)
    lost = call.stats.dropped_samples
    assert lost > 20 * RATE
    expected = numbers(lost + 1, 60 * RATE)
    heard = call.peer.audio
    assert heard == expected[: len(heard)]
    assert len(expected) - len(heard) < CHUNK
    call.close()
    (told,) = call.all(AudioLost)
    assert (told.start_sample, told.end_sample) == (0, lost)


@pytest.mark.usefixtures("_bounded")
def test_others_may_take_memory_while_a_stream_sends() -> None:
    """As another thread does, between two chunks."""
    call = with_a_minute_waiting()
    peer = call.peer
    message = call.protocol.next_message(call.now, has_room=True)
    assert message is not None
    peer.take(message)
    make_others_grow()
    call.push(CHUNK)
    peer.make_room()
    while call.has_backlog:
        call.run(0.1)
    call.close()
    (lost,) = call.all(AudioLost)
    assert lost.start_sample == CHUNK
    dropped = call.stats.dropped_samples
    assert dropped == lost.end_sample - CHUNK > 20 * RATE
    assert peer.audio[CHUNK] == to_samples(count_up(lost.end_sample + 1, 1))[0]


# ---- how much is at stake ----


def test_what_no_session_hears_is_at_stake() -> None:
    call = Call()
    peer = call.open()
    assert call.protocol.unheard_seconds == 0
    call.push(2 * RATE)
    assert call.protocol.unheard_seconds == 0  # as long as there is one that hears it
    peer.close(1011)
    assert call.protocol.unheard_seconds == 2
    call.push(RATE // 2)
    assert call.protocol.unheard_seconds == 2.5
    call.open()
    assert call.protocol.unheard_seconds == 0


# ---- flush ----


def test_flush_pads_a_short_tail() -> None:
    call = Call()
    peer = call.open()
    call.push(900)
    call.flush()
    assert peer.seen == [numbers(1, 800), numbers(801, 900) + [0] * 700]
    call.push(800)
    assert peer.seen[2] == numbers(901, 1700)
    assert call.protocol.lineup.heard_samples == 2400


def test_flush_while_waiting_leaves_the_tail_with_what_follows() -> None:
    call = Call()
    call.push(900)
    call.flush()
    peer = call.open()
    assert peer.audio == numbers(1, 800)
    call.push(700)
    assert peer.audio == numbers(1, 1600)
