"""What `Steadiness` takes for steady audio, and how loud a ring says that audio is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream._core import AudioRing, Steadiness
from aai_stream.errors import AudioError
from tests import reference
from tests.audio import hum, speech

RATE = 16_000
SHORTEST = 3 * RATE


def ring_of(*parts: bytes, rate: int = RATE, encoding: Any = "pcm_s16le") -> AudioRing:
    ring = AudioRing(rate, encoding=encoding, replay_seconds=600)
    for part in parts:
        ring.write(part, rate)
    return ring


def stretches(ring: AudioRing, shortest: int = SHORTEST) -> list[tuple[int, int]]:
    """All that are steady, the present one included."""
    steadiness = Steadiness(ring)
    found = steadiness.follow(shortest)
    if steadiness.seen - steadiness.since >= shortest:
        found.append((steadiness.since, steadiness.seen))
    return found


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_mulaw"])
@pytest.mark.parametrize("rate", [8000, RATE, 48_000])
@pytest.mark.parametrize("rms", [0, 1, 18, 100, 2000])
def test_silence_and_the_noise_of_a_room_are_steady(
    rms: float, rate: int, encoding: Any
) -> None:
    ring = ring_of(hum(30, rms, rate), rate=rate, encoding=encoding)
    assert stretches(ring) == [(0, 30 * rate)]


@pytest.mark.parametrize("offset", [0, 400])
@pytest.mark.parametrize("peak", [20, 50, 100, 200, 1000, 20_000])
def test_speech_is_not_however_soft(peak: float, offset: int) -> None:
    samples = np.frombuffer(speech(30, peak), np.int16) + np.int16(offset)
    assert stretches(ring_of(samples.tobytes())) == []


@pytest.mark.parametrize(("peak", "rms"), [(100, 18), (900, 184), (2600, 580)])
def test_nor_in_noise(peak: float, rms: float) -> None:
    assert stretches(ring_of(speech(30, peak, noise_rms=rms))) == []


def test_a_stretch_ends_where_it_gets_louder_or_softer() -> None:
    ring = ring_of(hum(5, 18), speech(1, 120), hum(4, 18), hum(4, 100), bytes(8 * RATE))
    found = stretches(ring)
    assert [round(start / RATE, 1) for start, _ in found] == [0, 6, 10, 14]
    assert [round(end / RATE, 1) for _, end in found] == [5, 10, 14, 18]


def test_a_short_stretch_is_not_told() -> None:
    ring = ring_of(hum(2.9, 18), hum(3.1, 400), hum(0.1, 18))
    assert stretches(ring) == [(round(2.9 * RATE), 6 * RATE)]


def test_it_goes_on_where_it_was() -> None:
    ring = ring_of()
    steadiness = Steadiness(ring)
    for n in range(40):
        ring.write(hum(0.05, 18, seed=n), RATE)
        assert steadiness.follow(SHORTEST) == []
    assert (steadiness.since, steadiness.seen) == (0, 2 * RATE)


def test_what_the_ring_let_go_of_is_in_no_stretch() -> None:
    ring = ring_of(bytes(8 * RATE))
    steadiness = Steadiness(ring)
    steadiness.follow(SHORTEST)
    ring.write(bytes(8 * RATE), RATE)
    ring.flush()
    ring.ack(6 * RATE)
    assert steadiness.follow(SHORTEST) == [(0, 4 * RATE)]
    assert (steadiness.since, steadiness.seen) == (6 * RATE, 8 * RATE)
    with pytest.raises(AudioError, match="start must be an integer from 96000"):
        Steadiness(ring, 5 * RATE)


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_mulaw"])
@given(data=st.data())
def test_moments(encoding: Any, data: st.DataObject) -> None:
    samples = data.draw(st.lists(st.integers(-32768, 32767), max_size=3000))
    ring = AudioRing(encoding=encoding)
    ring.write(np.array(samples, np.int16), RATE)
    if encoding == "pcm_mulaw":
        codes = [reference.encode_mulaw(sample) for sample in samples]
        samples = [reference.decode_mulaw(code) for code in codes]
    start = data.draw(st.integers(0, len(samples)))
    stop = data.draw(st.integers(start, len(samples)))
    window = data.draw(st.integers(1, 700))
    expected = []
    for first in range(start, stop - window + 1, window):
        part = samples[first : first + window]
        expected.append((sum(part), sum(sample * sample for sample in part)))
    assert ring.moments(start, stop, window) == expected


@pytest.mark.parametrize(
    ("start", "stop", "window"), [(99, 200, 1), (100, 301, 1), (200, 199, 1), (0, 0, 0)]
)
def test_moments_of_what_is_not_kept(start: int, stop: int, window: int) -> None:
    ring = ring_of(bytes(600))
    ring.flush(min_ms=0)
    ring.ack(100)
    with pytest.raises(AudioError, match="must be an integer from"):
        ring.moments(start, stop, window)
