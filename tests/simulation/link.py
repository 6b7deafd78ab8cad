"""A simulated connection: what is sent takes its time, waits, or never comes."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.simulation.speech import RATE

DEAD_AFTER = 10.0
"""A peer that is silent for so long is given up by a wire."""

ROOM_BYTES = 64 * 1024
"""A wire with more than this in its buffer has no room for audio."""

BURST_SECONDS = 1.0
"""So much audio may go at once; what follows has its rate."""

READ_SECONDS = 0.05
"""A busy client reads all that has come in so long at once."""

ABNORMAL = 1006


class Owner(Protocol):
    """Who holds the client's end."""

    def received(self, text: bytes) -> None: ...
    def closed(self, code: int, reason: str) -> None: ...


class Server(Protocol):
    """Who holds the other end."""

    def hear(self, message: bytes) -> None: ...
    def command(self, text: bytes) -> None: ...
    def gone(self) -> None: ...


@dataclass(frozen=True)
class Told:
    """What a message says of a turn: its words that are whole, by their numbers in the
    call, and whether it ends it."""

    order: int
    words: tuple[int, ...]
    is_final: bool


class Link:
    """Both ends of a connection. `complain` gets what a client may not do; `rate` is
    how many times real time it may send, `chunk_seconds` the length of a message."""

    def __init__(
        self,
        owner: Owner,
        dice: random.Random,
        complain: Callable[[str], None],
        *,
        rate: float,
        chunk_seconds: float,
    ) -> None:
        self.server: Server
        self.has_room = True
        self.is_half_open = False
        self.is_closed = False
        self.terminated_at: float | None = None  # by the client
        self.over_at: float | None = None  # for the client, whoever ended it
        self.sent_at = 0.0
        """When the client sent audio last."""
        self.room_since = 0.0
        self.sent_samples = 0
        self.open_turns: set[int] = set()
        """That the client was told of, but not to their end."""
        self.on_told: Callable[[Told], None] = lambda told: None
        self.on_terminate: Callable[[], None] = lambda: None
        self.on_room: Callable[[], None] = lambda: None
        self.on_has_room: Callable[[bool], None] = lambda has_room: None
        self.bytes_left = math.inf
        """So many more get through, either way."""
        self._owner = owner
        self._dice = dice
        self._complain = complain
        self._rate = rate
        # The chunk that goes over it, and what is flushed.
        self._burst = BURST_SECONDS + 2 * chunk_seconds + 0.1
        self._ahead = 0.0  # of what may be sent, in seconds
        self._loop = asyncio.get_running_loop()
        self._latency = dice.uniform(0.005, 0.06)
        self._arrives_at = 0.0
        self._buffer: list[tuple[Callable[[bytes], None], bytes]] | None = None
        self._buffered = 0
        self._frozen_at = 0.0
        self._reads_late = dice.random() < 0.2
        self._unread: list[tuple[bytes, Told | None]] = []

    # ---- what the client uses ----

    @property
    def silent_seconds(self) -> float:
        """How long nothing has come, not even a pong."""
        return self._loop.time() - self._frozen_at if self.is_half_open else 0.0

    @property
    def is_clear(self) -> bool:
        """Whether what is sent now is under way at once."""
        is_open = self.over_at is None and not self.is_half_open
        return is_open and self.has_room and self._buffer is None

    @property
    def is_stalled(self) -> bool:
        """Whether something that was sent waits on its way."""
        return bool(self._buffer)

    def send_audio(self, message: bytes) -> None:
        """Send a binary message."""
        if self.terminated_at is not None and not self.is_closed:
            self._complain("audio is sent behind Terminate")
        self._check_rate(len(message) / 2 / RATE)
        self.sent_samples += len(message) // 2
        self._send(self.server.hear, message)

    def send_text(self, text: bytes) -> None:
        """Send a text message."""
        if b'"Terminate"' in text and self.terminated_at is None and not self.is_closed:
            self.terminated_at = self._loop.time()
            self._over()
            self.on_terminate()
        self._send(self.server.command, text)

    async def close(self) -> None:
        """Say goodbye; nothing more is received."""
        if not self.is_closed:
            await asyncio.sleep(self.leave())
            self._owner.closed(1000, "")

    def leave(self) -> float:
        """The same at once. Returns how many seconds it takes the other side."""
        if self.is_closed:
            return 0.0
        if self.terminated_at is None:
            self._complain("a session is closed, and not told to terminate")
        self.is_closed = True
        self._over()
        if self.is_half_open:
            return 2.0
        self._arrive(lambda _: self.server.gone(), b"")
        return 2 * self._latency

    def _check_rate(self, seconds: float) -> None:
        now = self._loop.time()
        self._ahead = max(0.0, self._ahead - (now - self.sent_at) * self._rate)
        self._ahead += seconds
        self.sent_at = now
        if self._ahead > self._burst + 1e-6:
            self._complain(f"audio is sent too fast: {self._ahead:.2f} s ahead")

    # ---- the network ----

    def _send(self, receive: Callable[[bytes], None], message: bytes) -> None:
        if self.is_closed:
            return
        if self._buffer is not None or self.is_half_open:
            if self._buffer is not None:
                self._buffer.append((receive, message))
            self._buffered += len(message)
            self._set_room(self._buffered < ROOM_BYTES)
        else:
            self._arrive(receive, message)

    def _arrive(self, receive: Callable[[bytes], None], message: bytes) -> None:
        if not self._gets_through(message):
            return
        latency = self._latency * self._dice.uniform(0.8, 1.5)
        self._arrives_at = max(self._arrives_at + 1e-6, self._loop.time() + latency)
        self._loop.call_at(self._arrives_at, receive, message)

    def _gets_through(self, message: bytes) -> bool:
        self.bytes_left -= len(message)
        if self.bytes_left >= 0:
            return True
        if self.bytes_left + len(message) >= 0:
            self._loop.call_later(self._latency, self.cut)
        return False

    def deliver(self, text: bytes, told: Told | None = None) -> None:
        """Let the client receive a message of the service's."""
        if self.is_closed or self.is_half_open or not self._gets_through(text):
            return
        self._unread.append((text, told))
        if not self._reads_late:
            self._read()
        elif len(self._unread) == 1:
            self._loop.call_later(READ_SECONDS, self._read)

    def _read(self) -> None:
        """All that has come is read at once, whatever the first of it leads to."""
        unread, self._unread = self._unread, []
        is_closed = self.is_closed
        for text, told in unread:
            if is_closed:
                return
            if told is not None:
                if told.is_final:
                    self.open_turns.discard(told.order)
                else:
                    self.open_turns.add(told.order)
                self.on_told(told)
            self._owner.received(text)

    def hang_up(self, code: int, reason: str) -> None:
        """End the connection, from the service's side."""
        if not self.is_closed and not self.is_half_open:
            self._read()
            self.is_closed = True
            self._over()
            self._owner.closed(code, reason)

    def _set_room(self, has_room: bool) -> None:
        """As asyncio does, tell changes only: who has room again may send at once."""
        if has_room != self.has_room:
            self.has_room = has_room
            self.on_has_room(has_room)

    def _over(self) -> None:
        if self.over_at is None:
            self.over_at = self._loop.time()

    def cut(self) -> None:
        """End it with no close frame: neither side can help it."""
        self.is_half_open = False
        self.hang_up(ABNORMAL, "")
        self.server.gone()

    def freeze(self) -> None:
        """Nothing comes or goes any more; the client finds out."""
        self.is_half_open = True
        self._frozen_at = self._loop.time()
        self._loop.call_later(DEAD_AFTER, self.cut)

    def stall(self, seconds: float) -> None:
        """What is sent waits for so long."""
        if self._buffer is None:
            self._buffer = []
            self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        waiting, self._buffer, self._buffered = self._buffer or [], None, 0
        if self.is_half_open:
            return
        for receive, message in waiting:
            self._arrive(receive, message)
        self.room_since = self._loop.time()
        if not self.has_room and not self.is_closed:
            self._set_room(True)
            self.on_room()
