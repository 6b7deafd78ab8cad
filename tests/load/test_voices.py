"""Voices speak in real time, and lateness is seen."""

from __future__ import annotations

import asyncio

import pytest

from aai_stream.load.lag import EVERY_SECONDS, LagProbe, percentile
from aai_stream.load.voices import Voices
from tests.clocks import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The loop, whose time is turned by hand."""
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 99, 0), ([5], 99, 5), (range(1, 101), 99, 99), ([3, 1, 2], 50, 2)],
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_a_loop_that_hangs_is_late_for_as_long_as_it_hangs(clock: Clock) -> None:
    probe = LagProbe()
    clock.block(20 * EVERY_SECONDS)
    # Though it was not called since.
    assert probe.late_ms() == [pytest.approx(19 * 1000 * EVERY_SECONDS)]
    clock.run(EVERY_SECONDS / 2)
    looked = probe.late_ms()
    assert len(looked) == 20
    assert percentile(looked, 50) == pytest.approx(9 * 1000 * EVERY_SECONDS)
    probe.restart()
    assert probe.late_ms() == []
    clock.run(10 * EVERY_SECONDS)
    assert probe.late_ms() == pytest.approx([0] * 10)
    probe.stop()
    assert clock.waiting == []


def test_voices_take_turns_and_are_spread_over_the_period(clock: Clock) -> None:
    said: list[int] = []
    voices = Voices(
        [lambda voice=voice: said.append(voice) for voice in range(4)],  # type: ignore[misc]
        period=0.02,
        record=True,
    )
    clock.run(0.0799)
    voices.stop()
    clock.run(1)
    assert said == [0, 1, 2, 3] * 3
    assert voices.pushes == [3] * 4
    firsts = [times[0] - 100 for times in voices.pushed]
    assert firsts == pytest.approx([0.02, 0.025, 0.03, 0.035])
    assert [len(times) for times in voices.pushed] == voices.pushes


async def test_what_goes_on_is_measured() -> None:
    voices = Voices([lambda: None] * 4, period=0.02)
    measured = await voices.measure(0.2)
    voices.stop()
    assert measured.frames == sum(voices.pushes)
    assert measured.due_frames == pytest.approx(200 * measured.seconds)
    assert measured.cpu_seconds > 0


def test_a_voice_that_is_late_makes_up_for_it(clock: Clock) -> None:
    def push() -> None:
        if voices.pushes[0] == 0:
            clock.block(0.1)

    voices = Voices([push], period=0.01, record=True)
    clock.run(0.2)
    times = [round(at - 100, 6) for at in voices.pushed[0]]
    assert times[0] == 0.01
    assert times[1:10] == [0.11] * 9  # as soon as it could, all that were due
    assert times[11:14] == [0.12, 0.13, 0.14]
