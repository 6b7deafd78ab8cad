"""Copies of what is written to a ring, and of what is sent of it."""

from __future__ import annotations

import gc
import math
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream._core import (
    AudioRing,
    Backlog,
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
    return Tap(lambda: float(next(seconds)), Backlog(MOST))


def pushes_of(taken: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return list(struct.iter_unpack("=qd", taken[1]))


def notes_of(taken: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    marks = struct.iter_unpack("=dqqq", taken[3])
    return [(what, *mark) for what, mark in zip(taken[4], marks, strict=True)]


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
    assert notes_of(tap.take()) == [
        ("first", 1.0, 100, 1, 0),
        ("second", 3.0, 200, 2, 0),
    ]
    tap.note("third")
    assert notes_of(tap.take()) == [("third", 4.0, 200, 0, 0)]


def test_closed_it_keeps_what_it_has() -> None:
    ring = AudioRing(RATE)
    tap = ring.tap = ticking()
    ring.write(noise(100), RATE)
    tap.close()
    ring.write(noise(100), RATE)
    tap.note("late")
    audio, pushes, _, marks, notes = tap.take()
    assert (len(audio), len(pushes), marks, notes) == (200, 16, b"", [])
    assert not tap.is_open
    assert not tap.is_full


def test_it_closes_when_nobody_takes_what_it_has() -> None:
    ring = AudioRing(RATE)
    tap = ring.tap = Tap(lambda: 0.0, Backlog(1000))
    ring.write(noise(400), RATE)
    assert tap.is_open
    ring.write(noise(400), RATE)
    assert tap.is_full
    assert not tap.is_open
    assert len(tap.take()[0]) == 800


def test_all_that_waits_anywhere_counts_until_it_is_taken_or_dropped() -> None:
    backlog = Backlog(2000)
    one, other = (Tap(lambda: 0.0, backlog) for _ in range(2))
    ring = AudioRing(RATE)
    ring.tap = one
    ring.write(noise(400), RATE)
    assert backlog.used == 800 + 16
    other.note("heard", 1000)
    assert backlog.used == 800 + 16 + 1000 + 32
    one.note("read", 0)
    one.note("too much", 0)
    one.note("too much", 0)
    one.note("too much", 0)
    one.note("too much", 0)
    assert one.is_full
    assert other.is_open
    assert [note[0] for note in notes_of(one.take())] == ["read", *["too much"] * 3]
    assert backlog.used == 1000 + 32
    assert notes_of(other.take()) == [("heard", 0.0, 0, 0, 0)]
    assert backlog.used == 0
    other.note("heard", 1000)
    del other
    assert backlog.used == 0


class Cycle:
    """Garbage that only the collector finds, and that runs Python code then."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        for _ in range(3):
            pass


@contextmanager
def restless() -> Iterator[None]:
    """Threads take turns, and garbage is collected, wherever that may be."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(1, 1000, 1000)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)


def test_another_thread_may_take_at_any_time() -> None:
    """Nothing is lost or taken twice, and notes keep their place."""

    def clock() -> float:
        Cycle()
        return 0.0

    ring, timeline = AudioRing(RATE, chunk_ms=50), Timeline(RATE)
    backlog = Backlog(MOST)
    tap = ring.tap = timeline.tap = Tap(clock, backlog)
    is_over = threading.Event()
    parts: list[tuple[Any, ...]] = []

    def take() -> None:
        while not is_over.is_set():
            Cycle()
            parts.append(tap.take())
        parts.append(tap.take())

    taker = threading.Thread(target=take)
    audio = noise(1000)
    pushes = chunks = 0
    with restless():
        taker.start()
        try:
            while pushes < 2000 or len(parts) < 200:
                ring.write(audio, RATE)
                pushes += 1
                tap.note((pushes * 1000, pushes, chunks), 10)
                while (chunk := ring.next_chunk()) is not None:
                    timeline.sent(chunk, 0.0)
                    chunks += 1
                    ring.ack(ring.sent)
                tap.note((pushes * 1000, pushes, chunks), 10)
        finally:
            is_over.set()
            taker.join()
    assert b"".join(part[0] for part in parts) == audio * pushes
    before = [0, 0, 0]  # bytes, pushes and chunks that were taken
    seen, ends, starts = 0, [], []
    for part in parts:
        for (samples, pushed, sent), _, *marked in notes_of(part):
            now = [samples, pushed - before[1], sent - before[2]]
            assert marked == now
            seen += 1
        before[0] += len(part[0])
        before[1] += len(pushes_of(part))
        before[2] += len(chunks_of(part))
        ends += [end for end, _ in pushes_of(part)]
        starts += [start for _, start, *_ in chunks_of(part)]
        assert not ends or 2 * ends[-1] <= before[0]  # its audio is there
    assert seen == 2 * pushes
    assert ends == [1000 * number for number in range(1, pushes + 1)]
    assert starts == [800 * number for number in range(pushes * 1000 // 800)]
    assert backlog.used == 0


def test_a_clock_that_fails_is_told() -> None:
    ring = AudioRing(RATE)
    ring.tap = Tap(lambda: 1 / 0, Backlog(MOST))
    with pytest.raises(ZeroDivisionError):
        ring.write(noise(1), RATE)


def test_mu_law_is_decoded_as_the_standard_says() -> None:
    pcm = memoryview(pcm_of_mulaw(bytes([0x00, 0x80, 0x7F, 0xFF, 0x0F]))).cast("h")
    assert list(pcm) == [-32124, 32124, 0, 0, -16764]
