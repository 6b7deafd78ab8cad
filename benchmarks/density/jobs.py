"""A process per job, LiveKit's default: what one costs that carries one stream."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import certifi

from aai_stream.load.serving import ServerProcess
from aai_stream.load.worker import Worker
from aai_stream.models import DEFAULT_MODEL

from .job import FRAME_SECONDS, First, Kind, Speak, Spoken, Task, Weigh, Weight, run
from .results import Results, Row
from .spread import Spread
from .turns import (
    HARNESS,
    OURS,
    SETTLE_SECONDS,
    THEIRS,
    UNIVERSAL_STREAMING,
    Bench,
    is_idle,
)

KINDS = {
    OURS: Kind("aai_stream.livekit", "aai_stream.livekit:STT"),
    THEIRS: Kind("livekit.plugins.assemblyai", "livekit.plugins.assemblyai:STT"),
    HARNESS: Kind("livekit.agents", "benchmarks.density.nothing:NullSTT"),
}
MODELS = DEFAULT_MODEL, UNIVERSAL_STREAMING
"""Of every other job."""

FIRST_SECONDS = 4.0
"""More than a turn."""
APART_SECONDS = 0.3
"""Between the starts of two jobs, so that one starts after another."""


@dataclass(frozen=True)
class Measured:
    """What the jobs of each kind told."""

    firsts: dict[str, list[First]]
    rounds: list[dict[str, list[Spoken]]]
    weights: dict[str, list[Weight]]
    firsts_trusty: bool = True
    rounds_trusty: bool = True
    """Whether the server had time enough."""


def jobs(bench: Bench, results: Results) -> None:
    """What one costs, in each way."""
    results.rows += job_rows(measure(bench), tls=bench.jobs_tls)


def measure(bench: Bench) -> Measured:
    """Start jobs of each kind in turns, then let all of a kind speak, in turns."""
    certificate = bench.certificate if bench.jobs_tls else None
    # Whoever reads whom this machine trusts shall have as much to read as anywhere.
    ca = Path(certifi.where()).read_bytes() + bench.certificate.ca
    with (
        ServerProcess(bench.server_core, certificate, spread=False) as server,
        contextlib.ExitStack() as stack,
    ):
        workers = {
            name: stack.enter_context(
                Worker(kind.package, run, cores={bench.core}, ca=ca)
            )
            for name, kind in KINDS.items()
        }
        for worker in workers.values():
            worker.wait()
        server.begin()
        _start(workers, server.url, bench.streams(bench.jobs))
        firsts = {name: worker.begun() for name, worker in workers.items()}
        firsts_trusty = is_idle(server.report())
        rounds, rounds_trusty = _rounds(workers, server, bench)
        weights = {name: worker.ask_all(Weigh()) for name, worker in workers.items()}
    return Measured(firsts, rounds, weights, firsts_trusty, rounds_trusty)


def _start(workers: dict[str, Worker], url: str, count: int) -> None:
    """`count` jobs of each kind, one of each after the other."""
    for number in range(count):
        for name, worker in workers.items():
            options = {
                "api_key": "none",
                "base_url": url,
                "model": MODELS[number % len(MODELS)],
            }
            offset = number * FRAME_SECONDS / count
            worker.start(Task(KINDS[name], options, offset, FIRST_SECONDS))
            time.sleep(APART_SECONDS)


def _rounds(
    workers: dict[str, Worker], server: ServerProcess, bench: Bench
) -> tuple[list[dict[str, list[Spoken]]], bool]:
    """What jobs did in turns, and whether the server had time enough in all of them.

    A round in which it had not is done again, as often as there are rounds.
    """
    made: list[dict[str, list[Spoken]]] = []
    spare = bench.rounds
    trusty = True
    while len(made) < bench.rounds:
        server.begin()
        spoken = {
            name: _speak(worker, bench.seconds) for name, worker in workers.items()
        }
        idle = is_idle(server.report())
        if spare and not idle:
            spare -= 1
        else:
            made.append(spoken)
            trusty = trusty and idle
    return made, trusty


def _speak(worker: Worker, seconds: float) -> list[Spoken]:
    spoken: list[Spoken] = worker.ask_all(Speak(seconds))
    time.sleep(SETTLE_SECONDS)  # what is on its way must not fall on the next one
    return spoken


def job_rows(measured: Measured, *, tls: bool) -> list[Row]:
    """The table's rows."""
    where = f"a process per job, 24 kHz in 50 ms{'' if tls else ', no TLS'}"
    return [
        _steady_row(measured, where),
        _once_row(measured),
        _push_row(measured),
        _memory_row(measured),
    ]


