from __future__ import annotations

import pytest

from aai_stream.recorder.format import Pushed
from aai_stream.show.clock import Clock

RATE = 1000  # a sample is a millisecond
BEGAN = 100.0


def clock(*pushes: tuple[float, int]) -> Clock:
    """Of pushes at these moments, up to these samples; in two entries."""
    entries = [
        Pushed(
            unix=part[0][0],
            stream_ms=0,
            pushes=[(upto, round(1e6 * (at - part[0][0]))) for at, upto in part],
        )
        for part in (pushes[:1], pushes[1:])
        if part
    ]
    return Clock(entries, RATE, BEGAN)


STEADY = [(101.0 + i / 20, 50 * (i + 1)) for i in range(20)]  # 50 to 1000 ms


@pytest.mark.parametrize(
    ("unix", "ms"),
    [
        (100.4, -600),  # before the audio, by the clock
        (101.0, 0),
        (101.1, 150),
        (101.125, 175),  # between two pushes
        (101.95, 1000),
        (102.75, 1800),  # after the audio, by the clock
    ],
)
def test_a_moment_has_a_place_in_the_stream(unix: float, ms: float) -> None:
    at = clock(*STEADY).at(unix)
    assert at.unix == unix
    assert at.ms == pytest.approx(ms, abs=0.01)


def test_a_sample_was_pushed_with_the_push_that_holds_it() -> None:
    found = clock(*STEADY)
    assert found.pushed_at(1) == pytest.approx(101.0)
    assert found.pushed_at(50) == pytest.approx(101.0)
    assert found.pushed_at(50.5) == pytest.approx(101.05)
    assert found.pushed_at(51) == pytest.approx(101.05)
    assert found.pushed_at(99_999) == pytest.approx(101.95)


def test_so_much_was_pushed_by_a_moment() -> None:
    found = clock(*STEADY)
    assert found.pushed_by(100.9) == 0
    assert found.pushed_by(101.07) == 100
    assert found.pushed_by(999.0) == 1000


def test_without_audio_there_is_only_the_clock() -> None:
    found = clock()
    assert found.pushed_at(1) is None
    assert found.pushed_by(200.0) == 0
    assert found.at(101.5).ms == 1500
    assert [point.unix for point in found.pace()] == [BEGAN]
    assert (found.pauses(), found.end_ms) == ([], 0)


def test_a_pause_is_where_nothing_is_pushed() -> None:
    later = [(at + 5.0, upto + 1000) for at, upto in STEADY]
    (pause,) = clock(*STEADY, *later).pauses()
    assert pause.at.ms == 1000
    assert pause.seconds == pytest.approx(4.05)


def test_long_pushes_are_no_pause() -> None:
    assert clock((101.0, 5000), (106.0, 10_000)).pauses() == []


def test_the_pace_of_steady_audio_is_two_points() -> None:
    assert [point.ms for point in clock(*STEADY).pace()] == [50, 1000]


def test_the_pace_keeps_both_sides_of_a_pause() -> None:
    later = [(at + 5.0, upto + 1000) for at, upto in STEADY]
    points = clock(*STEADY, *later).pace()
    assert [point.ms for point in points] == [50, 1000, 1050, 2000]
    assert points[2].unix == pytest.approx(106.0)
