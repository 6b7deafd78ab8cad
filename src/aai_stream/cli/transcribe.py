"""`aai-stream transcribe`: recordings, or live audio from a pipe, to text."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..client import connect
from ..connection.addresses import host_of, is_loopback
from ..errors import LostAudioError, OptionError
from ..files import Recording, open_recording, raw_recording
from ..protocol.pace import CATCH_UP_RATE
from . import parameters as given
from .hearing import FILE_RETRIES, LIVE_RETRIES, hear, opened, server
from .running import Stop, complain, log_shown, run
from .screen import Screen
from .writing import Format, writer

STANDARD_INPUT = "-"
RATE, CHANNELS = 16_000, 1
"""Of raw PCM, if nothing else is said."""


@dataclass(frozen=True)
class Source:
    """What is to be transcribed, and where the text goes."""

    name: str
    open: Callable[[], Recording]
    path: Path | None
    """Of the text; None for standard output."""

    @property
    def is_live(self) -> bool:
        """Whether it can't be read again."""
        return self.name == STANDARD_INPUT

    @property
    def shown(self) -> str:
        """The name, without its folder."""
        return os.fsencode(Path(self.name).name).decode(errors="replace")


def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="WAV, FLAC, OGG or MP3, with ffmpeg anything else; a recorded call "
            "(.aai); - for raw 16-bit PCM on standard input.",
        ),
    ],
    output: Annotated[
        Format, typer.Option("--format", "-f", help="json: one object a line.")
    ] = Format.TEXT,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            "-d",
            file_okay=False,
            help="Write a file for each recording there, not to standard output.",
        ),
    ] = None,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime/--fast",
            help="Send at the audio's own speed, or as fast as an embedded server "
            "recognises.",
        ),
    ] = True,
    model: given.Model = None,
    language: given.Language = None,
    speaker_labels: given.SpeakerLabels = False,
    keyterm: given.Keyterm = None,
    prompt: given.Prompt = None,
    option: given.Option = None,
    extra: given.Extra = None,
    record: given.Record = None,
    url: given.Url = None,
    rate: Annotated[
        int | None,
        typer.Option(
            min=1000,
            max=768_000,
            help=f"Hz, of raw PCM on standard input; {RATE} if not given.",
        ),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help=f"Of raw PCM on standard input; {CHANNELS} if not given.",
        ),
    ] = None,
) -> None:
    """Transcribe recordings, or live audio from a pipe.

    With ASSEMBLYAI_API_KEY set this uses AssemblyAI. Without a key it starts the
    embedded server and recognises speech on this machine, offline.

    Warnings, the server's and our own, are told on standard error. Ctrl-C ends the
    session and keeps what is final. Exit status: 0 done, 2 bad usage,
    65 unreadable audio, 66 no such file, 69 no server, 75 parts were not transcribed,
    77 the key or a parameter was refused, 130 Ctrl-C.
    """

    async def command(stop: Stop) -> int:
        parameters = given.parameters(
            model=model,
            language=language,
            speaker_labels=speaker_labels,
            keyterm=keyterm,
            prompt=prompt,
            option=option,
            extra=extra,
        )
        sources = _sources(files, output, output_dir, rate, channels)
        # All are opened before: or the last would fail after the first was heard.
        seconds = [source.open().seconds for source in sources]
        async with server(url) as (base_url, api_key):
            if not realtime and not is_loopback(host_of(base_url)):
                raise OptionError(
                    "--fast is for an embedded server, AssemblyAI is --realtime"
                )
            options = {
                **parameters,
                "base_url": base_url,
                "api_key": api_key,
                "record": record,
            }
            with Screen(seconds) as screen:
                return await _transcribe_all(
                    sources, options, output, screen, realtime, stop
                )

    with log_shown():
        status = run(command)
    raise typer.Exit(status)


async def _transcribe_all(
    sources: list[Source],
    options: dict[str, Any],
    output: Format,
    screen: Screen,
    realtime: bool,
    stop: Stop,
) -> int:
    """One after the other; gives the exit status."""
    status = 0
    for number, source in enumerate(sources):
        recording = source.open()
        stream = connect(
            sample_rate=recording.sent_rate,
            catch_up_rate=CATCH_UP_RATE if realtime else math.inf,
            max_retries=LIVE_RETRIES if source.is_live else FILE_RETRIES,
            skip_silence=False,
            **options,
        )
        async with opened(stream, stop) as is_open:
            if not is_open:
                break
            screen.begin(source.shown, recording.seconds)
            if output is Format.TEXT and len(sources) > 1 and source.path is None:
                screen.write(f"{'' if number == 0 else chr(10)}==> {source.name} <==\n")
            stamped = screen.shows_text and source.path is None
            try:
                with _written(source, screen) as write:
                    has_heard = await hear(
                        recording,
                        stream,
                        screen=screen,
                        writer=writer(output, source.shown, stamped=stamped),
                        write=write,
                        realtime=realtime,
                        stop=stop,
                    )
                if not has_heard and not stop.is_set():
                    complain(f"{source.name}: no speech was heard")
            except LostAudioError as exc:  # the other files are there yet
                complain(f"{source.name}: {exc}")
                status = os.EX_TEMPFAIL
    return status


def _sources(
    names: list[str],
    output: Format,
    output_dir: Path | None,
    rate: int | None,
    channels: int | None,
) -> list[Source]:
    """What `names` stand for. Raises `OptionError` for options that don't go
    together."""
    subtitles = output in (Format.SRT, Format.VTT)
    if subtitles and len(names) > 1 and output_dir is None:
        raise OptionError(f"{output.value} of several files needs --output-dir")
    if STANDARD_INPUT not in names and (rate or channels):
        raise OptionError(
            "--rate and --channels are for raw PCM on standard input (-); "
            "files say themselves what they hold"
        )
    if names.count(STANDARD_INPUT) > 1:
        raise OptionError("standard input (-) can be read only once")
    sources = [
        _source(name, output, output_dir, rate or RATE, channels or CHANNELS)
        for name in names
    ]
    paths = [source.path for source in sources if source.path is not None]
    for path in paths:
        if paths.count(path) > 1:
            raise OptionError(f"two recordings would be written to {path}")
    return sources


def _source(
    name: str, output: Format, output_dir: Path | None, rate: int, channels: int
) -> Source:
    is_input = name == STANDARD_INPUT
    stem = "stdin" if is_input else Path(name).stem
    return Source(
        name,
        (lambda: raw_recording(0, rate, channels))
        if is_input
        else (lambda: open_recording(name)),
        output_dir and output_dir / (stem + output.suffix),
    )


@contextlib.contextmanager
def _written(source: Source, screen: Screen) -> Iterator[Callable[[str], object]]:
    """Where the text of `source` goes."""
    if source.path is None:
        yield screen.write
        return
    source.path.parent.mkdir(parents=True, exist_ok=True)
    with open(source.path, "w", encoding="utf-8") as file:
        yield file.write
