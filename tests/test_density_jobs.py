"""The rows of a process per job: what they make of what jobs tell."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import aai_stream.livekit
from benchmarks.density.job import First, Kind, Spoken, Weight
from benchmarks.density.jobs import KINDS, Measured, frame_us, job_rows, once_ms
from benchmarks.density.report import load
from benchmarks.density.results import Row
from benchmarks.density.spread import Spread
from benchmarks.density.turns import HARNESS, OURS, THEIRS

HAS_TWO_CORES = sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1


def first(
    cpu_ms: float, then_ms: float, push_cpu_ms: float = 0.25, push_ms: float = 0.5
) -> First:
    spoken, then = Spoken(cpu_ms / 1000, 80), Spoken(then_ms / 1000, 80)
    return First(spoken, then, push_ms, push_cpu_ms, held_ms=2.0)


def spoken(us: float) -> Spoken:
    return Spoken(40 * us / 1e6, 40)


MEASURED = Measured(
    firsts={
        OURS: [first(40, 8), first(42, 8), first(44, 8)],
        THEIRS: [first(74, 32), first(74, 32), first(84, 32, 2.0, 3.0)],
        HARNESS: [first(20, 4), first(20, 4), first(20, 4)],
    },
    rounds=[
        {
            OURS: [spoken(100), spoken(100)],
            THEIRS: [spoken(300), spoken(500)],
            HARNESS: [spoken(50), spoken(50)],
        }
    ]
    * 3,
    weights={
        OURS: [Weight(9 * 1024, 12 * 1024)] * 3,
        THEIRS: [Weight(11 * 1024, 16 * 1024)] * 3,
        HARNESS: [Weight(7 * 1024, 10 * 1024)] * 3,
    },
)


def rows_of(measured: Measured) -> dict[str, Row]:
    return {row.number: row for row in job_rows(measured, tls=True)}


def constant(figure: float) -> Spread:
    return Spread(figure, figure, figure)


def test_a_frame_s_cpu_is_what_jobs_use_while_they_speak() -> None:
    assert frame_us([Spoken(0.004, 40), Spoken(0.012, 40)]) == pytest.approx(200)
    row = rows_of(MEASURED)["9a"]
    assert row.title == "a process per job, 24 kHz in 50 ms: CPU of a frame"
    assert row.ours.median == pytest.approx(50)
    assert row.theirs is not None
    assert row.theirs.median == pytest.approx(350)
    assert row.ratio is not None
    assert row.ratio.median == pytest.approx(7)
    assert row.met
    assert row.remarks == ["harness 50.0 µs, subtracted"]


def test_what_comes_once_is_what_the_frames_don_t_take() -> None:
    late = First(Spoken(0.05, 80), Spoken(0.005, 50), 0, 0, 0)
    assert once_ms(late) == pytest.approx(42)
    row = rows_of(MEASURED)["9b"]
    assert str(row.ours) == "18.0 (16.0 to 20.0)"  # 32, 34 and 36, without 16
    assert str(row.theirs) == "26 (26 to 36)"  # 42, 42 and 52
    assert row.met
    slow = replace(MEASURED, firsts={**MEASURED.firsts, OURS: [first(60, 8)] * 3})
    assert not rows_of(slow)["9b"].met


def test_a_push_is_timed_as_a_thread_s_cpu_and_by_the_clock() -> None:
    row = rows_of(MEASURED)["9c"]
    assert row.ours == constant(0.25)
    assert row.theirs == Spread(0.25, 0.25, 2.0)
    assert row.met
    assert row.remarks == [
        "by the clock: ours 0.5 (0.5 to 0.5) ms, theirs 0.5 (0.5 to 3.0) ms",
        "event loop held in the first second: ours 2.0 (2.0 to 2.0) ms, "
        "theirs 2.0 (2.0 to 2.0) ms, harness 2.0 (2.0 to 2.0) ms",
    ]
    slow = [first(40, 8, push_cpu_ms=1.5)] * 3
    measured = replace(MEASURED, firsts={**MEASURED.firsts, OURS: slow})
    assert not rows_of(measured)["9c"].met


def test_memory_is_what_a_job_shares_with_nobody() -> None:
    row = rows_of(MEASURED)["9d"]
    assert (row.ours, row.theirs, row.ratio) == (
        constant(2.0),
        constant(4.0),
        constant(2.0),
    )
    assert row.met
    assert row.remarks[1].startswith("proportional set size: ours 12.0 (12.0 to 12.0)")
    heavy = {**MEASURED.weights, OURS: [Weight(15 * 1024, 0)] * 3}
    assert not rows_of(replace(MEASURED, weights=heavy))["9d"].met


def test_nothing_is_infinitely_less() -> None:
    light = {**MEASURED.weights, OURS: MEASURED.weights[HARNESS]}
    row = rows_of(replace(MEASURED, weights=light))["9d"]
    assert row.ratio == constant(math.inf)


def test_a_late_server_makes_only_those_figures_invalid() -> None:
    late = rows_of(replace(MEASURED, firsts_trusty=False))
    assert [number for number, row in late.items() if not row.trusty] == ["9b", "9c"]
    late = rows_of(replace(MEASURED, rounds_trusty=False))
    assert [number for number, row in late.items() if not row.trusty] == ["9a"]


def test_a_weight_is_read_from_smaps() -> None:
    text = (
        "55d6c0000000-7ffd2b1f2000 ---p 00000000 00:00 0    [rollup]\n"
        "Rss:               11000 kB\n"
        "Pss:                4000 kB\n"
        "Private_Clean:       100 kB\n"
        "Private_Dirty:      2500 kB\n"
    )
    assert Weight.of_smaps(text) == Weight(2600, 4000)


def test_a_kind_must_have_been_imported_before_the_fork() -> None:
    assert KINDS[OURS].make() is aai_stream.livekit.STT
    with pytest.raises(RuntimeError, match="has not imported no_such_package"):
        Kind("no_such_package", "json:loads").make()


@pytest.mark.skipif(not HAS_TWO_CORES, reason="a core for each kind of process")
def test_jobs_are_forked_and_told_of(tmp_path: Path) -> None:
    path = tmp_path / "density.json"
    command = [sys.executable, "-m", "benchmarks.density", "--json", str(path)]
    options = ["--quick", "--rows", "9", "--plain"]
    subprocess.run([*command, *options], capture_output=True, check=True)
    rows = load(path)["rows"]
    assert [row["number"] for row in rows] == ["9a", "9b", "9c", "9d"]
    assert ", no TLS" in rows[0]["title"]
    assert rows[2]["ours"]["low"] > 0
    assert float(rows[3]["remarks"][0].split()[1]) > 0  # the harness
