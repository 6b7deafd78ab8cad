"""`aai-stream bench`: how many streams this machine carries."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ..errors import MissingExtraError
from ..load.clients import OurClient, Setting
from ..load.host import HostProcess
from ..load.process import two_sides
from ..load.ramp import Host, Step, ramp
from ..load.serving import ServerProcess
from ..load.tls import make_certificate
from .running import Stop, run


def bench(
    rate: Annotated[
        int, typer.Option(min=8000, max=96_000, help="Hz, of what is pushed.")
    ] = 24_000,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls/--plain",
            help="With TLS, as to AssemblyAI, which needs the extra `bench`.",
        ),
    ] = True,
    processes: Annotated[
        bool,
        typer.Option(
            "--processes",
            help="A process for each stream, as LiveKit's workers have it, on all cores"
            " but the server's; needs the extras `bench` and `livekit`.",
        ),
    ] = False,
    step: Annotated[int, typer.Option(min=1, help="Streams added at a time.")] = 25,
    most: Annotated[
        int, typer.Option("--max-streams", min=1, help="Go no further than this.")
    ] = 1000,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="How long each number is measured.")
    ] = 3.0,
    max_lag: Annotated[
        float, typer.Option(min=1, help="ms the event loop may be late, 99 % of time.")
    ] = 20.0,
    max_cpu: Annotated[
        float, typer.Option(min=1, max=100, help="% of the cores that may be used.")
    ] = 80.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, at the end.")
    ] = False,
) -> None:
    """Measure how many streams this machine carries: on one core, or a process each.

    More and more streams push frames of 50 ms in real time, until their event loops are
    late or their cores are full. The server is one made for this; it runs on another
    core of this machine and answers each stream with a Turn every 250 ms. What you do
    with the turns, and a network, come on top.
    """

    async def command(stop: Stop) -> None:
        server_core, others = two_sides()
        cores = others if processes else others[-1:]
        certificate = make_certificate() if tls else None
        ca = certificate and certificate.ca
        made: list[Step] = []
        carried: Step | None = None
        why = "--max-streams"
        with (
            ServerProcess(server_core, certificate) as server,
            _host(Setting(server.url, rate), cores, ca, processes) as host,
        ):
            if not as_json:
                print(_heading(rate, tls, processes, server_core, cores))
            steps = ramp(
                server, host, step=step, most=most, seconds=seconds, cores=len(cores)
            )
            while now := await stop.or_done(asyncio.to_thread(next, steps, None)):
                made.append(now)
                if not as_json:
                    print(_row(now), flush=True)
                if problem := _problem(now, max_lag, max_cpu):
                    why = problem
                    break
                carried = now
        if as_json:
            print(json.dumps(_report(made, carried, why, processes, rate, tls)))
        elif not stop.is_set():
            print(_verdict(carried, why, processes))

    raise typer.Exit(run(command))


@contextlib.contextmanager
def _host(
    setting: Setting, cores: list[int], ca: bytes | None, processes: bool
) -> Iterator[Host]:
    """What the streams are in."""
    if not processes:
        with HostProcess(OurClient, setting, core=cores[0], ca=ca) as host:
            yield host
        return
    try:
        from ..load.jobs import JobProcesses
    except ImportError:
        raise MissingExtraError(
            "a process for each stream is LiveKit's way: pip install livekit-agents, "
            "or measure without --processes"
        ) from None
    with JobProcesses(setting, cores=cores, ca=ca) as jobs:
        jobs.wait()
        yield jobs


def _heading(
    rate: int, tls: bool, processes: bool, server_core: int, cores: list[int]
) -> str:
    where = f"core{'s' if len(cores) > 1 else ''} {', '.join(map(str, cores))}"
    return (
        f"{rate} Hz in frames of 50 ms, {'TLS' if tls else 'no TLS'}, loopback; "
        f"streams{', a process each,' if processes else ''} on {where}, server on core "
        f"{server_core}\n"
        "streams  cores  CPU per stream and 50 ms  loop late by (p99)  memory"
    )


def _row(step: Step) -> str:
    return (
        f"{step.streams:7} {step.cpu:6.0%} {step.us_per_frame:21.0f} µs"
        f" {step.lag_p99_ms:16.1f} ms {step.ran.memory_bytes / 1e6:6.0f} MB"
    )


def _problem(step: Step, max_lag: float, max_cpu: float) -> str:
    """Why `step` is too many; empty if it isn't."""
    if step.server.is_full:
        return "the server, whose core is full: this machine would carry more"
    if step.lag_p99_ms > max_lag:
        return f"an event loop, which was more than {max_lag:g} ms late"
    if 100 * step.cpu > max_cpu:
        return f"CPU, of which more than {max_cpu:g} % was used"
    if step.unsent_streams:
        return f"audio: {step.unsent_streams} streams have not sent all of theirs"
    return ""


def _verdict(good: Step | None, why: str, processes: bool) -> str:
    if good is None:
        return f"Too many from the start. The limit was {why}. Try a smaller --step."
    who = "One core" if good.cores == 1 else f"{good.cores} cores"
    carry = "carries" if good.cores == 1 else "carry"
    what = f"{good.streams} streams{' in a process each' if processes else ''}"
    return (
        f"{who} of this machine {carry} {what}, with "
        f"{good.us_per_frame:.0f} µs per stream and 50 ms. The limit was {why}."
    )


def _report(
    made: list[Step],
    carried: Step | None,
    why: str,
    processes: bool,
    rate: int,
    tls: bool,
) -> dict[str, Any]:
    """The same for programs."""
    return {
        "sample_rate": rate,
        "frame_ms": 50,
        "tls": tls,
        "processes": processes,
        "carried_streams": carried.streams if carried else 0,
        "limit": why,
        "steps": [
            {
                "streams": step.streams,
                "cores": step.cores,
                "cpu": round(step.cpu, 4),
                "us_per_frame": round(step.us_per_frame, 1),
                "lag_p99_ms": round(step.lag_p99_ms, 2),
                "memory_bytes": step.ran.memory_bytes,
                "unsent_streams": step.unsent_streams,
                "server_cpu": round(step.server.cpu, 4),
            }
            for step in made
        ],
    }
