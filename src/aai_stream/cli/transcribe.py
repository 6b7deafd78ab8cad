"""`aai-stream transcribe`: recordings, or live audio from a pipe, to text."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..credentials import DEFAULT_URL, KEY_VARIABLE
from ..emulator.recognizer import PocketsphinxEngine
from ..emulator.server import Emulator
from ..errors import OptionError
from ..files import (
    Recording,
    count_frames,
    open_recording,
    play,
    raw_recording,
)
from ..messages import Turn
from ..parameters import PARAMETERS
from ..stream import Stream, connect
from .printing import LinePrinter, Printer, SubtitlePrinter, TerminalPrinter
from .running import INTERRUPTED, run

if TYPE_CHECKING:
    from aai_stream.typing import Audio

# The audio's own; the command line always sends 16 kHz PCM.
_SETTABLE = [name for name in PARAMETERS if name not in ("sample_rate", "encoding")]
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
        str | None, typer.Option(help="A server other than AssemblyAI's or our own.")
    ] = None,
    rate: Annotated[
        int, typer.Option(help="Hz, of raw PCM on standard input.")
    ] = 16000,
    channels: Annotated[
        int, typer.Option(help="Channels, of raw PCM on standard input.")
    ] = 1,
) -> None:
    """Transcribe recordings, or live audio from a pipe.

    With ASSEMBLYAI_API_KEY set this uses AssemblyAI. Without a key it starts the
    embedded server and recognises speech on this machine, offline.

    Ctrl-C ends the session and keeps what is final. Exit status: 0 done, 2 bad usage,
    65 unreadable audio, 66 no such file, 69 no server, 77 refused, 130 Ctrl-C.
    """

    async def command(stop: asyncio.Event) -> int:
        parameters = _parameters(option or [], model)
        if output in (Format.SRT, Format.VTT) and len(files) > 1:
            raise OptionError(f"{output.value} takes one file")
        recordings = [_recording(name, rate, channels) for name in files]
        async with _server(url, realtime) as (base_url, api_key):
            for name, recording in zip(files, recordings, strict=True):
                printer = _printer(output, name, recording)
                await _show(
                    connect(base_url=base_url, api_key=api_key, **parameters),
                    _watched(recording, printer, stop),
                    printer,
                    realtime=realtime,
                    formatted=parameters.get("format_turns") is True,
                )
                if stop.is_set():
                    return INTERRUPTED
        return 0

    run(command)


def _parameters(pairs: list[str], model: str | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {} if model is None else {"speech_model": model}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in _SETTABLE:
            raise OptionError(
                f"-o takes NAME=VALUE with a name that --help lists, not {name!r}"
            )
        parameters[name] = PARAMETERS[name].parse(text)
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
        async with Emulator(PocketsphinxEngine(capacity=1)) as emulator:
            yield emulator.url, "embedded"
        return
    url = url or DEFAULT_URL
    if not realtime and not url.startswith(("ws://127.0.0.1", "ws://localhost")):
        raise OptionError(
            "--fast is for an embedded server; AssemblyAI's wants --realtime"
        )
    yield url, None


def _recording(name: str, rate: int, channels: int) -> Recording:
    if name == "-":
        return raw_recording(sys.stdin.fileno(), rate, channels)
    return open_recording(name)


def _printer(output: Format, name: str, recording: Recording) -> Printer:
    if output in (Format.SRT, Format.VTT):
        return SubtitlePrinter(output.value)
    if output is Format.TEXT and sys.stdout.isatty():
        return TerminalPrinter(recording.seconds)
    return LinePrinter(output is Format.JSON, Path(name).name)


def _watched(recording: Recording, printer: Printer, stop: asyncio.Event) -> Recording:
    """The recording, its progress shown, and over as soon as `stop` is set."""

    async def blocks() -> AsyncIterator[Audio]:
        stopped = asyncio.ensure_future(stop.wait())
        frames = 0
        try:
            while not stop.is_set():
                block = asyncio.ensure_future(anext(recording.blocks, None))
                await asyncio.wait(
                    [block, stopped], return_when=asyncio.FIRST_COMPLETED
                )
                if not block.done():
                    block.cancel()
                    return
                data = block.result()
                if data is None:
                    return
                yield data
                frames += count_frames(data, recording.num_channels)
                printer.progress(frames / recording.sample_rate)
        finally:
            stopped.cancel()

    return replace(recording, blocks=blocks())


async def _show(
    stream: Stream,
    recording: Recording,
    printer: Printer,
    *,
    realtime: bool,
    formatted: bool,
) -> None:
    try:
        async with stream:
            async for event in play(recording, stream, realtime=realtime):
                if isinstance(event, Turn) and event.words:
                    last = event.turn_is_formatted or not formatted
                    printer.turn(event, final=event.end_of_turn and last)
    finally:
        printer.finish()
