"""How fast audio that has waited may follow."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream._core import Pacer
from aai_stream.errors import OptionError
from aai_stream.protocol.pace import (
    BURST_SECONDS,
    CATCH_UP_RATE,
    check_rate,
    slow_down,
)
from aai_stream.protocol.settings import Settings

RATE = 16_000
CHUNK = 800
CHUNK_SECONDS = CHUNK / RATE


class Paced:
    """A pacer, and what time it is."""

    def __init__(self, rate: float = CATCH_UP_RATE, sample_rate: int = RATE) -> None:
        self.now = 1000.0
        self.pacer = Pacer(rate, sample_rate, BURST_SECONDS)

    def wait(self) -> float:
        """How long the next chunk has to wait; if not at all, it passes."""
        if not self.pacer.is_open(self.now):
            return self.pacer.opens_at - self.now
        self.pacer.spend(CHUNK, self.now)
        return 0.0

    def burst(self, most: int = 1000) -> int:
        """How many chunks pass now."""
        return next((n for n in range(most) if self.wait()), most)

    def seconds_of(self, chunks: int) -> float:
        """How long so many take, each sent as soon as it may be."""
        before = self.now
        for _ in range(chunks):
            while wait := self.wait():
                self.now += wait
        return self.now - before


@pytest.mark.parametrize("bad", [1, 0.5, 0, -2, math.nan, "2", None])
def test_a_rate_that_could_not_keep_up_is_refused(bad: Any) -> None:
    with pytest.raises(OptionError, match="catch_up_rate must be above 1, not"):
        check_rate(bad)
    with pytest.raises(OptionError, match="catch_up_rate must be above 1, not"):
        settings(bad)


@pytest.mark.parametrize("good", [1.01, 2, 10, math.inf])
def test_any_other_rate_is_taken(good: float) -> None:
    check_rate(good)
    assert settings(good).catch_up_rate == good


def settings(catch_up_rate: Any) -> Settings:
    return Settings(
        begin_timeout=1,
        close_timeout=1,
        dead_after=1,
        catch_up_rate=catch_up_rate,
        skip_silence=True,
    )


def test_without_a_pace_all_passes() -> None:
    assert Paced(math.inf).burst(10_000) == 10_000


@pytest.mark.parametrize("rate", [1.01, 1.25, 2, 10])
def test_behind_the_burst_the_rate_is_kept(rate: float) -> None:
    paced = Paced(rate)
    paced.burst()
    took = paced.seconds_of(1000)
    # What the burst left over is less than a chunk.
    assert 1000 * CHUNK_SECONDS / took == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 48_000])
def test_the_pace_is_in_seconds_whatever_the_rate_of_the_audio(
    sample_rate: int,
) -> None:
    paced = Paced(2, sample_rate)
    paced.burst()
    took = paced.seconds_of(1000)
    assert 1000 * CHUNK / sample_rate / took == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("rate", [1.25, 4])
def test_the_burst_is_as_long_as_it_says(rate: float) -> None:
    burst = Paced(rate).burst() * CHUNK_SECONDS
    assert BURST_SECONDS <= burst <= BURST_SECONDS + CHUNK_SECONDS


def test_the_burst_is_about_a_handshakes_worth() -> None:
    burst = Paced().burst() * CHUNK_SECONDS
    assert BURST_SECONDS <= burst <= 1.5 * BURST_SECONDS


def test_what_may_not_pass_costs_nothing() -> None:
    paced = Paced()
    paced.burst()
    wait = paced.wait()
    assert wait > 0
    assert paced.wait() == wait
    paced.now += wait / 2
    assert paced.wait() == pytest.approx(wait / 2)
    paced.now += wait / 2
    assert paced.wait() == pytest.approx(0, abs=1e-9)


def test_after_a_pause_the_burst_is_there_again() -> None:
    paced = Paced()
    first = paced.burst()
    paced.now += 100  # and no more than one burst was saved up
    assert paced.burst() == pytest.approx(first, abs=1)


@given(
    jitter=st.lists(st.floats(0, 0.9), min_size=1, max_size=200),
    rate=st.floats(1.01, 4),
)
def test_live_audio_never_waits(jitter: list[float], rate: float) -> None:
    """It may come late, by less than the burst, but not faster than it is spoken."""
    paced = Paced(rate)
    begin = paced.now
    for number, late in enumerate(jitter, start=1):
        paced.now = max(paced.now, begin + number * CHUNK_SECONDS + late)
        assert paced.wait() == 0


@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), max_size=20),
    rate=st.floats(1.01, 4),
)
def test_no_stretch_of_time_gets_more_than_its_share(
    steps: list[tuple[float, int]], rate: float
) -> None:
    paced = Paced(rate)
    passed: list[tuple[float, float]] = []  # when, how much up to then
    total = 0.0
    for pause, chunks in steps:
        paced.now += pause
        for _ in range(chunks):
            if paced.wait():
                break
            passed.append((paced.now, total))
            total += CHUNK_SECONDS
    most = rate * BURST_SECONDS + 2 * CHUNK_SECONDS
    for first, (begin, before) in enumerate(passed):
        for end, after in passed[first:]:
            assert after - before <= most + rate * (end - begin) + 1e-6


def test_slowing_down() -> None:
    paced = Paced(CATCH_UP_RATE)
    first = paced.burst()
    slow_down(paced.pacer)
    paced.now += 100
    assert paced.burst() < 0.6 * first
    rates = []
    for _ in range(4):
        rates.append(100 * CHUNK_SECONDS / paced.seconds_of(100))
        slow_down(paced.pacer)
    assert rates == pytest.approx([1.125, 1.0625, 1.03125, 1.015625], rel=0.05)
    assert all(one > 1 for one in rates)  # or live audio would fall behind


def test_without_a_pace_slowing_down_gives_one() -> None:
    paced = Paced(math.inf)
    paced.burst(10)
    slow_down(paced.pacer)
    assert paced.burst() < 1000
    rate = 1000 * CHUNK_SECONDS / paced.seconds_of(1000)
    assert rate == pytest.approx(1.125, rel=1e-3)
