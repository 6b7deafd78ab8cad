"""The gate: what it sends on its own, to the sample, and when it asks."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream._core import (
    AudioRing,
    Gate,
    Pacer,
    Steadiness,
    Timeline,
    limit_memory,
)
from aai_stream.errors import AudioError
from tests.audio import count_up, hum, speech, to_samples
from tests.frames import frames_to

RATE = 16_000
CHUNK = 800


class Call:
    """A ring and its gate, open over a connection.

    Attributes:
        sent: the chunks that were sent, as their samples.
        asked: how far the ring had been sent, each time that the gate asked.
        answer: what to do then.
    """

    def __init__(
        self, until: int = 10**9, rate: float = math.inf, **options: Any
    ) -> None:
        self.now = 0.0
        self.sent: list[list[int]] = []
        self.asked: list[int] = []
        self.answer: Callable[[], object] = lambda: None
        self.ring = AudioRing(RATE, **options)
        self.pacer = Pacer(rate, RATE, 1.0)
        self.gate = Gate(self.ring, self.pacer)
        self.gate.ask = self._asked
        self.frames = frames_to(
            lambda audio: self.sent.append(to_samples(audio)), no_text
        )
        self.gate.connect(self.frames, lambda: self.now)
        self.timeline = Timeline(RATE)
        self.gate.open(self.timeline, until)
        self.pushed = 0

    def push(self, samples: int) -> None:
        audio = count_up(self.pushed + 1, samples)
        self.pushed += samples
        self.gate.push(audio, RATE)

    def _asked(self) -> None:
        self.asked.append(self.ring.sent)
        self.answer()

    @property
    def audio(self) -> list[int]:
        return [sample for chunk in self.sent for sample in chunk]


def no_text(text: bytes) -> None:
    raise AssertionError(f"a text was sent: {text!r}")


def numbers(first: int, last: int) -> list[int]:
    return to_samples(count_up(first, last + 1 - first))


def test_each_full_chunk_goes_at_once_and_is_accounted_for() -> None:
    call = Call()
    call.now = 5.0
    call.push(CHUNK + 100)
    assert call.sent == [numbers(1, 800)]
    assert (call.ring.sent, call.timeline.samples, call.timeline.sent_at) == (
        800,
        800,
        5.0,
    )
    call.push(CHUNK)
    assert call.sent[1:] == [numbers(801, 1600)]
    assert call.timeline.is_stream_time
    assert call.asked == []


@given(parts=st.lists(st.integers(0, 3000), max_size=20), rate=st.sampled_from([8, 24]))
def test_however_it_is_cut_the_same_is_sent_as_by_asking_the_ring(
    parts: list[int], rate: int
) -> None:
    call, ring = Call(), AudioRing(RATE)
    expected = []
    for number, part in enumerate(parts):
        audio = count_up(1000 * number, part)
        call.gate.push(audio, 1000 * rate)
        ring.write(audio, 1000 * rate)
        while (chunk := ring.next_chunk()) is not None:
            expected.append(to_samples(bytes(chunk)))
    assert call.sent == expected
    assert call.timeline.samples == ring.sent == call.ring.sent
    assert call.asked == []


def test_mulaw_goes_byte_by_byte() -> None:
    frames: list[bytes] = []
    ring = AudioRing(8000, encoding="pcm_mulaw")
    gate = Gate(ring, Pacer(math.inf, 8000, 1.0))
    gate.connect(frames_to(frames.append, no_text), lambda: 0.0)
    gate.open(Timeline(8000), 10**9)
    gate.push(bytes(1000), 8000)
    assert frames == [bytes([0xFF]) * 400]


def test_it_shuts_and_asks_once_it_has_sent_what_it_may() -> None:
    call = Call(until=1000)
    call.push(CHUNK)
    assert call.asked == []
    call.push(3 * CHUNK)
    assert call.asked == [1600]  # with the chunk that holds it
    call.push(CHUNK)
    assert call.asked == [1600]
    assert call.audio == numbers(1, 1600)
    call.gate.open(call.timeline, 10**9)
    call.push(0)
    call.push(1)
    assert call.audio == numbers(1, 5 * CHUNK)


def test_who_is_asked_may_open_it_again() -> None:
    call = Call(until=1)
    call.answer = lambda: call.gate.open(call.timeline, call.ring.sent + 1)
    for _ in range(4):
        call.push(CHUNK)
    assert call.audio == numbers(1, 4 * CHUNK)
    assert call.asked == [800, 1600, 2400, 3200]


def test_live_audio_keeps_its_pace() -> None:
    call = Call(rate=1.25)
    for _ in range(200):
        call.now += CHUNK / RATE
        call.push(CHUNK)
    assert call.asked == []
    assert call.ring.sent == 200 * CHUNK


def test_too_much_at_once_waits() -> None:
    call = Call(rate=1.25)
    call.push(3 * RATE)
    assert call.asked == [call.ring.sent]
    assert 1.0 <= call.ring.sent / RATE <= 1.1
    assert not call.pacer.is_open(call.now)


def test_a_full_socket_gets_nothing_until_it_has_room_and_the_gate_asks() -> None:
    call = Call()
    call.frames.pause()
    call.push(2 * CHUNK)
    assert (call.sent, call.asked) == ([], [])
    call.answer = lambda: call.gate.open(call.timeline, 10**9)
    call.frames.resume()
    assert call.asked == [0]
    call.push(1)
    assert call.audio == numbers(1, 1600)


def test_a_connection_that_is_not_the_gates_any_more_asks_nothing() -> None:
    call = Call()
    first = call.frames
    call.gate.connect(frames_to(no_text, no_text), lambda: call.now)
    first.resume()
    assert call.asked == []
    assert call.gate.is_open


def test_a_socket_that_fills_keeps_the_rest() -> None:
    call = Call()

    def write(frame: bytes) -> None:
        call.frames.pause()
        call.sent.append([len(frame)])

    call.frames.open(write)
    call.push(5 * CHUNK)
    assert call.sent == [[1608]]
    assert call.ring.sent == CHUNK


def test_without_a_connection_nothing_is_sent() -> None:
    call = Call()
    call.gate.connect(None, lambda: 0.0)
    call.push(2 * CHUNK)
    assert (call.ring.sent, call.asked) == (0, [])
    assert call.ring.written == 1600


def test_a_shut_gate_tells_of_audio_that_is_dropped() -> None:
    call = Call(replay_seconds=1)
    call.gate.shut()
    call.push(RATE)
    assert call.asked == []
    call.push(100)
    assert call.asked == [100]
    call.push(0)
    assert call.asked == [100]  # told once


def test_an_open_gate_asks_before_it_sends_behind_a_gap() -> None:
    call = Call(replay_seconds=1)
    call.frames.pause()
    call.push(RATE)
    call.push(CHUNK)
    assert call.asked == [800]
    call.frames.resume()
    call.push(CHUNK)
    assert call.sent == []


def test_an_open_gate_asks_when_the_ring_is_sent_from_elsewhere() -> None:
    call = Call()
    call.push(2 * CHUNK)
    call.ring.rewind(CHUNK)
    call.push(1)
    assert call.asked == [800]
    assert call.audio == numbers(1, 1600)


def test_audio_whose_memory_another_ring_took_is_not_sent() -> None:
    gc.collect()  # the rings of other tests
    limit_memory(30 * 2 * RATE)
    try:
        call = Call()
        call.frames.pause()
        call.gate.push(bytes(2 * 18 * 44_100), 44_100)
        assert (call.sent, call.asked) == ([], [])
        other = AudioRing(RATE)
        other.write(bytes(2 * 25 * RATE), RATE)
        call.answer = lambda: call.gate.open(call.timeline, 10**9)
        call.frames.resume()
        call.answer = lambda: None
        # So little stays with soxr: the ring itself takes nothing, and sees nothing.
        call.gate.push(bytes(2 * 10), 44_100)
        assert (call.sent, call.asked) == ([], [0, 0])
    finally:
        limit_memory(512_000_000)


def test_a_long_push_is_sent_while_it_is_written() -> None:
    """So that the ring need not hold all of it at once."""
    call = Call(replay_seconds=1)
    call.push(10 * RATE)
    assert call.audio == numbers(1, 10 * RATE)
    assert call.ring.dropped_samples == 0


def test_bad_audio_is_refused_before_anything_is_sent() -> None:
    call = Call()
    for bad in (b"odd", "text", None):
        with pytest.raises((AudioError, TypeError)):
            call.gate.push(bad, RATE)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="sample_rate"):
        call.gate.push(bytes(1600), 0)
    assert (call.ring.written, call.sent) == (0, [])


def test_what_the_asked_one_raises_gets_through() -> None:
    call = Call(until=1)

    def fail() -> None:
        raise LookupError("asked")

    call.answer = fail
    with pytest.raises(LookupError, match="asked"):
        call.push(CHUNK)
    assert call.ring.sent == CHUNK  # and the gate is shut
    call.push(CHUNK)
    assert call.ring.sent == CHUNK


def test_without_anybody_to_ask_it_shuts() -> None:
    call = Call(until=1)
    call.gate.ask = None
    call.push(3 * CHUNK)
    assert call.ring.sent == CHUNK


# ---- waiting for a sound ----


class Waiting(Call):
    """A gate that is shut, and waits for a sound."""

    def __init__(self, seconds: float = 1000) -> None:
        super().__init__(replay_seconds=600)
        self.gate.shut()
        self.steady = Steadiness(self.ring)
        self.gate.wait(self.steady, round(seconds * RATE))

    def hear(self, audio: bytes, ms: int = 20) -> None:
        for start in range(0, len(audio), ms * 32):
            self.gate.push(audio[start : start + ms * 32], RATE)


@pytest.mark.parametrize("ms", [20, 50, 7])
def test_it_asks_at_the_first_sound(ms: int) -> None:
    call = Waiting()
    call.hear(hum(5, 20), ms)
    assert call.asked == []
    call.hear(speech(0.1, 5000), ms)
    assert call.asked
    assert call.ring.written <= round(5.1 * RATE)
    assert call.sent == []


def test_it_asks_again_until_it_waits_for_something_else() -> None:
    call = Waiting()
    call.hear(hum(1, 20) + speech(1, 5000))
    count = len(call.asked)
    assert count > 40
    call.gate.wait(None, 0)
    call.hear(speech(1, 5000))
    assert len(call.asked) == count


def test_or_where_it_was_to_ask() -> None:
    call = Waiting(seconds=2)
    call.hear(bytes(2 * 2 * RATE - 2 * 320))
    assert call.asked == []
    call.hear(bytes(2 * 320))
    assert call.asked == [0]


def test_a_sound_that_somebody_else_found_is_one() -> None:
    call = Waiting()
    call.hear(hum(4, 20))
    call.ring.write(hum(0.1, 5000), RATE)
    call.steady.follow(RATE)
    call.hear(hum(0.02, 5000))  # as loud as it was
    assert call.asked == [0]


def test_who_sends_waits_no_more() -> None:
    call = Waiting()
    call.gate.open(call.timeline, 10**9)
    call.hear(hum(1, 20) + speech(1, 5000))
    assert call.asked == []
    assert sum(map(len, call.sent)) == 2 * RATE


def test_audio_that_was_let_go_of_can_not_be_followed() -> None:
    call = Waiting()
    call.hear(bytes(2 * RATE))
    call.gate.wait(None, 0)
    call.hear(bytes(2 * RATE))
    while call.ring.next_chunk() is not None:
        pass
    call.ring.ack(2 * RATE)
    call.gate.wait(call.steady, 10**9)
    call.hear(bytes(640))
    assert call.asked == [2 * RATE]
