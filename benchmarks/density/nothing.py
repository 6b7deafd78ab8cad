"""A LiveKit plugin that does nothing, for the harness's cost.

Imports nothing but LiveKit, for it runs in a process that shall have no more.
"""

from __future__ import annotations

from typing import Any

from livekit import rtc
from livekit.agents.utils import aio

TURN_FRAMES = 5
"""Of 50 ms, between two events of a client that does nothing: others read Turns."""


class NullStream:
    """Takes frames, and has an event to read for every so many."""

    session_id = "none"

    def __init__(self, every: int = TURN_FRAMES) -> None:
        self._events = aio.Chan[int]()
        self._every = every
        self._frames = 0

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Do nothing with it."""
        self._frames += 1
        if self._frames % self._every == 0:
            self._events.send_nowait(self._frames)

    def __aiter__(self) -> Any:
        return self._events


class NullSTT:
    """What makes them, whatever it is asked for."""

    def __init__(self, **_options: object) -> None:
        pass

    def prewarm(self) -> None:
        """Do nothing."""

    def stream(self) -> NullStream:
        """A stream without a server."""
        return NullStream()
