"""Resampling in the ring: the same samples however they come, and none lost."""

from __future__ import annotations

import tracemalloc
from itertools import accumulate

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from aai_stream._core import AudioRing
from tests import reference
from tests.audio import everything, noise, to_frames, to_pcm, to_samples

PAIRS = [
    (8000, 16000),
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


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_any_cutting_gives_the_same_samples(
    rate_in: int, rate_out: int, cuts: list[int]
) -> None:
    audio = noise(rate_in * 3)
    ring = AudioRing(rate_out)
    push(ring, audio, rate_in, cuts)
    expected = reference.resample(to_samples(audio), rate_in, rate_out)
    assert to_samples(everything(ring)) == expected
    assert ring.samples_in == {rate_in: 3 * rate_in}


@pytest.mark.parametrize("channels", [1, 2])
def test_a_long_write_is_as_good_as_many(channels: int) -> None:
    pcm = noise(60_000, channels)
    ring = AudioRing(16000)
    ring.write(pcm, 24000, channels)
    means = [sum(frame) / channels for frame in to_frames(pcm, channels)]
    expected = reference.resample(means, 24000, 16000)
    assert to_samples(everything(ring)) == expected


@pytest.mark.parametrize("quality", ["QQ", "LQ", "MQ", "HQ", "VHQ"])
def test_the_quality_is_the_one_asked_for(quality: str) -> None:
    audio = noise(4410)
    ring = AudioRing(quality=quality)  # type: ignore[arg-type]
    push(ring, audio, 44100, [10])
    assert ring.pending_ms >= 0
    expected = reference.resample(to_samples(audio), 44100, 16000, quality=quality)
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


def test_an_hour_loses_no_sample() -> None:
    ring = AudioRing(16000, replay_seconds=1, quality="LQ")
    second = noise(44_100)
    for _ in range(3600):
        ring.write(second, 44_100)
    ring.write(second[:22], 44_100)
    ring.drain()
    total = 3600 * 44_100 + 11
    assert ring.samples_in == {44_100: total}
    assert ring.written == reference.resampled_length(total, 44_100, 16_000)


def test_output_saturates() -> None:
    square = ([32767] * 24 + [-32768] * 24) * 100
    ring = AudioRing(16000)
    ring.write(to_pcm(square), 48000)
    samples = to_samples(everything(ring))
    assert samples == reference.resample(square, 48000, 16000)
    assert {32767, -32768} <= set(samples)  # it overshot, and was held


def test_silence_stays_silence() -> None:
    ring = AudioRing(16000)
    push(ring, bytes(96_000), 48000, [10])
    assert everything(ring) == bytes(32_000)


def test_a_tone_comes_out_clean() -> None:
    def tone(rate: int) -> NDArray[np.float64]:
        return 20_000 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)

    ring = AudioRing(16000)
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
    ring = AudioRing(16000)
    ring.write(bytes(2 * unsent), 16000)
    chunks = 0
    for _ in range(500):
        ring.write(bytes(960), 48000)
        while ring.next_chunk() is not None:
            chunks += 1
    assert chunks >= 98
    assert Counting.runs < 1.1 * chunks


def test_a_change_of_rate_drains_the_old_one() -> None:
    parts = [(24000, 1001), (16000, 333), (8000, 777), (48000, 5), (24000, 2400)]
    ring = AudioRing(16000)
    expected: list[int] = []
    for rate, count in parts:
        audio = noise(count, seed=rate)
        push(ring, audio, rate, [10])
        expected += (
            to_samples(audio)
            if rate == 16000
            else reference.resample(to_samples(audio), rate, 16000)
        )
    assert to_samples(everything(ring)) == expected
    assert ring.samples_in == {24000: 3401, 16000: 333, 8000: 777, 48000: 5}


def test_write_counts_what_a_change_of_rate_lets_out() -> None:
    ring = AudioRing(16000)
    assert ring.write(bytes(200), 8000) == 0
    assert ring.write(bytes(20), 16000) == 200 + 10
    assert ring.drain() == 0


def test_drain_lets_out_all_and_begins_anew() -> None:
    audio = noise(2400)
    ring = AudioRing(16000)
    ring.write(audio, 24000)
    held = ring.pending_ms
    before = ring.written
    assert ring.drain() == 1600 - before == pytest.approx(held * 16, abs=1)
    assert (ring.pending_ms, ring.drain()) == (0, 0)
    ring.write(audio, 24000)
    ring.drain()
    once = reference.resample(to_samples(audio), 24000, 16000)
    assert to_samples(everything(ring)) == once + once
    assert ring.samples_in == {24000: 4800}


def test_pending_ms_is_what_was_written_less_what_came_out() -> None:
    ring = AudioRing(16000)
    for total in accumulate([240] * 40):
        ring.write(bytes(480), 24000)
        pending = total / 24 - ring.written / 16
        assert ring.pending_ms == pytest.approx(pending)
        assert 0 <= pending < 50 + 40  # a chunk not yet run, and soxr's own delay


def test_pending_ms_is_never_negative() -> None:
    ring = AudioRing(16000, quality="QQ")
    ahead = 0.0
    for total in accumulate([1200] * 60):
        ring.write(bytes(2400), 44100)
        assert ring.pending_ms >= 0
        ahead = max(ahead, ring.written / 16 - total / 44.1)
        while ring.next_chunk() is not None:
            pass
    assert ahead > 0  # the last sample may be rounded up


def test_a_write_of_minutes_leaves_no_large_buffers_behind() -> None:
    minutes = bytes(2 * 48000 * 120)
    ring = AudioRing(16000, replay_seconds=1)
    tracemalloc.start()
    ring.write(minutes, 48000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ring.written + ring.pending_ms * 16 == pytest.approx(16000 * 120)
    assert kept < 300_000
