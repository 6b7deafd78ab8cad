"""`aai-stream listen`: the microphone to text."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..client import connect
from ..errors import AudioError, MissingExtraError
from ..files import BLOCK_MS, Recording
from . import parameters as given
from .hearing import LIVE_RETRIES, hear, opened, server
from .running import Stop, log_shown, run
from .screen import Screen
from .writing import Format, writer

if TYPE_CHECKING:
    from ..typing import Audio


def listen(
    output: Annotated[
        Format, typer.Option("--format", "-f", help="json: one object a line.")
    ] = Format.TEXT,
    device: Annotated[
        str | None,
        typer.Option(
            help="Its number, or a part of its name; the system's own if not given."
        ),
    ] = None,
    devices: Annotated[
        bool, typer.Option("--devices", help="List the microphones and exit.")
    ] = False,
    model: given.Model = None,
    language: given.Language = None,
    speaker_labels: given.SpeakerLabels = False,
    keyterm: given.Keyterm = None,
    prompt: given.Prompt = None,
    option: given.Option = None,
    extra: given.Extra = None,
    record: given.Record = None,
    url: given.Url = None,
) -> None:
    """Transcribe what the microphone hears, until Ctrl-C.

    With ASSEMBLYAI_API_KEY set this uses AssemblyAI. Without a key it starts the
    embedded server and recognises speech on this machine, offline.
    """

    async def command(stop: Stop) -> int | None:
        parameters = given.parameters(
            model=model,
            language=language,
            speaker_labels=speaker_labels,
            keyterm=keyterm,
            prompt=prompt,
            option=option,
            extra=extra,
        )
        if devices:
            print(_sounddevice().query_devices())
            return None
        async with (
            microphone(device) as recording,
            server(url) as (base_url, api_key),
        ):
            stream = connect(
                base_url=base_url,
                api_key=api_key,
                max_retries=LIVE_RETRIES,
                record=record,
                **parameters,
            )
            async with opened(stream, stop) as is_open:
                if not is_open:
                    return None
                with Screen([None]) as screen:
                    screen.begin("microphone", None)
                    await hear(
                        recording,
                        stream,
                        screen=screen,
                        writer=writer(output, "microphone", stamped=screen.shows_text),
                        write=screen.write,
                        realtime=True,
                        stop=stop,
                    )
        return None

    with log_shown():
        status = run(command)
    raise typer.Exit(status)


@contextlib.asynccontextmanager
async def microphone(device: str | None) -> AsyncIterator[Recording]:
    """What a microphone hears, one channel at its own rate.

    Raises `MissingExtraError` without sounddevice or PortAudio, `AudioError` if there
    is no such device or it can't be opened.
    """
    sounddevice = _sounddevice()
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    def take(data: Any, *_: object) -> None:  # on a thread of PortAudio's
        loop.call_soon_threadsafe(heard.put_nowait, bytes(data))

    async def blocks() -> AsyncIterator[Audio]:
        while True:
            yield await heard.get()

    chosen = int(device) if device is not None and device.isdecimal() else device
    try:
        rate = round(sounddevice.query_devices(chosen, "input")["default_samplerate"])
        stream = sounddevice.RawInputStream(
            samplerate=rate,
            blocksize=rate * BLOCK_MS // 1000,
            device=chosen,
            channels=1,
            dtype="int16",
            callback=take,
        )
    except (sounddevice.PortAudioError, ValueError) as exc:
        raise AudioError(
            f"the microphone can't be opened: {exc}; --devices lists what there is"
        ) from None
    with stream:
        yield Recording(blocks(), rate)


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise MissingExtraError(
            "the microphone needs sounddevice: pip install sounddevice"
        ) from None
    except OSError:  # what it says when there is no PortAudio
        raise MissingExtraError(
            "the microphone needs PortAudio: apt install libportaudio2, or what your "
            "system calls it"
        ) from None
    return sounddevice
