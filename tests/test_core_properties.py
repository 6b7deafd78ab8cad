"""Any sequence of calls on an `AudioRing` agrees with the model in `reference`."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from aai_stream._core import AudioRing
from tests import reference

# One second at the lowest rate: a few writes reach every limit of the ring.
RATE = 1000
RATES = st.sampled_from([RATE, RATE, 1500, 2000, 2205])
CHUNK_MS = st.sampled_from([1, 7, 20.0, 49.5, 50, 125, 400, 1000])
ENCODINGS = st.sampled_from(["pcm_s16le", "pcm_mulaw"])
PLACES = st.floats(0, 1)


class RingAgainstModel(RuleBasedStateMachine):
    @initialize(encoding=ENCODINGS, chunk_ms=CHUNK_MS, seed=st.integers(0, 2**32))
    def create(self, encoding: str, chunk_ms: float, seed: int) -> None:
        self.ring = AudioRing(
            RATE,
            encoding=encoding,  # type: ignore[arg-type]
            chunk_ms=chunk_ms,
            replay_seconds=1,
        )
        self.model = reference.Ring(RATE, encoding, chunk_ms, replay_seconds=1)
        self.random = np.random.default_rng(seed)
        self.kept: list[tuple[object, bytes]] = []

    def keep(self, chunk: object, expected: bytes) -> None:
        """Remember a chunk, which pins its memory, or let go of an earlier one."""
        self.kept.append((chunk, expected))
        if len(self.kept) > 5:
            del self.kept[self.random.integers(5)]

    @rule(count=st.integers(0, 1300), rate=RATES, channels=st.sampled_from([1, 2, 3]))
    def write(self, count: int, rate: int, channels: int) -> None:
        frames = self.random.integers(-32768, 32768, (count, channels), np.int16)
        accepted = self.ring.write(frames.tobytes(), rate, channels)
        if count:
            self.model.write(frames.tolist(), rate, accepted)

    @rule(count=st.integers(1, 400), times=st.integers(1, 8))
    def stream(self, count: int, times: int) -> None:
        """What a session does most: write, send at once, write again."""
        for _ in range(times):
            self.write(count, RATE, 1)
            self.next_chunk()

    @rule(
        times=st.integers(2, 8),
        rate=st.sampled_from([1250, 1500, 2000, 3000]),
        ms=st.sampled_from([10, 20, 50]),
    )
    def stream_resampled(self, times: int, rate: int, ms: int) -> None:
        for _ in range(times):
            self.write(rate * ms // 1000, rate, 1)
            self.next_chunk()

    @rule()
    def next_chunk(self) -> None:
        chunk, expected = self.ring.next_chunk(), self.model.next_chunk()
        assert (chunk is None) == (expected is None)
        if chunk is not None and expected is not None:
            assert chunk.start + chunk.samples == self.model.sent
            self.keep(chunk, expected)

    @rule(min_ms=st.sampled_from([0, 50, 1000]))
    def flush(self, min_ms: int) -> None:
        chunks, expected = self.ring.flush(min_ms), self.model.flush(min_ms)
        assert [bytes(chunk) for chunk in chunks] == expected
        for pair in zip(chunks, expected, strict=True):
            self.keep(*pair)

    @rule()
    def drain(self) -> None:
        assert self.ring.drain() == self.model.drain()

    @rule(place=PLACES)
    def ack(self, place: float) -> None:
        position = round(self.model.sent * place)
        self.ring.ack(position)
        self.model.acked = max(self.model.acked, position)

    @rule()
    def ack_all(self) -> None:
        self.ack(1)

    @precondition(lambda self: self.model.sent > self.model.acked)
    @rule(place=PLACES)
    def rewind(self, place: float) -> None:
        kept = self.model.sent - self.model.acked
        position = self.model.acked + round(kept * place)
        self.ring.rewind(position)
        self.model.rewind(position)

    @rule(chunk_ms=CHUNK_MS)
    def change_chunk_ms(self, chunk_ms: float) -> None:
        self.ring.chunk_ms = chunk_ms
        self.model.set_chunk_ms(chunk_ms)

    @invariant()
    def accounts_agree(self) -> None:
        ring, model = self.ring, self.model
        assert (ring.acked, ring.sent, ring.written) == (
            model.acked,
            model.sent,
            model.written,
        )
        assert ring.acked <= ring.sent <= ring.written
        assert ring.dropped_samples == model.dropped
        assert ring.forgotten_samples == model.forgotten
        assert ring.padded_samples == model.padded
        assert ring.samples_in == model.samples_in
        assert (ring.chunk_samples, ring.next_samples) == (model.chunk, model.next)

    @invariant()
    def kept_chunks_still_show_their_audio(self) -> None:
        for chunk, expected in self.kept:
            assert bytes(chunk) == expected  # type: ignore[call-overload]


# A failure takes minutes to shrink to the shortest sequence of calls.
TestRingAgainstModel = RingAgainstModel.TestCase
TestRingAgainstModel.settings = settings(max_examples=120, stateful_step_count=40)
