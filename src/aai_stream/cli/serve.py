"""`aai-stream serve`: the embedded server, for any client."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..emulator.engines.capture import read_capture
from ..emulator.engines.engine import Engine
from ..emulator.engines.pocketsphinx import PocketsphinxEngine
from ..emulator.engines.replay import ReplayEngine
from ..emulator.engines.script import ScriptEngine
from ..emulator.faults import KINDS, fault
from ..emulator.faults.kinds import Option
from ..emulator.faults.moments import BEGIN, MOMENTS
from ..emulator.server import DOCUMENTED, Emulator, Service
from ..errors import OptionError
from ..models import KNOWN_MODELS
from ..suggestions import did_you_mean
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
    model: Annotated[
        str | None,
        typer.Option(
            help="What sessions get that ask for no model. "
            f"Default: {Service.default_model}."
        ),
    ] = None,
    deny_model: Annotated[
        list[str] | None,
        typer.Option(
            help="Cancel sessions of this model 5 s after Begin; repeat it for more."
        ),
    ] = None,
    begin_delay: Annotated[
        float, typer.Option(min=0, help="Seconds to Begin, give or take half.")
    ] = 0.4,
    termination_delay: Annotated[
        float, typer.Option(min=0, help="Seconds to Termination, give or take half.")
    ] = 0.8,
    documented: Annotated[
        bool,
        typer.Option(
            "--documented",
            help="Behave as AssemblyAI's documentation says where the service was "
            "seen to do otherwise: HTTP 401, 3009, tokens for one session, 3007 at "
            "once.",
        ),
    ] = False,
    capture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Tell the messages in this file instead of recognising: lines of "
            '{"audio_ms": 1200, "message": {"type": "Turn", …}}.',
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="CALL.aai",
            help="Say what the service said in this recorded call, at the same places "
            "of its audio, and fail as it failed. Send it the call's audio: aai-stream "
            "transcribe CALL.aai --url ….",
        ),
    ] = None,
    console: Annotated[
        bool,
        typer.Option(
            "--console",
            help="Serve a page at the same port that shows every session, and lets "
            "outages happen by a click.",
        ),
    ] = False,
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote",
            help="Listen beyond loopback, unencrypted. The console then asks for a "
            "token, which is shown here.",
        ),
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
    0.4 of a core. Each is logged when it opens and closes; GET /health says how many
    there are.
    """

    async def command(stop: Stop) -> None:
        denied = deny_model or []
        if replay is not None:
            _refuse_beside_replay(capture=capture, model=model, deny_model=deny_model)
        for name in (model or Service.default_model, *denied):
            _check_model(name)
        service = replace(
            DOCUMENTED if documented else Service(),
            default_model=model or Service.default_model,
            denied_models=frozenset(denied),
            max_sessions=max_sessions,
            begin_seconds=begin_delay,
            termination_seconds=termination_delay,
        )
        emulator = Emulator(
            _engine(replay, capture, max_sessions),
            host=host,
            port=port,
            api_keys=key or None,
            service=service,
            allow_remote=allow_remote,
            faults=[fault(text) for text in faults or ()],
            console=console,
        )
        _log_to_stderr()
        async with emulator:
            print(f"Listening on {emulator.url}; Ctrl-C stops.", flush=True)
            _show_console(emulator)
            await stop.wait()
        stop.status = 0  # it is how a server ends

    raise typer.Exit(run(command))


def _show_console(emulator: Emulator) -> None:
    if emulator.console_url is not None:
        print(f"The console is at {emulator.console_url}", flush=True)
    if emulator.console_token is not None:
        print(f"It asks for this token: {emulator.console_token}", flush=True)


def _check_model(name: str) -> None:
    if name not in KNOWN_MODELS:
        raise OptionError(
            f"there is no model {name!r}{did_you_mean(name, KNOWN_MODELS)}; "
            f"choose of {', '.join(sorted(KNOWN_MODELS))}"
        )


def _refuse_beside_replay(**given: object) -> None:
    for name, value in given.items():
        if value:
            raise OptionError(
                f"--{name.replace('_', '-')} doesn't go with --replay: what sessions "
                "are told, and of which model, is as it was recorded"
            )


def _engine(
    replay: Path | None, capture: Path | None, max_sessions: int | None
) -> Engine:
    if replay is not None:
        engine = ReplayEngine(replay)
        print(_described(engine), flush=True)
        return engine
    if capture is None:
        return PocketsphinxEngine(max_sessions)
    with capture.open("rb") as lines:
        return ScriptEngine(read_capture(lines))


def _described(engine: ReplayEngine) -> str:
    call, count = engine.call, len(engine.sessions)
    return (
        f"Replaying {call.path}: {call.seconds:.1f} s at {call.meta.sample_rate} Hz, "
        f"{count} session{'s' if count != 1 else ''}"
    )


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("aai_stream.emulator").setLevel(logging.INFO)
