"""What a stream was told, until somebody reads it."""

from __future__ import annotations

import asyncio

from .errors import StateError
from .messages import Event, Heartbeat, Silence, SpeechStarted, Turn, Unknown
from .protocol.events import Retry

MOST_UNREAD = 10_000
"""Messages that wait to be read. Beyond that, partial turns and remarks are left out;
with twice as many the stream ends."""


def has_room(unread: int, is_passing: bool) -> bool:
    """Whether one more message may wait, besides those `unread`; `is_passing` is for
    one that a later one makes up for.

    Raises `StateError` if far too many wait.
    """
    if unread >= 2 * MOST_UNREAD:
        raise StateError(f"{unread} messages wait, and nobody reads them")
    return unread < MOST_UNREAD or not is_passing


class Inbox:
    """A stream's messages.

    Whoever tells a stream something holds its inbox, and so whoever waits here, but not
    a stream for whose messages nobody waits.
    """

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()  # None: the end
        self.left_out = 0
        """How many there were no room for."""

    def put(self, event: Event | Retry | None) -> None:
        """Let `event` be read, if there is room for it; None is the end.

        Raises `StateError` if far too many wait.
        """
        if event is None:
            self._events.put_nowait(None)
        elif isinstance(event, Retry):
            pass  # the log tells it
        elif has_room(self._events.qsize(), _is_passing(event)):
            self._events.put_nowait(event)
        else:
            self.left_out += 1

    async def get(self) -> Event | None:
        """Wait for the next message; None if there is no more, however often asked."""
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)  # for whoever asks again
        return event


def _is_passing(event: Event) -> bool:
    if isinstance(event, Turn):
        return not event.end_of_turn
    return isinstance(event, (Heartbeat, Silence, SpeechStarted, Unknown))
