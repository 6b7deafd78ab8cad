"""What a stream was told, until somebody reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .errors import StateError
from .messages import Event, Heartbeat, Silence, SpeechStarted, Turn, Unknown

MOST_PENDING = 10_000
"""Messages that wait to be read. Beyond that, partial turns and remarks are left out;
with twice as many the stream ends."""


class Inbox:
    """A stream's messages. `on_full` is called when there are far too many.

    Whoever tells a stream something holds its inbox, and so whoever waits here, but not
    a stream for whose messages nobody waits.
    """

    def __init__(self, on_full: Callable[[StateError], None]) -> None:
        self._on_full = on_full
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()  # None: the end
        self.left_out = 0
        """How many there were no room for."""

    def put(self, event: Event) -> None:
        """Let `event` be read, if there is room for it."""
        waiting = self._events.qsize()
        if waiting >= MOST_PENDING and not _matters(event):
            self.left_out += 1
        elif waiting < 2 * MOST_PENDING:
            self._events.put_nowait(event)
        else:
            self._on_full(StateError(f"{waiting} messages wait, and nobody reads them"))

    def close(self) -> None:
        """Nothing more will come."""
        self._events.put_nowait(None)

    async def get(self) -> Event | None:
        """Wait for the next message; None if there is no more, however often asked."""
        event = await self._events.get()
        if event is None:
            self.close()  # for whoever asks again
        return event


def _matters(event: Event) -> bool:
    """Whether `event` is no passing remark that a later one makes up for."""
    if isinstance(event, Turn):
        return event.end_of_turn
    return not isinstance(event, (Heartbeat, Silence, SpeechStarted, Unknown))
