"""The harness of benchmarks/density: what it counts, not what it finds."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from aai_stream.load.clients import Setting
from aai_stream.load.host import Ran
from aai_stream.load.ramp import Step
from aai_stream.load.serving import ServerReport
from aai_stream.load.voices import Window
from benchmarks.density.held import held_back_ms
from benchmarks.density.latency import latencies
from benchmarks.density.report import load
from benchmarks.density.spread import Spread
from benchmarks.density.turns import (
    HARNESS,
    OURS,
    THEIRS,
    is_trusty,
    missing_ms,
    net_us,
)

HAS_TWO_CORES = sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1
SETTING = Setting("wss://127.0.0.1", 24_000)


def step(
    cpu_seconds: float = 1.0,
    *,
    pushed: list[float] | None = None,
    pushes: int = 0,
    arrivals: list[float] | None = None,
    server_cpu: float = 0.5,
    server_lag: float = 1.0,
) -> Step:
    """100 streams for two seconds, of which one is looked at."""
    window = Window(2.0, cpu_seconds, frames=4000, due_frames=4000, late_ms=[1.0])
    came = array("d", arrivals or [])
    ran = Ran(window, {"s": array("d", pushed or [])}, {"s": pushes}, {"s": None}, 0)
    heard = int(came[-2]) if came else 0
    report = ServerReport({"s": heard}, {"s": came}, server_lag, server_cpu)
    return Step(100, ran, report)


def test_the_harness_is_subtracted() -> None:
    steps = {OURS: step(0.4), THEIRS: step(0.8), HARNESS: step(0.1)}
    assert net_us(steps, OURS) == pytest.approx(75)
    assert net_us(steps, THEIRS) == pytest.approx(175)


def test_a_cost_is_for_50_ms_whatever_a_frame_has() -> None:
    window = Window(2.0, 0.4, frames=20_000, due_frames=20_000, late_ms=[])
    nothing = Window(2.0, 0.0, frames=20_000, due_frames=20_000, late_ms=[])
    report = ServerReport({}, {}, 0, 0)
    steps = {
        name: Step(100, Ran(each, {}, {}, {}, 0), report)
        for name, each in ((OURS, window), (HARNESS, nothing))
    }
    assert net_us(steps, OURS) == pytest.approx(100)


def test_latency_from_the_push_and_from_the_last_sample() -> None:
    # 20 pushes before this run; each chunk needs the push after its last sample's.
    pushed = [100 + 0.05 * n for n in range(30)]
    arrivals: list[float] = []
    for n in range(1, 30):
        arrivals += [1600 * (20 + n), pushed[n] + 0.002]
    found = latencies(step(pushed=pushed, pushes=50, arrivals=arrivals), SETTING)
    assert found.path_p50_ms == pytest.approx(2)
    assert found.path_p99_ms == pytest.approx(2)
    assert found.sound_p50_ms == pytest.approx(52)
    assert found.sound_p99_ms == pytest.approx(52)


def test_audio_that_is_not_with_the_server_is_missed() -> None:
    heard = step(pushes=10, arrivals=[8 * 1600, 1.0])
    assert missing_ms(heard.ran, heard, SETTING) == [100.0]


def test_a_late_server_makes_figures_invalid() -> None:
    assert is_trusty([step()])
    assert not is_trusty([step(), step(server_cpu=0.95)])
    assert not is_trusty([step(server_lag=30)])


def test_spread() -> None:
    assert Spread.of([3, 1, 2, 9]) == Spread(2.5, 1, 9)
    assert str(Spread(2.54, 1, 9)) == "2.5 (1.0 to 9.0)"
    assert str(Spread(254.4, 100, 900)) == "254 (100 to 900)"


def test_what_a_resampler_holds_back_is_measured_at_its_output() -> None:
    ours, theirs = held_back_ms(24_000)
    for held in (ours, theirs):
        assert 0 <= held.low <= held.median <= held.high < 60
    assert theirs.high > 20  # soxr works in blocks
    assert held_back_ms(16_000)[0] == Spread(0, 0, 0)


@pytest.mark.skipif(not HAS_TWO_CORES, reason="a core for each kind of process")
def test_a_row_and_its_table(tmp_path: Path) -> None:
    """What it finds in so short a time may be anything, below zero, too."""
    path = tmp_path / "density.json"
    command = [sys.executable, "-m", "benchmarks.density", "--json", str(path)]
    run = [*command, "--quick", "--rows", "4"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    measured = load(path)
    (row,) = measured["rows"]
    assert row["number"] == "4"
    for name in ("ours", "theirs"):
        found = row[name]
        assert -math.inf < found["low"] <= found["median"] <= found["high"] < math.inf
    assert float(row["remarks"][0].split()[1]) > 0  # the harness
    assert all(us > 0 for us in measured["floor_us"].values())
    table = subprocess.run([*command, "--markdown"], capture_output=True, text=True)
    assert table.stdout
    assert done.stdout.endswith(table.stdout)
    cells = next(line for line in table.stdout.splitlines() if "| 4 |" in line)
    assert len(cells.split(" | ")) == 7
