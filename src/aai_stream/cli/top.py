"""`aai-stream top`: the streams of this host, live."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..telemetry.looking import ANSWER_SECONDS, look
from ..telemetry.snapshot import ProcessShown, StreamShown
from .running import Stop, run

COLUMNS = "PID STREAM STATE MODEL SESSION BUFFER LAG WORDS RECONNECTS AGE PROGRAM"
TEXTS = {"STREAM", "STATE", "MODEL", "SESSION", "PROGRAM"}


def top(
    once: Annotated[
        bool, typer.Option("--once", help="Show them once, and exit.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON each time, for scripts.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, help="Seconds until they are shown again.")
    ] = 1.0,
) -> None:
    """Show all streams of this host that are yours, live.

    BUFFER is the audio, in seconds, that is kept until a final turn covers it; LAG what
    is not sent yet; WORDS is how long ago words were told. A process is asked over a
    socket that only its user can open, and tells nothing of what was said. Without a
    terminal it is shown once.
    """

    async def command(stop: Stop) -> None:
        if as_json:
            await _repeat(_print_json, stop, interval, once)
            return
        console = Console()
        if once or not console.is_terminal:
            console.print(table(await look()))
            return
        with Live(console=console, screen=True, auto_refresh=False) as live:

            def show(processes: list[ProcessShown]) -> None:
                live.update(table(processes), refresh=True)

            await _repeat(show, stop, interval, once)

    raise typer.Exit(run(command))


async def _repeat(
    show: Callable[[list[ProcessShown]], None], stop: Stop, interval: float, once: bool
) -> None:
    while not stop.is_set():
        show(await look())
        if once:
            return
        await stop.or_done(asyncio.sleep(interval))


def _print_json(processes: list[ProcessShown]) -> None:
    print(msgspec.json.encode(processes).decode())
    sys.stdout.flush()


def table(processes: list[ProcessShown]) -> Table:
    """A row for each stream, and for each process that does not answer."""
    count = sum(len(process.streams) for process in processes)
    made = Table(title=f"{count} streams", title_justify="left", box=None)
    for column in COLUMNS.split():
        made.add_column(
            column, justify="left" if column in TEXTS else "right", no_wrap=True
        )
    for process in processes:
        for stream in process.streams:
            made.add_row(*map(_text, _cells(process, stream)))
        if not process.answers:
            made.add_row(str(process.pid), "", f"no answer in {ANSWER_SECONDS:g} s")
    return made


def _cells(process: ProcessShown, stream: StreamShown) -> list[str]:
    words = stream.turn_seconds
    return [
        str(process.pid),
        stream.stream,
        stream.state,
        stream.model,
        (stream.session or "-")[:8],
        f"{stream.buffer_seconds:.1f}",
        f"{stream.lag_seconds:.1f}",
        "-" if words is None else f"{words:.1f}",
        str(stream.reconnects),
        f"{stream.age_seconds:.0f}",
        process.program,
    ]


def _text(cell: str) -> Text:
    """As it is, whatever a server has put into it."""
    return Text("".join(c if c.isprintable() else " " for c in cell))
