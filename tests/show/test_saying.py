from __future__ import annotations

import pytest

from aai_stream.show.saying import (
    clock_time,
    count,
    day_time,
    length,
    plain,
    seconds,
    stamp,
)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "00:00.000"),
        (-0.2, "00:00.000"),
        (-412, "-00:00.412"),
        (12_340, "00:12.340"),
        (59_999.6, "01:00.000"),
        (3_599_000, "59:59.000"),
        (3_600_000, "1:00:00.000"),
        (36_061_005, "10:01:01.005"),
    ],
)
def test_a_stream_time(ms: float, text: str) -> None:
    assert stamp(ms) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00 s"),
        (0.00012, "0.1 ms"),
        (0.002, "2 ms"),
        (0.1, "0.10 s"),
        (61.5, "61.50 s"),
    ],
)
def test_a_length_of_time(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0:00"), (59.6, "1:00"), (3723, "1:02:03")]
)
def test_how_long_a_call_is(value: float, text: str) -> None:
    assert length(value) == text


@pytest.mark.usefixtures("east")
def test_a_moment_is_in_the_time_zone_here() -> None:
    assert day_time(1_795_867_200.6) == "2026-11-28 14:00:00 +0200"
    assert clock_time(1_795_867_200.6) == "14:00:00.600"


def test_text_steers_no_terminal() -> None:
    assert plain("a\x1b[31m\nb\u202e…é") == "a [31m b …é"


def test_a_count() -> None:
    assert [count(1, "turn"), count(2, "turn")] == ["1 turn", "2 turns"]
