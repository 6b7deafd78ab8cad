"""The filters of small ratios: what they pass, what they stop, and that they fit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import _filters as filters
from aai_stream._core import AudioRing
from tests import reference

RATIOS = filters.RATIOS


def of(up: int, down: int) -> filters.Filter:
    form = filters.between(down * 8000, up * 8000)
    assert form is not None
    return form


def response(
    form: filters.Filter,
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Frequencies, in units of the lower rate, and the gain without its delay."""
    taps = np.array(reference.prototype(form)) / 2**form.shift / form.up
    count = 1 << 16
    frequencies = np.arange(count // 2 + 1) / count
    delay = np.exp(2j * np.pi * frequencies * (len(taps) // 2))
    return frequencies * max(form.up, form.down), np.fft.rfft(taps, count) * delay


@pytest.mark.parametrize(("up", "down"), RATIOS)
def test_flat_to_0_425_and_down_from_0_5375(up: int, down: int) -> None:
    at, gain = response(of(up, down))
    passed, stopped = gain[at <= 0.425], gain[at >= 0.5375]
    assert np.abs(20 * np.log10(np.abs(passed))).max() < 0.1
    assert np.abs(np.angle(passed)).max() < 0.002  # on time: a quarter of a µs at 1 kHz
    assert 20 * np.log10(np.abs(stopped).max()) < -70


@pytest.mark.parametrize(("up", "down"), RATIOS)
def test_every_phase_has_the_gain_1_and_cannot_overflow(up: int, down: int) -> None:
    form = of(up, down)
    assert (form.up, form.down) == (up, down)
    wide = form.coefficients.astype(int)
    assert wide.sum(axis=1).tolist() == [1 << form.shift] * up
    loudest = 32768 * np.abs(wide).sum(axis=1).max() + (1 << form.shift - 1)
    assert loudest < 2**31
    assert np.abs(wide).max() <= 32767


@pytest.mark.parametrize(("up", "down"), RATIOS)
def test_filters_are_small(up: int, down: int) -> None:
    phases, taps = of(up, down).coefficients.shape
    assert phases == up
    assert taps % 8 == 0  # what SIMD takes at a time
    assert taps <= 240


@pytest.mark.parametrize(("up", "down"), RATIOS)
def test_the_core_applies_them(up: int, down: int) -> None:
    loud = np.random.default_rng(1).integers(-16384, 16384, 2000).astype(np.int16)
    ring = AudioRing(up * 8000, resampler="fir", replay_seconds=10)
    ring.write(loud, down * 8000)
    ring.drain()
    heard = b"".join(bytes(chunk) for chunk in ring.flush(0))
    expected = reference.convolve(loud.tolist(), down * 8000, up * 8000)
    assert np.frombuffer(heard, np.int16).tolist() == expected


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(44100, 16000), (7, 1), (1, 7), (16000, 44100)]
)
def test_no_filter_for_other_ratios(rate_in: int, rate_out: int) -> None:
    assert filters.between(rate_in, rate_out) is None
