"""`aai-stream transcribe`: recordings, or live audio from a pipe, to text."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..client import connect
from ..connection.addresses import DEFAULT_URL, host_of, is_loopback
from ..connection.credentials import KEY_VARIABLE
from ..emulator.engines.pocketsphinx import PocketsphinxEngine
from ..emulator.server import Emulator, Service
from ..errors import LostAudioError, OptionError
from ..files import Recording, open_recording, play, raw_recording
from ..messages import AudioLost, Turn, Warning
from ..options import Options
from ..parameters import PARAMETERS
from ..protocol.pace import CATCH_UP_RATE
from ..stream import Stream
from ..suggestions import did_you_mean
from .printing import LinePrinter, Printer, SubtitlePrinter, TerminalPrinter
from .running import Stop, complain, log_shown, run

if TYPE_CHECKING:
    from ..typing import Audio

# The audio's own; the command line always sends 16 kHz PCM.
_SETTABLE = [name for name in PARAMETERS if name not in ("sample_rate", "encoding")]
MAX_RETRIES = 3
"""Somebody sits and waits, who can start the command again."""
EPILOG = "Parameters for -o: " + ", ".join(_SETTABLE)


class Format(str, Enum):
    """What `transcribe` prints."""

    TEXT = "text"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"


def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="WAV, FLAC, OGG or MP3; - for raw 16-bit PCM on standard input.",
        ),
    ],
    output: Annotated[
        Format, typer.Option("--format", "-f", help="json: one object a line.")
    ] = Format.TEXT,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime/--fast",
            help="Send at the audio's own speed, or as fast as an embedded server "
            "recognises.",
        ),
    ] = True,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Short for -o speech_model=…")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="NAME=VALUE",
            help="A parameter of AssemblyAI's streaming API, listed below; repeat it "
            "for more. Lists as JSON or with commas.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="A server other than AssemblyAI's or our own; on loopback without key."
        ),
    ] = None,
    rate: Annotated[
        int,
        typer.Option(min=1000, max=768_000, help="Hz, of raw PCM on standard input."),
    ] = 16000,
    channels: Annotated[
        int, typer.Option(min=1, max=64, help="Of raw PCM on standard input.")
    ] = 1,
) -> None:
    """Transcribe recordings, or live audio from a pipe.

    With ASSEMBLYAI_API_KEY set this uses AssemblyAI. Without a key it starts the
    embedded server and recognises speech on this machine, offline.

    Warnings, the server's and our own, are told on standard error. Ctrl-C ends the
    session and keeps what is final. Exit status: 0 done, 2 bad usage,
    65 unreadable audio, 66 no such file, 69 no server, 75 parts were not transcribed,
    77 refused, 130 Ctrl-C.
    """

    async def command(stop: Stop) -> int:
        status = 0
        parameters = _parameters(option or [], model)
        if output in (Format.SRT, Format.VTT) and len(files) > 1:
            raise OptionError(f"{output.value} takes one file")
        for name in files:
            _recording(name, rate, channels)  # or the last would fail after the first
        async with _server(url, realtime) as (base_url, api_key):
            for name in files:
                stream = connect(
                    base_url=base_url,
                    api_key=api_key,
                    catch_up_rate=CATCH_UP_RATE if realtime else math.inf,
                    max_retries=MAX_RETRIES,
                    skip_silence=False,
                    **parameters,
                )
                if await stop.or_done(stream.__aenter__()) is None:
                    break
                async with contextlib.aclosing(stream):
                    recording = _recording(name, rate, channels)
                    printer = _printer(output, name, recording)
                    watched = _watched(recording, printer, stop)
                    try:
                        await _show(stream, watched, printer, realtime)
                    except LostAudioError as exc:  # the other files are there yet
                        complain(f"{name}: {exc}")
                        status = os.EX_TEMPFAIL
        return status

    with log_shown():
        status = run(command)
    raise typer.Exit(status)


def _parameters(pairs: list[str], model: str | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {} if model is None else {"speech_model": model}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in _SETTABLE:
            raise OptionError(
                "-o takes NAME=VALUE with a name that --help lists, "
                f"not {name!r}{did_you_mean(name, _SETTABLE)}"
            )
        parameters[name] = PARAMETERS[name].parse(text)
    Options(parameters)  # refuses what is bad before a server is started
    return parameters


@contextlib.asynccontextmanager
async def _server(
    url: str | None, realtime: bool
) -> AsyncIterator[tuple[str, str | None]]:
    """The server's URL and a key for it; an embedded one is started if need be."""
    if url is None and not os.environ.get(KEY_VARIABLE):
        print(
            f"{KEY_VARIABLE} is not set: recognising on this machine, offline",
            file=sys.stderr,
        )
        # One session at a time, and the next file at once.
        service = Service(place_seconds=0)
        engine = PocketsphinxEngine(capacity=1)
        async with Emulator(engine, service=service) as emulator:
            yield emulator.url, "embedded"
        return
    url = url or DEFAULT_URL
    if not realtime and not is_loopback(host_of(url)):
        raise OptionError("--fast is for an embedded server, AssemblyAI is --realtime")
    yield url, None


def _recording(name: str, rate: int, channels: int) -> Recording:
    return raw_recording(0, rate, channels) if name == "-" else open_recording(name)


def _printer(output: Format, name: str, recording: Recording) -> Printer:
    if output in (Format.SRT, Format.VTT):
        return SubtitlePrinter(output.value)
    if output is Format.TEXT and sys.stdout.isatty():
        return TerminalPrinter(recording.seconds)
    readable = os.fsencode(Path(name).name).decode(errors="replace")
    return LinePrinter(output is Format.JSON, readable)


def _watched(recording: Recording, printer: Printer, stop: Stop) -> Recording:
    """The recording, its progress shown, and over as soon as `stop` is set."""

    async def blocks() -> AsyncIterator[Audio]:
        frames = 0
        while not stop.is_set():
            block = await stop.or_done(anext(recording.blocks, None))
            if block is None:
                return
            yield block
            frames += recording.count_frames(block)
            printer.progress(frames / recording.sample_rate)

    return replace(recording, blocks=blocks())


async def _show(
    stream: Stream,
    recording: Recording,
    printer: Printer,
    realtime: bool,
) -> None:
    lost: list[AudioLost] = []
    try:
        async for event in play(recording, stream, realtime=realtime):
            if isinstance(event, AudioLost):
                lost.append(event)
            elif isinstance(event, Warning):
                complain(f"the server warns: {event.warning}")
            elif isinstance(event, Turn) and event.words:
                printer.turn(event)
    finally:
        printer.finish()
    if lost:
        raise LostAudioError(lost)
