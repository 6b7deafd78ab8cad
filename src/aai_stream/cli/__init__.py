"""The commands of `aai-stream`: transcribe, listen, serve, show, bench, doctor,
top."""

from __future__ import annotations

import sys
from typing import Annotated

from ..version import __version__

try:
    import typer

    from . import bench, doctor, listen, parameters, serve, show, top, transcribe
except ImportError as exc:
    sys.exit(
        f"aai-stream: the command line needs {exc.name}: "
        "pip install pysubs2 rich soundfile typer"
    )

app = typer.Typer(
    help="AssemblyAI's streaming speech-to-text, and a server of the same protocol "
    "that works offline.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # or else each line of a docstring is wrapped alone
)


@app.callback()
def aai_stream(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.")
    ] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


app.command(epilog=parameters.EPILOG)(transcribe.transcribe)
app.command(epilog=parameters.EPILOG)(listen.listen)
app.command(epilog=serve.EPILOG)(serve.serve)
app.command()(show.show)
app.command()(bench.bench)
app.command()(doctor.doctor)
app.command()(top.top)


def main() -> None:
    """The entry point of the `aai-stream` command."""
    app(prog_name="aai-stream")
