"""The memory of `AudioRing`: what is pinned, kept, let go and given back."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from aai_stream._core import AudioRing, Chunk
from tests.audio import count_up, next_chunk

RATE = 16000


def test_exporting_keeps_no_reference_to_anything() -> None:
    ring = AudioRing(RATE)
    ring.write(count_up(0, 800), RATE)
    chunk = next_chunk(ring)
    nones, chunks = sys.getrefcount(None), sys.getrefcount(chunk)
    for _ in range(1000):
        memoryview(chunk).release()
    assert sys.getrefcount(chunk) == chunks
    assert abs(sys.getrefcount(None) - nones) < 100


def test_chunks_show_the_ring_and_copy_nothing() -> None:
    ring = AudioRing(RATE, chunk_ms=1000, replay_seconds=10)
    ring.write(bytes(32000 * 5), RATE)
    tracemalloc.start()
    chunks = [next_chunk(ring) for _ in range(5)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(chunks) == 5
    assert size < 2000


# -- pins --


def wrap(ring: AudioRing) -> None:
    for start in range(0, 20_000, 500):
        ring.write(count_up(start, 500), RATE)
        ring.flush(0)
        ring.ack(ring.sent - 100)


def grow(ring: AudioRing) -> None:
    ring.write(count_up(0, 30_000), RATE)


def shrink(ring: AudioRing) -> None:
    grow(ring)
    ring.flush(0)
    ring.ack(ring.sent - 1)


def empty(ring: AudioRing) -> None:
    ring.flush(0)
    ring.ack(ring.sent)
    grow(ring)


def overflow(ring: AudioRing) -> None:
    for _ in range(10):
        ring.write(count_up(0, 30_000), RATE)


def lengthen(ring: AudioRing) -> None:
    ring.chunk_ms = 1000
    overflow(ring)


@pytest.mark.parametrize("event", [wrap, grow, shrink, empty, overflow, lengthen])
@pytest.mark.parametrize("hold", [lambda chunk: chunk, memoryview], ids=["chunk", "mv"])
@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_mulaw"])
def test_what_is_held_still_shows_its_audio(
    event: Callable[[AudioRing], None],
    hold: Callable[[Chunk], Chunk | memoryview],
    encoding: str,
) -> None:
    ring = AudioRing(RATE, encoding=encoding, replay_seconds=3)  # type: ignore[arg-type]
    ring.write(count_up(0, 3000), RATE)
    held = [hold(next_chunk(ring)) for _ in range(3)]
    shown = [bytes(chunk) for chunk in held]
    ring.rewind(400)
    held.append(hold(next_chunk(ring)))
    shown.append(bytes(held[-1]))
    event(ring)
    del held[0], shown[0]
    event(ring)
    assert [bytes(chunk) for chunk in held] == shown
    del ring
    assert [bytes(chunk) for chunk in held] == shown


@pytest.mark.parametrize("hold", [False, True])
def test_memory_of_a_chunk_is_used_again_once_it_is_gone(hold: bool) -> None:
    def address(chunk: Chunk) -> int:
        return int(np.frombuffer(memoryview(chunk), np.uint8).ctypes.data)

    ring = AudioRing(RATE)
    places = set()
    for _ in range(100):
        ring.write(bytes(1600), RATE)
        chunk = None
        chunk = next_chunk(ring)
        places.add(address(chunk))
        if not hold:
            chunk = None
        ring.ack(ring.sent - 1)
    assert len(places) == 5  # 250 ms of 50 ms chunks, over and over


# -- limits and memory --


def test_beyond_the_limit_sent_audio_is_forgotten_then_unsent_dropped() -> None:
    ring = AudioRing(RATE, replay_seconds=1)
    ring.write(count_up(0, 16_000), RATE)
    for _ in range(3):
        next_chunk(ring)
    ring.write(count_up(16_000, 2400), RATE)
    assert (ring.forgotten_samples, ring.dropped_samples) == (2400, 0)
    ring.write(count_up(18_400, 1000), RATE)
    assert (ring.forgotten_samples, ring.dropped_samples) == (2400, 1000)
    assert (ring.acked, ring.sent, ring.written) == (3400, 3400, 19_400)
    assert bytes(next_chunk(ring)) == count_up(3400, 800)
    ring.write(count_up(19_400, 100_000), RATE)  # more at once than it can keep
    assert (ring.forgotten_samples, ring.dropped_samples) == (3200, 100_200)
    assert bytes(next_chunk(ring)) == count_up(103_400, 800)


def test_the_limit_is_exact() -> None:
    ring = AudioRing(1001, replay_seconds=1.5)
    ring.write(bytes(2 * 1502), 1001)  # 1501.5 samples, rounded up
    assert ring.dropped_samples == 0
    ring.write(bytes(2), 1001)
    assert ring.dropped_samples == 1


def test_memory_grows_by_halves_up_to_the_limit_and_shrinks_when_acked() -> None:
    ring = AudioRing(RATE, replay_seconds=30)
    sizes = [ring.memory_bytes]
    for _ in range(700):  # 35 s
        ring.write(bytes(1600), RATE)
        next_chunk(ring)
        if ring.memory_bytes != sizes[-1]:
            sizes.append(ring.memory_bytes)
    guard = 2 * 800
    samples = [4000]
    while samples[-1] < 30 * RATE:
        samples.append(min(samples[-1] * 3 // 2, 30 * RATE))
    assert sizes == [0, *(2 * size + guard for size in samples)]
    assert ring.forgotten_samples == 5 * RATE
    seconds = []
    for kept in [20, 8, 7, 2, 1, 0.1]:
        ring.ack(ring.sent - round(kept * RATE))
        seconds.append((ring.memory_bytes - guard) / 32_000)
    assert seconds == [30, 30, 14, 4, 2, 0.25]
    ring.ack(ring.sent)
    assert ring.memory_bytes == 0
    ring.write(count_up(0, 800), RATE)
    assert bytes(next_chunk(ring)) == count_up(0, 800)


@pytest.mark.parametrize("rate", [16000, 24000])
def test_a_hundred_idle_rings_cost_next_to_nothing(rate: int) -> None:
    tracemalloc.start()
    rings = [AudioRing(RATE) for _ in range(100)]
    fresh, _ = tracemalloc.get_traced_memory()
    for ring in rings:
        ring.write(bytes(100_000), rate)
        ring.flush()
        ring.ack(ring.sent)
    idle, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert fresh < 100 * 600
    assert idle < 100 * 1000


@pytest.mark.parametrize("rate", [16000, 24000, 48000])
def test_steady_frames_leave_nothing_behind(rate: int) -> None:
    ring = AudioRing(RATE)
    frame = count_up(0, rate // 20)

    def frames(count: int) -> int:
        for _ in range(count):
            ring.write(frame, rate)
            while (chunk := ring.next_chunk()) is not None:
                ring.ack(chunk.start)
        del chunk
        gc.collect()
        return sys.getallocatedblocks()

    frames(200)
    # Another thread of the process may keep some, but not every time.
    kept = [frames(1000) for _ in range(5)]
    assert min(after - before for before, after in pairwise(kept)) < 10
