"""`aai-stream bench`, for moments."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from typer.testing import CliRunner, Result

from aai_stream.cli import app
from aai_stream.cli.bench import _problem, _verdict
from aai_stream.load.host import Ran
from aai_stream.load.jobs import together
from aai_stream.load.ramp import Step
from aai_stream.load.serving import ServerReport
from aai_stream.load.voices import Window
from aai_stream.stats import StreamStats

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pins processes")

CARRIES = (
    r"One core of this machine carries \d+ streams, with \d+ µs per stream and 50 ms\."
)
NONE = r"Too many from the start\. The limit was .+\. Try a smaller --step\."


def bench(*options: str) -> Result:
    return CliRunner().invoke(app, ["bench", "--seconds", "0.2", *options])


@pytest.mark.parametrize("tls", ["--tls", "--plain"])
def test_it_says_how_many_streams_a_core_carries(tls: str) -> None:
    done = bench(tls, "--step", "2", "--max-streams", "5")
    assert done.exit_code == 0, done.output
    first, _, *rows, verdict = done.stdout.splitlines()
    assert ("no TLS" in first) == (tls == "--plain")
    # A busy machine may carry none.
    assert [int(row.split()[0]) for row in rows] in ([2], [2, 4])
    for row in rows:
        core, us, lag = re.findall(r"([\d.]+)(?:%| µs| ms)", row)
        assert float(core) >= 0
        assert float(us) > 0
        assert float(lag) >= 0
    assert re.fullmatch(f"{CARRIES} The limit was .+|{NONE}", verdict)


@pytest.mark.parametrize(
    ("cpu", "late_ms", "sent", "server_cpu", "problem"),
    [
        (0.8, 20.0, True, 0.5, ""),
        (0.81, 20.0, True, 0.5, "CPU, of which more than 80 % was used"),
        (0.8, 20.5, True, 0.5, "an event loop, which was more than 20 ms late"),
        (0.8, 20.0, False, 0.5, "audio: 1 streams have not sent all of theirs"),
        (0.9, 90.0, False, 0.99, "the server, whose core is full"),
    ],
)
def test_what_is_too_much(
    cpu: float, late_ms: float, sent: bool, server_cpu: float, problem: str
) -> None:
    window = Window(1.0, cpu, frames=20, due_frames=20, late_ms=[late_ms])
    stats = SimpleNamespace(sent_samples=800, written_samples=800, dropped_samples=0)
    ran = Ran(window, {}, {}, {"s": cast(StreamStats, stats)}, 0)
    heard = {"s": 1600 if sent else 1598}
    step = Step(1, ran, ServerReport(heard, {}, 1.0, server_cpu))
    found = _problem(step, max_lag=20, max_cpu=80)
    assert found.startswith(problem) if problem else found == ""


def test_it_stops_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aai_stream.cli.bench._problem", lambda *_: "this one")
    done = bench("--plain", "--step", "2", "--max-streams", "9")
    assert done.exit_code == 0
    _, _, row, verdict = done.stdout.splitlines()
    assert row.split()[0] == "2"
    assert verdict.startswith("Too many from the start. The limit was this one.")


def test_the_verdict() -> None:
    window = Window(1.0, 0.5, frames=4000, due_frames=4000, late_ms=[1.0])
    step = Step(200, Ran(window, {}, {}, {}, 0), ServerReport({}, {}, 1.0, 0.5))
    alone = _verdict(step, "x", processes=False)
    assert re.fullmatch(f"{CARRIES} The limit was x\\.", alone)
    each = _verdict(replace(step, cores=3), "x", processes=True)
    assert each.startswith("3 cores of this machine carry 200 streams in a process eac")
    assert re.fullmatch(NONE, _verdict(None, "x", processes=False))


@pytest.mark.parametrize("way", [[], ["--processes"]])
def test_programs_can_read_what_came_out(way: list[str]) -> None:
    done = bench("--plain", "--step", "2", "--max-streams", "4", "--json", *way)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["processes"] is bool(way)
    assert told["tls"] is False
    # A busy machine may carry none.
    assert told["carried_streams"] in (0, 2, 4)
    assert told["limit"]
    assert [step["streams"] for step in told["steps"]] in ([2], [2, 4])
    for step in told["steps"]:
        assert step["us_per_frame"] > 0
        assert step["memory_bytes"] > 10_000_000
        assert step["unsent_streams"] == 0


def test_what_processes_do_is_added_up() -> None:
    def job(name: str, late_ms: float) -> Ran:
        window = Window(1.0, 0.01, frames=20, due_frames=20, late_ms=[late_ms])
        return Ran(window, {}, {name: 25}, {name: None}, 7, memory_bytes=30)

    ran = together([job("a", 1.0), job("b", 3.0)])
    assert ran.window == Window(1.0, 0.02, 40, 40, late_ms=[1.0, 3.0])
    assert (ran.pushes, ran.events, ran.memory_bytes) == ({"a": 25, "b": 25}, 14, 60)
    assert set(ran.stats) == {"a", "b"}


def test_a_share_of_cores() -> None:
    window = Window(2.0, 3.0, frames=1, due_frames=1, late_ms=[])
    step = Step(1, Ran(window, {}, {}, {}, 0), ServerReport({}, {}, 1.0, 0.5), cores=3)
    assert step.cpu == 0.5


def test_processes_need_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "aai_stream.load.jobs", raising=False)
    monkeypatch.setitem(sys.modules, "livekit", None)
    done = bench("--plain", "--processes")
    assert done.exit_code == 69
    assert "pip install livekit-agents" in done.stderr


def test_tls_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    done = bench()
    assert done.exit_code == 69
    assert "pip install trustme" in done.stderr


def test_one_core_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {3})
    done = bench("--plain")
    assert done.exit_code == 69
    assert "two cores are needed" in done.stderr
