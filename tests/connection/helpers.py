"""What is at the ends of a wire, for tests of it."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from aai_stream._core import AudioRing, Gate, Pacer
from aai_stream.connection.wire import Wire
from tests.wires import Way

SECRET = "key-that-nobody-may-see"


class Heard:
    """An owner that keeps what its wire tells."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.spoken = asyncio.Event()
        self.rooms = 0
        self._gate = Gate(AudioRing(16000), Pacer(math.inf, 16000, 1.0))
        self.end: asyncio.Future[tuple[int, str]] = asyncio.Future()

    def received(self, text: bytes) -> None:
        self.texts.append(text)
        self.spoken.set()

    def closed(self, code: int, reason: str) -> None:
        assert not self.end.done(), "the end was told twice"
        self.end.set_result((code, reason))

    def room(self) -> None:
        """There is room again, says the gate."""
        self.rooms += 1

    async def open(self, way: Way, url: str, **options: Any) -> Wire:
        wire = await way.open(
            f"{url}/v3/ws?token={SECRET}", {"Authorization": SECRET}, self, **options
        )
        self._gate.connect(wire.frames, asyncio.get_running_loop().time)
        self._gate.ask = self.room
        return wire


async def fill(wire: Wire) -> int:
    """Send for as long as anything goes; gives how many bytes."""
    sent = idle = 0
    while idle < 100:
        idle += 1
        if wire.frames.has_room:
            wire.frames.send_audio(bytes(64_000))
            sent += 64_000
            assert sent < 100_000_000
            idle = 0
        await asyncio.sleep(0)
    return sent


def assert_no_secret(error: BaseException | None) -> None:
    """No key in an exception or in anything it drags along."""
    while error is not None:
        assert SECRET not in repr(error)
        assert SECRET not in str(error)
        assert SECRET not in repr(vars(error))
        error = error.__cause__ or error.__context__
