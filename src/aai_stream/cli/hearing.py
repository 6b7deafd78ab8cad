"""What `transcribe` and `listen` share: a server, and a recording's turns shown."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..connection.addresses import DEFAULT_URL, STREAMING_PATH, endpoint
from ..connection.credentials import KEY_VARIABLE
from ..emulator.engines.pocketsphinx import PocketsphinxEngine
from ..emulator.server import Emulator, Service
from ..errors import LostAudioError, SessionError
from ..files import Recording, play
from ..messages import AudioLost, Turn, Warning
from ..stream import Stream
from .running import Stop, complain
from .screen import Screen
from .writing import Writer

if TYPE_CHECKING:
    from ..typing import Audio

FILE_RETRIES = 3
"""Somebody sits and waits, who can start the command again."""

LIVE_RETRIES = 10
"""What was said once nobody says again: half a minute, as in a program."""


@contextlib.asynccontextmanager
async def server(url: str | None) -> AsyncIterator[tuple[str, str | None]]:
    """The server's URL and a key for it; an embedded one is started if need be."""
    if url is not None:
        endpoint(url, STREAMING_PATH)  # a bad one is told before a missing key
    if url is not None or os.environ.get(KEY_VARIABLE):
        yield url or DEFAULT_URL, None
        return
    print(
        f"{KEY_VARIABLE} is not set: recognising on this machine, offline",
        file=sys.stderr,
    )
    # One session at a time, and the next file at once.
    service = Service(place_seconds=0)
    async with Emulator(PocketsphinxEngine(capacity=1), service=service) as emulator:
        yield emulator.url, "embedded"


@contextlib.asynccontextmanager
async def opened(stream: Stream, stop: Stop) -> AsyncIterator[bool]:
    """Enter `stream`, and close it in the end; False if `stop` came before. What is
    recorded is said when it begins, and where it is at the end."""
    file = stream.recording
    if file is not None:
        print("this call is recorded, with all that is said", file=sys.stderr)
    try:
        async with contextlib.aclosing(stream):
            yield await stop.or_done(stream.__aenter__()) is not None
    finally:
        if file is not None and file.exists():
            here = Path.cwd()
            shown = file.relative_to(here) if file.is_relative_to(here) else file
            print(f"recorded: {shown}", file=sys.stderr)


async def hear(
    recording: Recording,
    stream: Stream,
    *,
    screen: Screen,
    writer: Writer,
    write: Callable[[str], object],
    realtime: bool,
    stop: Stop,
) -> bool:
    """Play `recording` into `stream`, and write its turns until it is over, or until
    `stop` is set and what was heard is told. Gives whether there were any.

    Raises `LostAudioError` if parts of it were not transcribed, or the `SessionError`
    that ended it before a turn was written.
    """
    lost: list[AudioLost] = []
    failure = None
    has_written = False
    watched = _watched(recording, screen if realtime else None, stop)
    try:
        async for event in play(watched, stream, realtime=realtime):
            if isinstance(event, AudioLost):
                lost.append(event)
            elif isinstance(event, Warning):
                complain(f"the server warns: {event.warning}")
            elif isinstance(event, Turn) and event.words:
                screen.turn(event)
                screen.heard(event.words[-1].end / 1000)
                if event.is_final:
                    write(writer.turn(event))
                    has_written = True
    except SessionError as exc:
        if not (has_written and lost):
            raise
        failure = exc
    finally:
        write(writer.end())
    if lost:
        raise LostAudioError(lost, failure=failure)
    return has_written


def _watched(recording: Recording, screen: Screen | None, stop: Stop) -> Recording:
    """The recording, over as soon as `stop` is set. What is sent at its own speed is
    heard at once, so `screen` is told of it."""

    async def blocks() -> AsyncIterator[Audio]:
        frames = 0
        while not stop.is_set():
            block = await stop.or_done(anext(recording.blocks, None))
            if block is None:
                return
            yield block
            frames += recording.count_frames(block)
            if screen is not None:
                screen.heard(frames / recording.sample_rate)

    return replace(recording, blocks=blocks())
