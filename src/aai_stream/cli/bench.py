"""`aai-stream bench`: how many streams this machine carries on one core."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ..load.clients import OurClient, Setting
from ..load.host import HostProcess
from ..load.process import two_cores
from ..load.ramp import Step, ramp
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
        float, typer.Option(min=1, max=100, help="% of the core that may be used.")
    ] = 80.0,
) -> None:
    """Measure how many streams this machine carries on one core.

    More and more streams push frames of 50 ms in real time, until their event loop is
    late or their core is full. The server is one made for this; it runs on another core
    of this machine and answers each stream with a Turn every 250 ms. What you do with
    the turns, and a network, come on top.
    """

    async def command(stop: Stop) -> None:
        server_core, core = two_cores()
        certificate = make_certificate() if tls else None
        ca = certificate and certificate.ca
        good, why = None, "--max-streams"
        with (
            ServerProcess(server_core, certificate) as server,
            HostProcess(OurClient, Setting(server.url, rate), core=core, ca=ca) as host,
        ):
            print(
                f"{rate} Hz in frames of 50 ms, {'TLS' if tls else 'no TLS'}, loopback;"
                f" streams on core {core}, server on core {server_core}"
            )
            print("streams  core  CPU per stream and 50 ms  loop late by (p99)")
            steps = ramp(server, host, step=step, most=most, seconds=seconds)
            while now := await stop.or_done(asyncio.to_thread(next, steps, None)):
                print(_row(now), flush=True)
                if problem := _problem(now, max_lag, max_cpu):
                    why = problem
                    break
                good = now
        if not stop.is_set():
            print(_verdict(good, why))

    raise typer.Exit(run(command))


def _row(step: Step) -> str:
    return (
        f"{step.streams:7} {step.cpu:5.0%} {step.us_per_frame:21.0f} µs"
        f" {step.lag_p99_ms:16.1f} ms"
    )


def _problem(step: Step, max_lag: float, max_cpu: float) -> str:
    """Why `step` is too many; empty if it isn't."""
    if step.server.is_full:
        return "the server, whose core is full: this core would carry more"
    if step.lag_p99_ms > max_lag:
        return f"the event loop, which was more than {max_lag:g} ms late"
    if 100 * step.cpu > max_cpu:
        return f"the core, of which more than {max_cpu:g} % was used"
    if step.unsent_streams:
        return f"audio: {step.unsent_streams} streams have not sent all of theirs"
    return ""


def _verdict(good: Step | None, why: str) -> str:
    if good is None:
        return f"Too many from the start. The limit was {why}. Try a smaller --step."
    return (
        f"One core of this machine carries {good.streams} streams, with "
        f"{good.us_per_frame:.0f} µs per stream and 50 ms. The limit was {why}."
    )
