"""Copies of what is written to a ring, and of what is sent of it."""

from __future__ import annotations

import math
import struct
from itertools import count
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream._core import (
    AudioRing,
    FrameWriter,
    Gate,
    Pacer,
    Tap,
    Timeline,
    pcm_of_mulaw,
)
from tests.audio import count_up, noise

MOST = 1 << 26
RATE = 16_000


def ticking() -> Tap:
    """By whose clock all that happens takes a second."""
    seconds = count()
    return Tap(lambda: float(next(seconds)), MOST)


def pushes_of(taken: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return list(struct.iter_unpack("=qd", taken[1]))


def chunks_of(taken: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return list(struct.iter_unpack("=qqqqd", taken[2]))


@given(
    rate=st.sampled_from([8000, 16_000, 24_000, 44_100, 48_000]),
    channels=st.sampled_from([1, 2]),
    encoding=st.sampled_from(["pcm_s16le", "pcm_mulaw"]),
    lengths=st.lists(st.integers(0, 3000), max_size=12),
)
def test_it_has_what_was_sent_sample_for_sample(
    rate: int,
    channels: int,
    encoding: Literal["pcm_s16le", "pcm_mulaw"],
    lengths: list[int],
) -> None:
    ring = AudioRing(RATE, encoding=encoding)
    tap = ring.tap = ticking()
    sent = heard = b""
    for number, length in enumerate(lengths):
        ring.write(noise(length, channels, number), rate, channels)
        while (chunk := ring.next_chunk()) is not None:
            sent += bytes(chunk)
        if number % 3 == 0:
            heard += tap.take()[0]
    sent += b"".join(map(bytes, ring.flush(0)))
    heard += tap.take()[0]
    assert heard == sent
    assert tap.samples == ring.written


def test_a_ring_that_drops_has_its_audio_in_the_tap() -> None:
    ring = AudioRing(RATE, replay_seconds=1)
    tap = ring.tap = ticking()
    for second in range(5):
        ring.write(count_up(second * RATE, RATE), RATE)
    assert ring.dropped_samples == 4 * RATE
    assert tap.take()[0] == count_up(0, 5 * RATE)


def test_a_push_is_told_with_where_it_ends_and_when() -> None:
    ring = AudioRing(RATE)
    tap = ring.tap = ticking()
    ring.write(noise(100), RATE)
    ring.write(noise(300), RATE)
    assert pushes_of(tap.take()) == [(100, 0.0), (400, 1.0)]
    ring.write(noise(1), RATE)
    assert pushes_of(tap.take()) == [(401, 2.0)]
    assert pushes_of(tap.take()) == []


def test_what_a_resampler_lets_out_is_told_likewise() -> None:
    ring = AudioRing(RATE)
    tap = ring.tap = ticking()
    ring.write(noise(4800), 48_000)
    held = 1600 - ring.written
    assert held > 0
    ring.drain()
    assert [sample for sample, _ in pushes_of(tap.take())] == [1600 - held, 1600]


def test_chunks_are_told_whichever_way_they_go() -> None:
    ring = AudioRing(RATE)
    tap, timeline, frames = ticking(), Timeline(RATE), FrameWriter()
    ring.tap = timeline.tap = tap
    timeline.session = 7
    ring.write(noise(900), RATE)
    chunk = ring.next_chunk()
    assert chunk is not None
    timeline.sent(chunk, 0.0)
    gate = Gate(ring, Pacer(math.inf, RATE, 1.0))
    gate.connect(frames, lambda: 0.0)
    gate.open(timeline, 1 << 40)
    gate.push(noise(700), RATE)
    (padded,) = (ring.write(noise(10), RATE), ring.flush())[1]
    timeline.sent(padded, 0.0)
    found = [chunk[:4] for chunk in chunks_of(tap.take())]
    assert found == [(7, 0, 800, 0), (7, 800, 800, 0), (7, 1600, 10, 790)]


def test_a_long_push_is_told_in_parts_each_before_what_is_sent_of_it() -> None:
    ring = AudioRing(RATE)
    tap, timeline = ticking(), Timeline(RATE)
    ring.tap = timeline.tap = tap
    gate = Gate(ring, Pacer(math.inf, RATE, 1.0))
    gate.connect(FrameWriter(), lambda: 0.0)
    gate.open(timeline, 1 << 40)
    gate.push(noise(3 * RATE), RATE)
    taken = tap.take()
    pushes, chunks = pushes_of(taken), chunks_of(taken)
    assert pushes[-1][0] == 3 * RATE
    assert len(chunks) == 60
    for _, start, samples, _, at in chunks:
        assert any(end >= start + samples and then < at for end, then in pushes)


def test_notes_keep_their_place_between_the_audio() -> None:
    ring = AudioRing(RATE)
    tap = ring.tap = ticking()
    ring.write(noise(100), RATE)
    tap.note("first")
    ring.write(noise(100), RATE)
    tap.note("second")
    assert tap.take()[3] == [("first", 1.0, 100, 1, 0), ("second", 3.0, 200, 2, 0)]
    tap.note("third")
    assert tap.take()[3] == [("third", 4.0, 200, 0, 0)]


def test_closed_it_keeps_what_it_has() -> None:
    ring = AudioRing(RATE)
    tap = ring.tap = ticking()
    ring.write(noise(100), RATE)
    tap.close()
    ring.write(noise(100), RATE)
    tap.note("late")
    audio, pushes, _, notes = tap.take()
    assert (len(audio), len(pushes), notes) == (200, 16, [])
    assert not tap.is_open


def test_it_closes_when_nobody_takes_what_it_has() -> None:
    ring = AudioRing(RATE)
    tap = ring.tap = Tap(lambda: 0.0, 1000)
    ring.write(noise(400), RATE)
    assert tap.is_open
    ring.write(noise(400), RATE)
    assert not tap.is_open
    assert len(tap.take()[0]) == 800


def test_a_clock_that_fails_is_told() -> None:
    ring = AudioRing(RATE)
    ring.tap = Tap(lambda: 1 / 0, MOST)
    with pytest.raises(ZeroDivisionError):
        ring.write(noise(1), RATE)


def test_mu_law_is_decoded_as_the_standard_says() -> None:
    pcm = memoryview(pcm_of_mulaw(bytes([0x00, 0x80, 0x7F, 0xFF, 0x0F]))).cast("h")
    assert list(pcm) == [-32124, 32124, 0, 0, -16764]
