"""`aai-stream serve`: the embedded server, for any client."""

from __future__ import annotations

from typing import Annotated

import typer

from ..emulator.recognizer import PocketsphinxEngine
from ..emulator.server import Emulator
from .running import Stop, run


def serve(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 for any that is free.")
    ] = 8765,
    max_sessions: Annotated[
        int | None,
        typer.Option(min=1, help="Refuse more than this at once. Default: two a core."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Take this key only; repeat it for more. Default: any."),
    ] = None,
    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", help="Listen beyond loopback, unencrypted."),
    ] = False,
) -> None:
    """Run the embedded server: AssemblyAI's v3 protocol, real recognition, offline.

    Any client works against it that lets its address be set. A session takes up to
    0.4 of a core.
    """

    async def command(stop: Stop) -> None:
        emulator = Emulator(
            PocketsphinxEngine(max_sessions),
            host=host,
            port=port,
            api_keys=key or None,
            allow_remote=allow_remote,
        )
        async with emulator:
            print(f"Listening on {emulator.url}; Ctrl-C stops.", flush=True)
            await stop.wait()
        stop.status = 0  # it is how a server ends

    raise typer.Exit(run(command))
