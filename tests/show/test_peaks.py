from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt
import pytest

from aai_stream.show.peaks import Level, peaks


def pairs(level: Level) -> list[list[int]]:
    values = np.frombuffer(base64.b64decode(level.peaks), np.int8)
    return values.reshape(-1, 2).tolist()


def test_a_bucket_is_its_lowest_and_its_highest_sample() -> None:
    audio = np.zeros(400, np.int16)
    audio[[5, 170, 171]] = 256, 32_767, -32_768
    (level,) = peaks(audio, 16_000)  # 160 samples a bucket
    assert level.ms == 10
    assert pairs(level) == [[0, 1], [-128, 127], [0, 0]]


def test_levels_are_four_times_as_coarse_each() -> None:
    rng = np.random.default_rng(1)
    audio: npt.NDArray[np.int16] = rng.integers(-9000, 9000, 16_000 * 60, np.int16)
    levels = peaks(audio, 16_000)
    assert [(level.ms, len(pairs(level))) for level in levels] == [
        (10, 6000),
        (40, 1500),
        (160, 375),
    ]
    finest, _, coarsest = (pairs(level) for level in levels)
    assert coarsest[0][0] == min(low for low, _ in finest[:16])
    assert coarsest[0][1] == max(high for _, high in finest[:16])


def test_buckets_don_t_drift_where_a_rate_has_no_whole_one() -> None:
    """At 11025 Hz a bucket is 110.25 samples; sample 110 250 is at 10 s."""
    audio = np.zeros(11_025 * 11, np.int16)
    audio[110_250] = 25_600
    level = peaks(audio, 11_025)[0]
    assert [i for i, (_, high) in enumerate(pairs(level)) if high] == [1000]


@pytest.mark.parametrize("rate", [1000, 8000, 48_000])
def test_no_audio_has_no_buckets(rate: int) -> None:
    assert [pairs(level) for level in peaks(np.zeros(0, np.int16), rate)] == [[]]
