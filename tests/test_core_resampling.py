"""Resampling in the ring: the same samples however they come, and none lost."""

from __future__ import annotations

import functools
import tracemalloc
from itertools import accumulate
from typing import Literal

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from aai_stream._core import AudioRing
from tests import reference
from tests.audio import everything, noise, to_frames, to_pcm, to_samples

PAIRS = [
    (8000, 16000),
    (12000, 16000),
    (24000, 16000),
    (32000, 16000),
    (44100, 16000),
    (48000, 16000),
    (16000, 8000),
    (7999, 16000),
]
CUTS = {
    "10 ms": [10],
    "50 ms": [50],
    "whole": [100_000],
    "ragged": [1, 7, 250, 3, 90, 0],
}
"""How the input is cut, in ms, over and over."""


def push(ring: AudioRing, pcm: bytes, rate: int, cuts: list[int]) -> None:
    start = index = 0
    while start < len(pcm):
        size = 2 * max(1, rate * cuts[index % len(cuts)] // 1000)
        ring.write(pcm[start : start + size], rate)
        start, index = start + size, index + 1


@functools.cache
def resampled(
    rate_in: int, rate_out: int, resampler: Literal["auto", "soxr"]
) -> list[int]:
    """What three seconds of noise should become, however they are cut."""
    frames = to_frames(noise(rate_in * 3), 1)
    return reference.resample(frames, rate_in, rate_out, resampler)


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("resampler", ["auto", "soxr"])
@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_any_cutting_gives_the_same_samples(
    rate_in: int, rate_out: int, resampler: Literal["auto", "soxr"], cuts: list[int]
) -> None:
    audio = noise(rate_in * 3)
    ring = AudioRing(rate_out, resampler=resampler)
    push(ring, audio, rate_in, cuts)
    expected = resampled(rate_in, rate_out, resampler)
    assert to_samples(everything(ring)) == expected
    assert ring.samples_in == {rate_in: 3 * rate_in}


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("rate", [24000, 44100])
def test_a_long_write_is_as_good_as_many(rate: int, channels: int) -> None:
    pcm = noise(60_000, channels)
    ring = AudioRing(16000)
    ring.write(pcm, rate, channels)
    expected = reference.resample(to_frames(pcm, channels), rate, 16000)
    assert to_samples(everything(ring)) == expected


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [*PAIRS, (768_000, 1000), (1000, 768_000)]
)
def test_counts_round_to_the_nearest_half_up(rate_in: int, rate_out: int) -> None:
    for count in [*range(1, 12), 79, 1000, 12_345]:
        ring = AudioRing(rate_out)
        push(ring, noise(count), rate_in, [50])
        ring.drain()
        assert ring.written == reference.resampled_length(count, rate_in, rate_out)


@pytest.mark.parametrize("rate", [44_100, 24_000])
def test_an_hour_loses_no_sample(rate: int) -> None:
    ring = AudioRing(16000, replay_seconds=1)
    second = noise(rate)
    for _ in range(3600):
        ring.write(second, rate)
    ring.write(second[:22], rate)
    ring.drain()
    total = 3600 * rate + 11
    assert ring.samples_in == {rate: total}
    assert ring.written == reference.resampled_length(total, rate, 16_000)


@pytest.mark.parametrize("resampler", ["fir", "soxr"])
def test_output_saturates(resampler: Literal["fir", "soxr"]) -> None:
    square = to_pcm(([32767] * 24 + [-32768] * 24) * 100)
    ring = AudioRing(16000, resampler=resampler)
    ring.write(square, 48000)
    samples = to_samples(everything(ring))
    expected = reference.resample(to_frames(square, 1), 48000, 16000, resampler)
    assert samples == expected
    assert {32767, -32768} <= set(samples)  # it overshot, and was held


@pytest.mark.parametrize("resampler", ["fir", "soxr"])
def test_silence_stays_silence(resampler: Literal["fir", "soxr"]) -> None:
    ring = AudioRing(16000, resampler=resampler)
    push(ring, bytes(96_000), 48000, [10])
    assert everything(ring) == bytes(32_000)


