"""The filters in the ring: exact, in time, and without a chunk kept waiting."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import _filters as filters
from aai_stream._core import AudioRing
from aai_stream.errors import AudioError
from tests import reference
from tests.audio import everything, next_chunk, noise, to_frames, to_pcm, to_samples

RATES = [8000, 24000, 32000, 48000]
"""What comes from telephones and LiveKit's rooms, to 16 kHz."""

NUMBERS = st.integers(1, filters.LARGEST)
SAMPLES = st.one_of(
    st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, -1, 1])
)


@given(
    up=NUMBERS,
    down=NUMBERS,
    channels=st.integers(1, 3),
    cuts=st.lists(st.lists(SAMPLES, max_size=900), min_size=1, max_size=6),
)
def test_any_cutting_of_anything_is_what_the_model_makes(
    up: int, down: int, channels: int, cuts: list[list[int]]
) -> None:
    rate, ring = 1000 * down, AudioRing(1000 * up)
    pieces = [cut[: len(cut) // channels * channels] for cut in cuts]
    for piece in pieces:
        ring.write(to_pcm(piece), rate, channels)
    pcm = to_pcm(sample for piece in pieces for sample in piece)
    frames = to_frames(pcm, channels)
    if not frames or up == down:
        assert ring.written == len(frames)
        return
    at_once = reference.resample(frames, rate, 1000 * up, last=False)
    assert ring.written == len(at_once)
    expected = reference.resample(frames, rate, 1000 * up)
    assert to_samples(everything(ring)) == expected


@pytest.mark.parametrize("rate", [*RATES, 12000, 96000])
def test_the_loudest_input_saturates_and_does_not_overflow(rate: int) -> None:
    form = filters.between(rate, 16000)
    assert form is not None
    for signs in np.sign(form.coefficients.astype(int)):
        loud = np.where(signs > 0, 32767, -32768)
        pcm = to_pcm(np.concatenate([loud, -1 - loud, loud[::-1]]))
        ring = AudioRing(16000)
        ring.write(pcm, rate)
        samples = to_samples(everything(ring))
        assert samples == reference.resample(to_frames(pcm, 1), rate, 16000)
        assert {32767, -32768} <= set(samples)


@pytest.mark.parametrize("level", [32767, -32768, 1, -7, 0])
@pytest.mark.parametrize("rate", RATES)
def test_a_constant_stays_what_it_is_from_end_to_end(rate: int, level: int) -> None:
    ring = AudioRing(16000)
    for _ in range(3):
        ring.write(to_pcm([level] * (rate // 10)), rate)
        ring.drain()
    ring.write(to_pcm([level] * 5000), 2 * rate if rate < 48000 else 24000)
    assert set(to_samples(everything(ring))) == {level}


# -- time --


@pytest.mark.parametrize("size", [1, 7, 80, 1200])
@pytest.mark.parametrize("rate", RATES)
def test_no_more_than_3_ms_are_held_back(rate: int, size: int) -> None:
    ring = AudioRing(16000)
    for count in range(1, 400):
        ring.write(bytes(2 * size), rate)
        missing = count * size / rate - ring.written / 16000
        assert ring.pending_ms == pytest.approx(1000 * missing, abs=1e-6)
        assert 0 <= ring.pending_ms <= 3


def band_limited(rate: int, highest_hz: float) -> NDArray[np.float64]:
    """A second of tones at random frequencies and phases, the same at any rate."""
    random = np.random.default_rng(5)
    frequencies = random.uniform(50, highest_hz, 20)
    phases = random.uniform(0, 2 * np.pi, 20)
    time = np.arange(rate) / rate
    tones = np.sin(2 * np.pi * frequencies * time[:, None] + phases)
    signal: NDArray[np.float64] = 1500 * tones.sum(axis=1)
    return signal


@pytest.mark.parametrize(
    ("rate", "rate_out"),
    [*((rate, 16000) for rate in RATES), (48000, 8000), (16000, 8000), (16000, 24000)],
)
def test_on_time_with_soxr(rate: int, rate_out: int) -> None:
    signal = to_pcm(band_limited(rate, 0.4 * min(rate, rate_out)).round())
    ours, theirs = (
        AudioRing(rate_out, resampler="fir"),
        AudioRing(rate_out, resampler="soxr"),
    )
    ours.write(signal, rate)
    theirs.write(signal, rate)
    inner = slice(rate_out // 10, -rate_out // 10)
    one = np.array(to_samples(everything(ours)))
    other = np.array(to_samples(everything(theirs)))
    assert len(one) == len(other) == rate_out
    difference = (one - other)[inner].std() / other[inner].std()
    assert 20 * np.log10(difference) < -55


@pytest.mark.parametrize("rate", RATES)
def test_no_click_at_begin_flush_end_or_change_of_rate(rate: int) -> None:
    """A 100 Hz tone, cut anywhere. Were the input 0 beyond the cuts, half of the
    sample next to one would be missing."""
    ring = AudioRing(16000)
    time, stretches = 0.0, []
    for piece_rate, samples in [(rate, 1203), (rate, 480), (96000, 960), (16000, 33)]:
        at = time + np.arange(samples) / piece_rate
        before = ring.written
        ring.write(to_pcm((20_000 * np.sin(200 * np.pi * at)).round()), piece_rate)
        ring.drain()
        stretches.append(time + np.arange(ring.written - before) / 16000)
        time += samples / piece_rate
    ideal = 20_000 * np.sin(200 * np.pi * np.concatenate(stretches))
    assert np.abs(to_samples(everything(ring)) - ideal).max() < 0.05 * 20_000


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_is_80_db_above_all_else(rate: int) -> None:
    tone = 20_000 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    ring = AudioRing(16000)
    ring.write(to_pcm(tone.round()), rate)
    inner = to_samples(everything(ring))[1000:-1000]  # 875 periods
    power = np.abs(np.fft.rfft(inner)) ** 2
    others = power[1:].sum() - power[875]
    assert 10 * np.log10(power[875] / others) > 80
    amplitude = 2 * np.sqrt(power[875]) / len(inner)
    assert 20 * np.log10(amplitude / 20_000) == pytest.approx(0, abs=0.1)


# -- chunks --


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_mulaw"])
@pytest.mark.parametrize("rate", RATES)
def test_frames_of_a_chunk_leave_at_once_from_the_second_on(
    rate: int, encoding: Any
) -> None:
    ring = AudioRing(16000, encoding=encoding)
    pcm = noise(rate * 2)
    lengths = []
    sent = b""
    for start in range(0, len(pcm), rate // 10):
        ring.write(pcm[start : start + rate // 10], rate)
        chunk = ring.next_chunk()
        lengths.append(chunk.samples if chunk else 0)
        sent += bytes(chunk or b"")
        assert ring.next_chunk() is None
    assert lengths == [0, lengths[1]] + [800] * 38
    assert 1600 - 3 * 16 <= lengths[1] < 1600
    model = reference.Ring(16000, encoding, 50, 30)
    expected = reference.resample(to_frames(pcm, 1), rate, 16000)
    assert sent + everything(ring) == model.encode(expected)


@pytest.mark.parametrize("rate", RATES)
def test_shorter_frames_complete_a_chunk_every_fifth_time(rate: int) -> None:
    ring = AudioRing(16000)
    lengths = []
    for _ in range(100):
        ring.write(bytes(rate // 50), rate)
        chunk = ring.next_chunk()
        lengths.append(chunk.samples if chunk else 0)
    first = lengths.index(max(lengths))
    assert first == 5  # the sixth: what is held back keeps the fifth from being full
    assert 800 < lengths[first] <= 960
    assert lengths[first + 1 :] == ([0, 0, 0, 0, 800] * 20)[: 99 - first]


def test_what_waited_for_a_session_is_no_exception() -> None:
    ring = AudioRing(16000)
    for _ in range(20):
        ring.write(bytes(2400), 24000)
    held = 20 * 800 - ring.written
    assert ring.next_samples == 1600 - held
    assert next_chunk(ring).samples == 1600 - held
    assert ring.next_samples == 800
    while (chunk := ring.next_chunk()) is not None:
        assert chunk.samples == 800
    assert ring.sent == ring.written


@pytest.mark.parametrize(
    ("chunk_ms", "lengths"), [(300, {300, 579}), (510, {510, 999}), (520, {520})]
)
def test_no_chunk_is_longer_than_1000_ms(chunk_ms: int, lengths: set[int]) -> None:
    ring = AudioRing(1000, chunk_ms=chunk_ms, replay_seconds=5)
    seen = set()
    for _ in range(10):
        ring.write(bytes(3 * chunk_ms), 1500)
        while (chunk := ring.next_chunk()) is not None:
            seen.add(chunk.samples)
    assert seen == lengths


@pytest.mark.parametrize("wait_frames", [2, 4, 8])
def test_a_longer_chunk_lies_in_one_piece_over_the_end(wait_frames: int) -> None:
    frames = [noise(150, seed=seed) for seed in range(wait_frames)]
    expected = reference.resample(to_frames(b"".join(frames), 1), 1500, 1000)
    for offset in range(0, 1000, 3):
        ring = AudioRing(1000, chunk_ms=100)
        ring.write(bytes(2 * offset), 1000)
        ring.flush(0)
        ring.ack(offset)
        for frame in frames:  # so many that the ring's memory grows meanwhile
            ring.write(frame, 1500)
        assert ring.next_samples > 100
        assert to_samples(everything(ring)) == expected


def disturb_by_flushing(ring: AudioRing) -> None:
    ring.flush()


def disturb_by_changing_the_rate(ring: AudioRing) -> None:
    ring.write(bytes(1234), 16000)


def disturb_by_replaying(ring: AudioRing) -> None:
    ring.ack(1234)
    ring.rewind(1234)


def disturb_by_changing_the_length(ring: AudioRing) -> None:
    ring.chunk_ms = 77
    ring.next_chunk()
    ring.chunk_ms = 50


@pytest.mark.parametrize(
    "disturb",
    [
        disturb_by_flushing,
        disturb_by_changing_the_rate,
        disturb_by_replaying,
        disturb_by_changing_the_length,
    ],
)
def test_a_disturbed_grid_is_mended(disturb: Any) -> None:
    ring = AudioRing(16000)

    def frame() -> list[int]:
        ring.write(bytes(2400), 24000)
        lengths = []
        while (chunk := ring.next_chunk()) is not None:
            lengths.append(chunk.samples)
        return lengths

    for _ in range(5):
        frame()
    disturb(ring)
    frame()
    frame()
    assert [frame() for _ in range(10)] == [[800]] * 10
    assert ring.sent == ring.written


# -- choosing, and what it takes --


@pytest.mark.parametrize("rate", [44100, 7000, 112_000])
def test_fir_refuses_other_ratios_and_changes_nothing(rate: int) -> None:
    ring = AudioRing(16000, resampler="fir")
    ring.write(bytes(2400), 24000)
    before = ring.written, ring.pending_ms, ring.samples_in, ring.next_samples
    with pytest.raises(
        AudioError, match=f"can't make 16000 Hz of {rate} Hz: .* above 6"
    ):
        ring.write(bytes(2400), rate)
    assert before == (ring.written, ring.pending_ms, ring.samples_in, ring.next_samples)
    ring.write(bytes(2400), 24000)
    assert ring.samples_in == {24000: 2400}
    ring.write(bytes(2400), 16000)  # as it is
    assert ring.pending_ms == 0


def test_auto_takes_soxr_for_the_rest() -> None:
    ring = AudioRing(16000)
    ring.write(bytes(88_200), 44100)
    assert ring.pending_ms > 3
    assert ring.next_samples == 800


def test_a_stream_has_a_few_hundred_bytes_of_its_own() -> None:
    rings = [AudioRing(16000) for _ in range(100)]
    for ring in rings:
        ring.write(b"\0\0", 16000)
    tracemalloc.start()
    for ring in rings:
        ring.write(b"\0\0", 24000)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 100 * 1000
