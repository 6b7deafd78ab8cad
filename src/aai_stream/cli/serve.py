"""`aai-stream serve`: the embedded server, for any client."""

from __future__ import annotations

from typing import Annotated

import typer

from ..emulator.faults import KINDS, Option, fault
from ..emulator.moments import BEGIN, MOMENTS
from ..emulator.recognizer import PocketsphinxEngine
from ..emulator.server import Emulator
from .running import Stop, run


def _epilog() -> str:
    """What `--fault` takes, a line for each kind and each moment."""
    lines = [
        "A fault is KIND,at=MOMENT,on=CONNECTIONS,OPTION=VALUE, all but the first as "
        "you like: reset,at=5s strikes every session after five seconds, "
        "status,code=429,on=1-3 the first three attempts to connect. CONNECTIONS are "
        "every, 2 (the second only), 1-3 or 2- (from the second on). With chance=0.3 "
        "it strikes three in ten of them; another seed=7 strikes others. With lasts=15 "
        "it is over 15 seconds after it first happened."
    ]
    lines.append("Kinds, from Begin on unless a moment is given:")
    for name, kind in KINDS.items():
        remarks = [_describe(option) for option in kind.options]
        if kind.at != BEGIN:
            remarks.append(f"at={kind.at} unless given")
        brackets = f" ({'; '.join(remarks)})" if remarks else ""
        lines.append(f"{name}: {kind.does}{brackets}")
    lines.append("Moments:")
    lines += [f"{moment}: {what}" for moment, what in MOMENTS.items()]
    return "\n\n".join(lines)


def _describe(option: Option) -> str:
    default = "…" if option.default is None else f"{option.default}".removesuffix(".0")
    return f"{option.check.name}={default} {option.does}"


EPILOG = _epilog()


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
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="KIND,…",
            help="Let something go wrong, as listed below; repeat it for more.",
        ),
    ] = None,
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
            faults=[fault(text) for text in faults or ()],
        )
        async with emulator:
            print(f"Listening on {emulator.url}; Ctrl-C stops.", flush=True)
            await stop.wait()
        stop.status = 0  # it is how a server ends

    raise typer.Exit(run(command))