def test_a_tone_comes_out_clean() -> None:
    def tone(rate: int) -> NDArray[np.float64]:
        return 20_000 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)

    ring = AudioRing(16000, resampler="soxr")
    push(ring, to_pcm(tone(48000).round()), 48000, [10])
    inner = slice(1000, -1000)  # away from the abrupt begin and end
    error = np.array(to_samples(everything(ring)))[inner] - tone(16000)[inner]
    ratio_db = 10 * np.log10(20_000**2 / 2 / np.mean(error**2))
    assert ratio_db > 90


def test_equal_rates_go_around_the_resampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(soxr, "ResampleStream")
    ring = AudioRing(16000)
    audio = noise(16000)
    push(ring, audio, 16000, [10])
    assert ring.pending_ms == 0
    assert everything(ring) == audio


@pytest.mark.parametrize("unsent", [0, 1, 799])
def test_short_pushes_are_resampled_once_a_chunk(
    unsent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(soxr.ResampleStream):  # type: ignore[misc]
        runs = 0

        def resample_chunk(
            self, x: NDArray[np.float32], last: bool = False
        ) -> NDArray[np.float32]:
            Counting.runs += 1
            output: NDArray[np.float32] = super().resample_chunk(x, last)
            return output

    monkeypatch.setattr(soxr, "ResampleStream", Counting)
    ring = AudioRing(16000, resampler="soxr")
    ring.write(bytes(2 * unsent), 16000)
    chunks = 0
    for _ in range(500):
        ring.write(bytes(960), 48000)
        while ring.next_chunk() is not None:
            chunks += 1
    assert chunks >= 98
    assert Counting.runs < 1.1 * chunks


def test_a_change_of_rate_drains_the_old_one() -> None:
    parts = [(24000, 1001), (16000, 333), (8000, 777), (48000, 5), (44100, 2400)]
    parts += [(24000, 10)]
    ring = AudioRing(16000)
    expected: list[int] = []
    for rate, count in parts:
        audio = noise(count, seed=rate)
        push(ring, audio, rate, [10])
        expected += (
            to_samples(audio)
            if rate == 16000
            else reference.resample(to_frames(audio, 1), rate, 16000)
        )
    assert to_samples(everything(ring)) == expected
    assert ring.samples_in == {
        24000: 1011,
        16000: 333,
        8000: 777,
        48000: 5,
        44100: 2400,
    }


def test_write_counts_what_a_change_of_rate_lets_out() -> None:
    ring = AudioRing(16000, resampler="soxr")
    assert ring.write(bytes(200), 8000) == 0
    assert ring.write(bytes(20), 16000) == 200 + 10
    assert ring.drain() == 0


@pytest.mark.parametrize("resampler", ["fir", "soxr"])
def test_drain_lets_out_all_and_begins_anew(resampler: Literal["fir", "soxr"]) -> None:
    audio = noise(2400)
    ring = AudioRing(16000, resampler=resampler)
    ring.write(audio, 24000)
    held = ring.pending_ms
    before = ring.written
    assert ring.drain() == 1600 - before == pytest.approx(held * 16, abs=1)
    assert (ring.pending_ms, ring.drain()) == (0, 0)
    ring.write(audio, 24000)
    ring.drain()
    once = reference.resample(to_frames(audio, 1), 24000, 16000, resampler)
    assert to_samples(everything(ring)) == once + once
    assert ring.samples_in == {24000: 4800}


def test_pending_ms_is_what_was_written_less_what_came_out() -> None:
    ring = AudioRing(16000, resampler="soxr")
    for total in accumulate([240] * 40):
        ring.write(bytes(480), 24000)
        pending = total / 24 - ring.written / 16
        assert ring.pending_ms == pytest.approx(pending)
        assert 0 <= pending < 50 + 40  # a chunk not yet run, and soxr's own delay


def test_a_write_of_minutes_leaves_no_large_buffers_behind() -> None:
    minutes = bytes(2 * 48000 * 120)
    ring = AudioRing(16000, replay_seconds=1)
    tracemalloc.start()
    ring.write(minutes, 48000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ring.written + ring.pending_ms * 16 == pytest.approx(16000 * 120)
    assert kept < 300_000
