"""The bound that all rings of a process share."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aai_stream._core import AudioRing, held_memory, limit_memory
from aai_stream.errors import AudioError, StateError
from tests.audio import count_up, next_chunk

RATE = 16_000
SECOND = 2 * RATE  # bytes
UNBOUNDED = 1 << 62


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    gc.collect()  # the rings of other tests
    assert held_memory() == 0
    yield
    limit_memory(512_000_000)


def filled(*seconds: float, replay_seconds: float = 120) -> list[AudioRing]:
    """Rings that hold so much each, none of it sent."""
    rings = [AudioRing(RATE, replay_seconds=replay_seconds) for _ in seconds]
    for ring, count in zip(rings, seconds, strict=True):
        fill(ring, round(RATE * count))
    return rings


def fill(ring: AudioRing, samples: int) -> None:
    """Append so much, as from a call: each sample is its position."""
    end = ring.written + samples
    while ring.written < end:
        part = min(800, end - ring.written)
        ring.write(count_up(ring.written, part), RATE)


def seconds_kept(ring: AudioRing) -> float:
    ring.settle()
    return (ring.written - ring.acked) / RATE


def assert_whole(ring: AudioRing) -> None:
    """What it holds is what was written, up to the last full chunk."""
    ring.settle()
    position = ring.sent
    while (chunk := ring.next_chunk()) is not None:
        assert chunk.start == position
        assert bytes(chunk) == count_up(position, chunk.samples)
        position += chunk.samples
    assert ring.written - position < ring.chunk_samples


def test_what_all_rings_hold_is_counted() -> None:
    rings = filled(3, 20, 0.1)
    assert held_memory() == sum(ring.memory_bytes for ring in rings) > 23 * SECOND
    del rings[1]
    assert held_memory() == sum(ring.memory_bytes for ring in rings) < 6 * SECOND
    for ring in rings:
        ring.flush()
        ring.ack(ring.sent)
    assert held_memory() == 0


def test_there_is_a_bound_from_the_start() -> None:
    rings = filled(*[600.0] * 27, replay_seconds=600)  # 518 MB
    assert 500_000_000 < held_memory() <= 512_000_000
    assert all(450 < seconds_kept(ring) <= 600 for ring in rings)


def test_nobody_loses_anything_while_there_is_room() -> None:
    limit_memory(100 * SECOND)
    rings = filled(60, 20, 5)
    assert held_memory() <= 100 * SECOND
    assert [seconds_kept(ring) for ring in rings] == [60, 20, 5]
    for ring in rings:
        assert ring.dropped_samples == 0
        assert_whole(ring)


def test_the_largest_makes_room_for_the_others() -> None:
    limit_memory(100 * SECOND)
    (large,) = filled(90)
    small = filled(20, 20)
    assert [seconds_kept(ring) for ring in small] == [20, 20]
    assert 40 < seconds_kept(large) < 60
    assert held_memory() <= 100 * SECOND
    lost = large.written - round(RATE * seconds_kept(large))
    assert (large.dropped_samples, large.forgotten_samples) == (lost, 0)
    for ring in (large, *small):
        assert_whole(ring)


def test_the_largest_is_the_one_that_does_not_grow() -> None:
    limit_memory(100 * SECOND)
    small = filled(10, 20)
    (large,) = filled(120)
    assert [seconds_kept(ring) for ring in small] == [10, 20]
    assert 55 < seconds_kept(large) <= 70
    assert held_memory() <= 100 * SECOND
    assert_whole(large)


def test_equals_share_and_take_nothing_from_each_other() -> None:
    limit_memory(100 * SECOND)
    rings = filled(*[0.0] * 5)
    lost = [0] * 5
    for _ in range(60):
        for ring in rings:
            fill(ring, RATE)
            assert held_memory() <= 100 * SECOND
    for ring in rings:
        assert 20 * 7 / 8 < seconds_kept(ring) < 20 * 9 / 8
    lost = [ring.dropped_samples for ring in rings]
    assert sum(lost) < RATE * (300 - 100 * 7 / 8)
    for ring in rings:
        assert_whole(ring)


def test_unused_memory_goes_before_any_audio() -> None:
    """Of a ring that held much and shrinks only once three quarters are acked."""
    limit_memory(100 * SECOND)
    roomy, other = filled(60, 25)
    while (chunk := roomy.next_chunk()) is not None:
        roomy.ack(min(chunk.start, 40 * RATE))
    del chunk
    assert roomy.memory_bytes > 60 * SECOND
    fill(other, 45 * RATE)
    assert held_memory() <= 100 * SECOND
    assert seconds_kept(roomy) == 20
    assert seconds_kept(other) == 70
    assert roomy.dropped_samples == roomy.forgotten_samples == 0
    roomy.rewind(roomy.acked)
    assert_whole(roomy)


def test_sent_audio_is_forgotten_the_rest_dropped() -> None:
    limit_memory(100 * SECOND)
    (large,) = filled(90)
    while large.sent < 10 * RATE:
        next_chunk(large)
    filled(30)
    kept_from = large.written - round(RATE * seconds_kept(large))
    assert kept_from > 10 * RATE
    assert large.forgotten_samples == 10 * RATE
    assert large.dropped_samples == kept_from - 10 * RATE
    assert large.acked == large.sent == kept_from


def test_cursors_move_only_when_the_owner_asks() -> None:
    limit_memory(100 * SECOND)
    (large,) = filled(90)
    next_chunk(large)
    cursors = (large.acked, large.sent, large.written)
    other = filled(30)
    assert large.memory_bytes < 80 * SECOND
    assert (large.acked, large.sent, large.written) == cursors
    assert large.next_chunk() is None  # it's gone, and not yet counted as dropped
    large.ack(200)
    large.rewind(500)
    assert (large.acked, large.dropped_samples) == (200, 0)
    large.settle()
    assert large.acked == large.sent > 10 * RATE
    assert large.forgotten_samples == 300
    assert large.dropped_samples == large.acked - 500
    assert_whole(large)
    del other


@pytest.mark.parametrize("call", ["write", "flush"])
def test_the_owner_asks_by_going_on(call: str) -> None:
    limit_memory(100 * SECOND)
    (large,) = filled(90)
    filled(30)
    assert large.acked == 0
    if call == "write":
        fill(large, 1)
    else:
        assert bytes(large.flush()[0]) == count_up(large.acked, 800)
    assert large.acked > 10 * RATE
    assert large.dropped_samples == large.acked


def test_what_is_acked_before_the_owner_asks_is_not_lost() -> None:
    limit_memory(100 * SECOND)
    (large,) = filled(90)
    while (chunk := large.next_chunk()) is not None:
        last = chunk.start
    del chunk
    filled(30)
    large.ack(last)
    large.settle()
    assert large.forgotten_samples == large.dropped_samples == 0
    assert large.memory_bytes < 2 * SECOND


def test_chunks_alive_keep_what_they_show() -> None:
    limit_memory(100 * SECOND)
    (large,) = filled(90)
    chunks = [next_chunk(large) for _ in range(3)]
    filled(30)
    assert b"".join(map(bytes, chunks)) == count_up(0, 2400)
    fill(large, 30 * RATE)
    assert b"".join(map(bytes, chunks)) == count_up(0, 2400)


def test_a_lower_bound_counts_at_once_and_a_higher_one_too() -> None:
    rings = filled(60, 40, 3)
    limit_memory(50 * SECOND)
    assert held_memory() <= 50 * SECOND
    assert seconds_kept(rings[2]) == 3
    assert 20 < seconds_kept(rings[1]) <= seconds_kept(rings[0]) < 28
    limit_memory(UNBOUNDED)
    fill(rings[0], 60 * RATE)
    assert seconds_kept(rings[0]) > 80
    for ring in rings:
        assert_whole(ring)


def test_each_may_keep_a_second_whatever_the_bound() -> None:
    limit_memory(0)
    rings = filled(*[10.0] * 20)
    for ring in rings:
        assert 1 <= seconds_kept(ring) <= 1.5
        assert_whole(ring)
    long = AudioRing(RATE, chunk_ms=1000)
    for start in range(0, 20 * RATE, RATE):
        long.write(count_up(start, RATE), RATE)
        assert bytes(next_chunk(long)) == count_up(start, RATE)
    assert long.dropped_samples == 0


def test_other_encodings_and_rates_count_by_their_bytes() -> None:
    limit_memory(1_000_000)
    mulaw = AudioRing(8000, encoding="pcm_mulaw")
    wide = AudioRing(48_000)
    for _ in range(20 * 60):
        mulaw.write(bytes(800), 8000)
        wide.write(bytes(4800), 48_000)
    assert held_memory() <= 1_000_000
    assert mulaw.dropped_samples == 0
    wide.settle()
    assert 5 < (wide.written - wide.acked) / 48_000 < 6


def test_another_thread_makes_room_but_moves_no_cursor() -> None:
    limit_memory(100 * SECOND)
    (large,) = filled(90)
    small: list[AudioRing] = []
    refused: list[BaseException] = []

    def elsewhere() -> None:
        small.extend(filled(30))
        try:
            large.settle()
        except StateError as exc:
            refused.append(exc)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(refused) == 1
    assert large.acked == 0
    assert seconds_kept(large) < 75
    assert_whole(large)


def test_threads_take_from_each_other_all_the_time() -> None:
    """Each holds more than its share, by itself and through soxr, which lets others
    run. What is there is always what was written there."""
    limit_memory(40 * SECOND)
    failures: list[BaseException] = []
    sent, chunks = [0] * 4, [0] * 4

    def work(seed: int) -> None:
        try:
            ring = AudioRing(RATE)
            through_soxr = AudioRing(RATE, resampler="soxr")
            for step in range(300):
                fill(ring, (seed + 1) * 400)
                through_soxr.write(bytes(4410 * (seed + 1)), 44_100)
                while (chunk := ring.next_chunk()) is not None:
                    assert bytes(chunk) == count_up(chunk.start, chunk.samples)
                chunks[seed] += ring.sent > sent[seed]
                sent[seed] = ring.sent
                if step % 10 == seed:
                    ring.rewind(ring.acked)
                through_soxr.next_chunk()
                if step % 50 == 49:
                    ring.ack(ring.sent)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert min(chunks) > 50  # steps that sent something
    assert held_memory() == 0


@pytest.mark.parametrize("bad", [-1, 1.5, "1", None, True, 1 << 63])
def test_a_bound_that_is_none(bad: object) -> None:
    with pytest.raises(AudioError, match="most must be an integer from 0 to"):
        limit_memory(bad)  # type: ignore[arg-type]


class SharedBound(RuleBasedStateMachine):
    """Rings of 1000 Hz that share a bound: none shows anything but what was written to
    it, and each accounts for every sample that it doesn't hold any more."""

    RATE = 1000

    @initialize(
        most=st.integers(0, 60_000),
        encodings=st.lists(st.sampled_from(["pcm_s16le", "pcm_mulaw"]), min_size=2),
    )
    def create(self, most: int, encodings: list[str]) -> None:
        self.most = most
        limit_memory(most)
        self.rings = [
            AudioRing(self.RATE, replay_seconds=20, encoding=encoding)  # type: ignore[arg-type]
            for encoding in encodings[:5]
        ]
        self.acked = [0] * len(self.rings)  # by their owners

    def teardown(self) -> None:
        self.rings.clear()  # or else the next example would find them

    def ring(self, which: int) -> AudioRing:
        return self.rings[which % len(self.rings)]

    @rule(which=st.integers(0, 4), count=st.integers(1, 9000), step=st.integers(1, 900))
    def write(self, which: int, count: int, step: int) -> None:
        ring = self.ring(which)
        end = ring.written + count
        while ring.written < end:
            part = min(step, end - ring.written)
            ring.write(count_up(ring.written, part), self.RATE)

    @rule(which=st.integers(0, 4), most=st.integers(1, 300))
    def send(self, which: int, most: int) -> None:
        ring = self.ring(which)
        for _ in range(most):
            if (chunk := ring.next_chunk()) is None:
                break
            if ring.encoding == "pcm_s16le":
                assert bytes(chunk) == count_up(chunk.start, chunk.samples)

    @rule(which=st.integers(0, 4), place=st.floats(0, 1))
    def ack(self, which: int, place: float) -> None:
        ring = self.ring(which)
        position = ring.acked + round(place * (ring.sent - ring.acked))
        self.acked[which % len(self.rings)] += position - ring.acked
        ring.ack(position)

    @rule(which=st.integers(0, 4), place=st.floats(0, 1))
    def rewind(self, which: int, place: float) -> None:
        ring = self.ring(which)
        ring.rewind(ring.acked + round(place * (ring.sent - ring.acked)))

    @rule(which=st.integers(0, 4))
    def settle(self, which: int) -> None:
        ring = self.ring(which)
        ring.settle()
        assert (ring.written - ring.acked) * (
            1 if ring.encoding == "pcm_mulaw" else 2
        ) <= ring.memory_bytes

    @rule(which=st.integers(0, 4))
    def replace(self, which: int) -> None:
        index = which % len(self.rings)
        self.rings[index] = AudioRing(self.RATE, replay_seconds=20)
        self.acked[index] = 0

    @rule(most=st.integers(0, 60_000))
    def bound(self, most: int) -> None:
        self.most = most
        limit_memory(most)

    @invariant()
    def memory_is_bounded(self) -> None:
        held = [ring.memory_bytes for ring in self.rings]
        assert held_memory() == sum(held)
        granted = 2 * (self.RATE + 50)  # with what repeats the first chunk
        assert sum(held) <= self.most + granted * len(held)
        assert all(ring.acked <= ring.sent <= ring.written for ring in self.rings)

    @invariant()
    def every_sample_is_accounted_for(self) -> None:
        for ring, acked in zip(self.rings, self.acked, strict=True):
            gone = acked + ring.dropped_samples + ring.forgotten_samples
            assert ring.acked == gone


TestSharedBound = SharedBound.TestCase
TestSharedBound.settings = settings(max_examples=150, stateful_step_count=40)
