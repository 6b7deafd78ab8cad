"""`aai-stream show`: recorded calls, looked at."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import OptionError
from ..recorder.format import SUFFIX, UNFINISHED
from ..recorder.reading import read_call, read_entries
from ..show.listing import is_folder_of_calls, list_calls
from ..show.page import page
from ..show.text import print_call, print_calls
from ..show.timeline import timeline
from .running import Stop, run

STANDARD_OUTPUT = "-"
_WIDTH = 160
"""Of a table that goes into a file or a pipe."""


def show(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="CALL.aai|FOLDER",
            help="A recorded call, or a folder of them.",
        ),
    ],
    text: Annotated[
        bool, typer.Option("--text", help="Show the call here, not as a page.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the page goes, - for standard output; CALL.html beside the "
            "call if not given.",
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser.")
    ] = False,
) -> None:
    """Show a recorded call: as a page, as text, or the calls of a folder as a table.

    The page is one file that works offline and asks nobody for anything: waveform and
    audio, sessions, outages, what the client decided, words, latencies, all messages.
    It holds what was said, so that only its user may read it (0600). Where a call was
    cut off, its folder CALL.aai.part is shown the same way.

    Exit status: 0 done, 2 no recorded call or bad usage, 66 no such file, 69 soundfile
    is missing.
    """

    async def command(stop: Stop) -> None:
        await stop.or_done(asyncio.to_thread(_show, path, text, output, open_page))

    raise typer.Exit(run(command))


def _show(path: Path, text: bool, output: str | None, open_page: bool) -> None:
    if is_folder_of_calls(path):
        if text or output or open_page:
            raise OptionError(
                f"{path} is a folder of calls: --text, -o and --open are for one call"
            )
        print_calls(_console(), list_calls(path))
    elif text:
        if output or open_page:
            raise OptionError("-o and --open are for the page: leave --text out")
        print_call(_console(), path.name, timeline(*read_entries(path)))
    elif output == STANDARD_OUTPUT:
        if open_page:
            raise OptionError("--open needs a file, not standard output")
        sys.stdout.buffer.write(page(read_call(path)).encode())
    else:
        file = _beside(path) if output is None else Path(output)
        _write(file, page(read_call(path)))
        print(file)
        if open_page and not webbrowser.open(file.absolute().as_uri()):
            raise OptionError(f"--open found no browser; open {file} yourself")


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)


def _beside(path: Path) -> Path:
    name = path.name
    for suffix in (UNFINISHED, SUFFIX):
        if name.endswith(suffix):
            name = name.removesuffix(suffix)
            break
    return path.with_name(f"{name}.html")


def _write(file: Path, text: str) -> None:
    """Replace `file` by one of 0600, as a whole or not at all."""
    if file.is_dir():
        raise OptionError(f"-o {file} is a folder, not a file")
    file.parent.stat()  # or else what is raised would name a temporary file
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, prefix=f".{file.name}.", delete=False
    ) as written:
        try:
            written.write(text)
            written.flush()
            os.replace(written.name, file)
        except BaseException:
            os.unlink(written.name)
            raise
