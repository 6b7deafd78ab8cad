from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import soundfile

from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.emulator.server import Emulator


@contextlib.contextmanager
def in_thread(server: AbstractAsyncContextManager[str]) -> Iterator[str]:
    """Run a server beside a test that has no event loop; gives the server's URL."""
    started: list[str] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with server as url:
            started.append(url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(5)
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()


@contextlib.asynccontextmanager
async def emulator() -> AsyncIterator[str]:
    async with Emulator(MarkedEngine(), api_keys={"right"}) as server:
        yield server.url


@pytest.fixture
def url() -> Iterator[str]:
    """A server that hears marked audio and takes the key `right`."""
    with in_thread(emulator()) as url:
        yield url


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A recording of four marked words, w0000 to w0003."""
    path = tmp_path / "speech.wav"
    soundfile.write(path, marked_audio(4), 16000)
    return path
