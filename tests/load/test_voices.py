"""Voices speak in real time, and lateness is seen."""

from __future__ import annotations

import asyncio
import time

import pytest

from aai_stream.load.lag import EVERY_SECONDS, LagProbe, percentile
from aai_stream.load.voices import Voices


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 99, 0), ([5], 99, 5), (range(1, 101), 99, 99), ([3, 1, 2], 50, 2)],
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


async def test_a_loop_that_hangs_is_late_for_as_long_as_it_hangs() -> None:
    probe = LagProbe()
    await asyncio.sleep(0)
    time.sleep(20 * EVERY_SECONDS)  # noqa: ASYNC251 - the fault that is looked for
    late = probe.late_ms()
    for _ in range(2):
        await asyncio.sleep(0)
    looked = probe.late_ms()
    probe.stop()
    assert max(late) >= 18 * 1000 * EVERY_SECONDS  # though it was not called since
    assert len(looked) >= 18
    assert percentile(looked, 50) >= 8 * 1000 * EVERY_SECONDS
    probe.restart()
    assert len(probe.late_ms()) <= 1


async def test_voices_take_turns_and_are_spread_over_the_period() -> None:
    said: list[int] = []
    done = asyncio.Event()

    def speak(voice: int) -> None:
        said.append(voice)
        if len(said) == 12:
            done.set()

    voices = Voices(
        [lambda voice=voice: speak(voice) for voice in range(4)],  # type: ignore[misc]
        period=0.02,
        record=True,
    )
    window = asyncio.ensure_future(voices.measure(0.2))
    await done.wait()
    voices.stop()
    assert said[:12] == [0, 1, 2, 3] * 3
    assert [len(times) for times in voices.pushed] == voices.pushes
    firsts = [times[0] for times in voices.pushed]
    assert firsts[3] - firsts[0] >= 0.01  # 15 ms as planned
    measured = await window
    assert measured.frames == sum(voices.pushes)
    assert measured.due_frames == pytest.approx(200 * measured.seconds)
    assert measured.cpu_seconds > 0


async def test_a_voice_that_is_late_makes_up_for_it() -> None:
    made_up = asyncio.Event()

    def push() -> None:
        count = voices.pushes[0] + 1
        if count == 1:
            time.sleep(0.1)
        elif count == 10:
            made_up.set()

    voices = Voices([push], period=0.01, record=True)
    await made_up.wait()
    voices.stop()
    times = voices.pushed[0]
    assert times[1] - times[0] >= 0.1
    assert times[9] - times[1] < 0.05  # and not 80 ms, as they were due
