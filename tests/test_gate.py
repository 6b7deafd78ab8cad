"""The gate of benchmarks: what it compares, and with what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import baseline
from benchmarks.baseline import PYTHON, Baseline, Unknown, known
from benchmarks.callgrind import FRAMES, read_dump
from benchmarks.gate import CostChanged, judge_instructions, judge_memory
from benchmarks.paths import PATHS

HERE = {"python": "3.11.7 (main)", "libc": "glibc 2", "aiohttp": "3", "soxr": "1"}
BASELINES = {PYTHON: Baseline(made_with=HERE, instructions={"ring, 16 kHz": 5000.0})}


@pytest.mark.parametrize("counted", [981, 1000, 1019])
def test_two_per_cent_pass(counted: float) -> None:
    judge_instructions("frame", counted, 1000)


@pytest.mark.parametrize(
    ("counted", "complaint"),
    [
        (1021, r"frame: 1,021 instructions, \+2\.1 % of the baseline's 1,000"),
        (979, r"979 instructions, -2\.1 %"),
        (2000, r"\+100\.0 % .* `make rebase`"),
    ],
)
def test_more_is_a_change(counted: float, complaint: str) -> None:
    with pytest.raises(CostChanged, match=complaint):
        judge_instructions("frame", counted, 1000)


def test_memory_that_stays_is_counted() -> None:
    kept: list[object] = []
    judge_memory("frame", lambda: object())
    with pytest.raises(CostChanged, match=r"frame: 1000 frames leave 100\d memory"):
        judge_memory("frame", lambda: kept.append(object()))


def test_a_baseline_of_the_same_making_is_known() -> None:
    assert known("ring, 16 kHz", BASELINES, HERE) == 5000


def test_another_python_has_no_baseline() -> None:
    with pytest.raises(Unknown, match=rf"for Python {PYTHON}; `make rebase`"):
        known("ring, 16 kHz", {}, HERE)


@pytest.mark.parametrize("what", ["python", "libc"])
def test_what_lies_below_makes_it_another(what: str) -> None:
    with pytest.raises(
        Unknown, match=f"for {what} 'new', only '{re.escape(HERE[what])}'"
    ):
        known("ring, 16 kHz", BASELINES, HERE | {what: "new"})


def test_a_package_counts_where_it_is_on_the_path() -> None:
    newer = HERE | {"aiohttp": "4", "soxr": "2"}
    assert known("ring, 16 kHz", BASELINES, newer) == 5000
    with pytest.raises(Unknown, match="for soxr '2', only '1'"):
        known("ring, 44.1 kHz", BASELINES, newer)


@pytest.mark.parametrize(("python", "one"), baseline.read().items())
def test_baselines_have_every_path(python: str, one: Baseline) -> None:
    assert one["made_with"]["python"].startswith(f"{python}.")
    assert one["instructions"].keys() == PATHS.keys()


def test_a_dump_is_read(tmp_path: Path) -> None:
    dump = tmp_path / "out.1"
    dump.write_text(
        "version: 1\n"
        "desc: Trigger: Client Request: ring, 16 kHz\n\n"
        f"summary: {6000 * FRAMES}\n\ntotals: {6000 * FRAMES}\n"
    )
    assert read_dump(dump) == ("ring, 16 kHz", 6000)
