"""What processes of a LiveKit worker leave behind in the directory of their metrics."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, multiprocess

COUNT = """
import sys
from aai_stream.telemetry import instruments

family = instruments.family("model", "region")
family.streams.inc()
family.turns.inc()
family.connect.observe(1)
instruments.event_loop_lag().observe(0)
print("counted", flush=True)
sys.stdin.readline()
"""
FORK = (
    COUNT
    + """
import os
if (child := os.fork()) == 0:
    family.turns.inc()
    family.streams.inc()
    os._exit(0)
os.waitpid(child, 0)
"""
)


def counting(folder: Path, program: str = COUNT) -> subprocess.Popen[str]:
    """A process that has counted one of each, and stays until a line comes."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Send the line."""
    process.communicate("\n")
    assert process.returncode == 0


def kill(process: subprocess.Popen[str]) -> None:
    """Let it die without a word."""
    process.kill()
    process.communicate()


def sums(folder: Path) -> dict[str, float]:
    """What a scrape would give."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {sample.name: sample.value for sample in samples}


def files(folder: Path) -> int:
    """How many a scrape reads."""
    return len(list(folder.glob("*.db")))


def test_who_comes_later_goes_on_with_the_files(tmp_path: Path) -> None:
    end(counting(tmp_path))
    one = files(tmp_path)
    for _ in range(3):
        end(counting(tmp_path))
    assert files(tmp_path) == one == 3
    assert sums(tmp_path)["aai_stream_turns_total"] == 4
    assert sums(tmp_path)["aai_stream_connect_seconds_sum"] == 4
    assert sums(tmp_path)["aai_stream_streams"] == 1  # of the last; it never said 0


def test_no_two_at_a_time_have_the_same(tmp_path: Path) -> None:
    first, second = counting(tmp_path), counting(tmp_path)
    assert files(tmp_path) == 6
    assert sums(tmp_path)["aai_stream_streams"] == 2
    end(first)
    third = counting(tmp_path)
    assert files(tmp_path) == 6
    assert sums(tmp_path)["aai_stream_streams"] == 2
    assert sums(tmp_path)["aai_stream_turns_total"] == 3
    end(second)
    end(third)


def test_gauges_of_the_dead_go(tmp_path: Path) -> None:
    first, second, third = (counting(tmp_path) for _ in range(3))
    kill(first)
    kill(third)
    assert sums(tmp_path)["aai_stream_streams"] == 3
    fourth = counting(tmp_path)
    assert sums(tmp_path)["aai_stream_streams"] == 2
    assert sums(tmp_path)["aai_stream_turns_total"] == 4
    end(second)
    end(fourth)


def test_a_fork_has_its_own(tmp_path: Path) -> None:
    end(counting(tmp_path, FORK))
    assert sums(tmp_path)["aai_stream_turns_total"] == 2
    assert sums(tmp_path)["aai_stream_streams"] == 2
    assert files(tmp_path) == 6


def test_nothing_is_opened_by_an_import(tmp_path: Path) -> None:
    """LiveKit makes the directory, and empties it, after it has imported plugins."""
    folder = tmp_path / "metrics"
    subprocess.run(
        [sys.executable, "-c", "import aai_stream.livekit"],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        check=True,
    )
    assert not folder.exists()
