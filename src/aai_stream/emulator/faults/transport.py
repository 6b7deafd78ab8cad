"""Faults of sockets: a layer between asyncio's transport and the server's protocol.

It sees bytes only, and knows nothing of websockets or messages.
"""

from __future__ import annotations

import asyncio
import socket as sockets
import struct
from collections import deque
from typing import Any, cast

from ..clock import Clock, Timers

_NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing the socket sends a reset."""


class FaultyTransport(asyncio.Transport):
    """A TCP or TLS connection that can break in the ways connections do.

    Without faults it hands everything on to `transport`. It has as much of
    `asyncio.Transport` as aiohttp's server uses.
    """

    def __init__(self, transport: asyncio.Transport, clock: Clock) -> None:
        super().__init__()
        self._transport = transport
        self._timers = Timers(clock)
        self._reads = True
        self._writes = True
        # While it trickles:
        self._seconds: float | None = None
        self._size: int | None = None
        self._pieces: deque[bytes] = deque()
        self._written = asyncio.Event()
        self._written.set()

    # As the server uses it

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reads:
            self._transport.resume_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._writes:
            return
        if self._seconds is None:
            self._transport.write(data)
        else:
            self._write_slowly(bytes(data), self._seconds)

    # As faults break it

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.discard()
        if not self.is_closing():
            socket = self.get_extra_info("socket")
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _NO_LINGER)
            self.abort()

    def stop_reading(self) -> None:
        """Read nothing more, so that the peer's data piles up."""
        self._reads = False
        self._transport.pause_reading()

    def freeze(self) -> None:
        """Neither read nor write any more: a half-open connection."""
        self._writes = False
        self.stop_reading()

    def trickle(self, seconds: float, size: int | None) -> None:
        """Write a piece every `seconds` from now on.

        A piece has `size` bytes; with None, it is what one call of `write` brought.
        """
        self._seconds, self._size = seconds, size

    @property
    def is_trickling(self) -> bool:
        """Whether written data may still wait here."""
        return self._seconds is not None

    async def end_trickle(self) -> None:
        """Wait until everything has been written, then write at once again."""
        await self._written.wait()
        self._seconds = None

    def discard(self) -> None:
        """Drop what waits to be written."""
        self._timers.clear()
        self._pieces.clear()
        self._written.set()

    def _write_slowly(self, data: bytes, seconds: float) -> None:
        step = self._size or max(1, len(data))
        self._pieces.extend(data[at : at + step] for at in range(0, len(data), step))
        if self._pieces and self._written.is_set():
            self._written.clear()
            self._timers.arm("trickle", seconds, self._write_next)

    def _write_next(self) -> None:
        if not self._writes:
            return
        if not self.is_closing():
            self._transport.write(self._pieces.popleft())
        if self._pieces and self._seconds is not None and not self.is_closing():
            self._timers.arm("trickle", self._seconds, self._write_next)
        else:
            self.discard()


class FaultyProtocol(asyncio.Protocol):
    """Gives `above`, a server's protocol, a `FaultyTransport` as its connection."""

    def __init__(self, above: asyncio.Protocol, clock: Clock) -> None:
        self._above = above
        self._clock = clock
        self._transport: FaultyTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        below = cast("asyncio.Transport", transport)  # uvloop's isn't one
        self._transport = FaultyTransport(below, self._clock)
        self._above.connection_made(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport.discard()
        self._above.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._above.data_received(data)

    def eof_received(self) -> bool | None:
        return self._above.eof_received()

    def pause_writing(self) -> None:
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._above.resume_writing()
