"""A transport that writes slowly."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..clock import Timers


class Trickle:
    """Stands before `transport` for a writer of websocket frames.

    A piece of `size` bytes, or what was written in one call if None, is handed on every
    `seconds`. `drained` is set while nothing waits.
    """

    seconds: float
    size: int | None

    def __init__(self, transport: asyncio.WriteTransport, timers: Timers) -> None:
        self._transport = transport
        self._timers = timers
        self._pieces: deque[bytes] = deque()
        self.drained = asyncio.Event()
        self.drained.set()
        self.is_closing: Callable[[], bool] = transport.is_closing

    def write(self, data: bytes) -> None:
        """As `asyncio.WriteTransport.write`."""
        step = self.size or max(1, len(data))
        for at in range(0, len(data), step):
            self._pieces.append(bytes(data[at : at + step]))
        if self._pieces and self.drained.is_set():
            self.drained.clear()
            self._timers.arm("trickle", self.seconds, self._next)

    def stop(self) -> None:
        """Forget what waits."""
        self._timers.disarm("trickle")
        self._pieces.clear()
        self.drained.set()

    def _next(self) -> None:
        if not self.is_closing():
            self._transport.write(self._pieces.popleft())
        if self._pieces and not self.is_closing():
            self._timers.arm("trickle", self.seconds, self._next)
        else:
            self.stop()