def frame_us(spoken: Sequence[Spoken]) -> float:
    """CPU of a frame, in µs."""
    frames = sum(each.frames for each in spoken)
    return 1e6 * sum(each.cpu_seconds for each in spoken) / max(1, frames)


def once_ms(job: First) -> float:
    """CPU that a job has used at first, beyond what as many frames took then, in ms."""
    lasting_us = frame_us([job.then]) * job.first.frames
    return 1000 * job.first.cpu_seconds - lasting_us / 1000


def _steady_row(measured: Measured, where: str) -> Row:
    us = {name: [frame_us(each[name]) for each in measured.rounds] for name in KINDS}
    ours, theirs, ratio = _compare(us)
    return Row(
        "9a",
        f"{where}: CPU of a frame",
        "µs",
        ours,
        theirs,
        ratio,
        "4 times less",
        ratio.median >= 4,
        measured.rounds_trusty,
        [f"harness {median(us[HARNESS]):.1f} µs, subtracted"],
    )


def _once_row(measured: Measured) -> Row:
    ms = {name: [once_ms(job) for job in measured.firsts[name]] for name in KINDS}
    ours, theirs, ratio = _compare(ms)
    return Row(
        "9b",
        f"the same: CPU that comes once, in the first {FIRST_SECONDS:g} s",
        "ms",
        ours,
        theirs,
        ratio,
        "not more",
        ratio.median >= 1,
        measured.firsts_trusty,
        [f"harness {median(ms[HARNESS]):.1f} ms, subtracted"],
    )


def _push_row(measured: Measured) -> Row:
    cpu = {
        name: Spread.of(first.longest_push_cpu_ms for first in firsts)
        for name, firsts in measured.firsts.items()
    }
    wall = {
        name: Spread.of(first.longest_push_ms for first in firsts)
        for name, firsts in measured.firsts.items()
    }
    held = {
        name: Spread.of(first.held_ms for first in firsts)
        for name, firsts in measured.firsts.items()
    }
    return Row(
        "9c",
        "the same: a job's longest `push_frame`, CPU",
        "ms",
        cpu[OURS],
        cpu[THEIRS],
        None,
        "at most 1 ms",
        cpu[OURS].median <= 1,
        measured.firsts_trusty,
        [
            f"by the clock: ours {wall[OURS]} ms, theirs {wall[THEIRS]} ms",
            "event loop held in the first second: "
            + ", ".join(f"{name} {held[name]} ms" for name in KINDS),
        ],
    )


def _memory_row(measured: Measured) -> Row:
    weights = measured.weights
    private = {name: [each.private / 1024 for each in weights[name]] for name in KINDS}
    whole = {
        name: Spread.of(each.proportional / 1024 for each in weights[name])
        for name in KINDS
    }
    ours, theirs, ratio = _compare(private)
    return Row(
        "9d",
        "the same: private memory",
        "MB",
        ours,
        theirs,
        ratio,
        "not more",
        ratio.median >= 1,
        remarks=[
            f"harness {median(private[HARNESS]):.1f} MB, subtracted",
            "proportional set size: "
            + ", ".join(f"{name} {whole[name]} MB" for name in KINDS),
        ],
    )


def _compare(figures: dict[str, list[float]]) -> tuple[Spread, Spread, Spread]:
    """Ours and theirs without the harness, and how many times less ours is."""
    nets = [
        (ours - harness, theirs - harness)
        for ours, theirs, harness in zip(
            figures[OURS], figures[THEIRS], figures[HARNESS], strict=True
        )
    ]
    return (
        Spread.of(ours for ours, _ in nets),
        Spread.of(theirs for _, theirs in nets),
        Spread.of(theirs / ours if ours > 0 else math.inf for ours, theirs in nets),
    )
