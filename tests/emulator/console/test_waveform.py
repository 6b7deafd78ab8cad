"""The lowest and the highest sample of every 50 ms, however the audio was cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream.emulator.console.waveform import Waveform

RATE = 8_000
SIZE = 400  # samples in 50 ms


def wave_of(*pieces: bytes) -> Waveform:
    wave = Waveform(RATE)
    for piece in pieces:
        wave.add(piece)
    return wave


def test_each_bucket_has_its_lowest_and_highest_sample() -> None:
    samples = np.zeros(3 * SIZE, np.int16)
    samples[5], samples[SIZE - 1] = 32767, -32768
    samples[SIZE + 7] = 256
    assert wave_of(samples.tobytes()).since(0) == (0, [-128, 127, 0, 1, 0, 0])


@given(st.lists(st.integers(0, 5 * SIZE), max_size=12))
def test_it_does_not_matter_how_the_audio_was_cut(cuts: list[int]) -> None:
    rng = np.random.default_rng(0)
    audio = rng.integers(-30_000, 30_000, 5 * SIZE + 17, np.int16).tobytes()
    edges = [0, *sorted(2 * cut for cut in cuts), len(audio)]
    pieces = [audio[a:b] for a, b in pairwise(edges)]
    assert wave_of(*pieces).since(0) == wave_of(audio).since(0)
    assert wave_of(*pieces).count == 5


def test_only_what_is_new_is_told() -> None:
    ramp = np.repeat(np.arange(4, dtype=np.int16) * 256, SIZE)
    wave = wave_of(ramp.tobytes())
    assert wave.since(2) == (2, [2, 2, 3, 3])
    assert wave.since(4) == (4, [])


def test_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aai_stream.emulator.console.waveform.LONGEST_MS", 100)
    ramp = np.repeat(np.arange(5, dtype=np.int16) * 256, SIZE)
    assert wave_of(ramp.tobytes()).since(0) == (3, [3, 3, 4, 4])
