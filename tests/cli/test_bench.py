"""`aai-stream bench`, for moments."""

from __future__ import annotations

import re
import sys

import pytest
from typer.testing import CliRunner, Result

from aai_stream.cli import app

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pins processes")


def bench(*options: str) -> Result:
    return CliRunner().invoke(app, ["bench", "--seconds", "0.2", *options])


@pytest.mark.parametrize("tls", ["--tls", "--plain"])
def test_it_says_how_many_streams_a_core_carries(tls: str) -> None:
    limits = ["--max-lag", "1000", "--max-cpu", "100"]
    done = bench(tls, "--step", "2", "--max-streams", "5", *limits)
    assert done.exit_code == 0, done.output
    first, _, *rows, verdict = done.stdout.splitlines()
    assert ("no TLS" in first) == (tls == "--plain")
    assert [int(row.split()[0]) for row in rows] == [2, 4]
    for row in rows:
        core, us, lag = re.findall(r"([\d.]+)(?:%| µs| ms)", row)
        assert 0 < float(core) < 100
        assert 0 < float(us) < 25_000
        assert float(lag) >= 0
    assert verdict.startswith("One core of this machine carries 4 streams, with ")
    assert verdict.endswith("The limit was --max-streams.")


def test_it_stops_at_a_limit() -> None:
    done = bench("--plain", "--step", "30", "--max-streams", "60", "--max-cpu", "1")
    assert done.exit_code == 0
    _, _, row, verdict = done.stdout.splitlines()
    assert row.split()[0] == "30"
    assert verdict.startswith("Too many from the start. The limit was the core, of")


def test_tls_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    done = bench()
    assert done.exit_code == 69
    assert "pip install 'aai-stream[bench]'" in done.stderr


def test_one_core_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {3})
    done = bench("--plain")
    assert done.exit_code == 69
    assert "two cores are needed" in done.stderr
