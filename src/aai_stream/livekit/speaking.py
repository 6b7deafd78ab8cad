"""Sees to it that LiveKit hears of an end of speech for every start."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from livekit.agents.stt import SpeechEvent, SpeechEventType

from ..connection.watchdog import Loop

if TYPE_CHECKING:
    from ..runner import Runner

LOOK_SECONDS = 1.0
"""How often the stream is looked at while somebody speaks."""

QUIET_SECONDS = 10.0
"""Who says nothing for so long has stopped, though a turn may still be to come."""

STALLED_SECONDS = 5.0
"""A turn in which no audio comes for so long is ended by force: the server waits for
more."""

_SPEECH = (SpeechEventType.START_OF_SPEECH, SpeechEventType.INTERIM_TRANSCRIPT)


class Speaking:
    """Whether somebody speaks, as far as LiveKit was told.

    While that is so, `runner`, held weakly, is asked once in a while. When no turn is
    still to come, or nothing has been said for a while, the end of speech goes to
    `tell`.
    """

    def __init__(
        self, runner: Runner, tell: Callable[[SpeechEvent], None], loop: Loop
    ) -> None:
        self._runner = weakref.ref(runner)
        self._tell = tell
        self._loop = loop
        self._is_speaking = False
        self._has_started = False  # speaking, and LiveKit was told of the start
        self._timer: asyncio.TimerHandle | None = None
        self._written = -1
        self._stalled_seconds = 0.0

    def is_news(self, event: SpeechEvent) -> bool:
        """Take note of `event`, which is about to be told; False if it is a start of
        speech that LiveKit knows of."""
        if event.type in _SPEECH:
            if event.type is SpeechEventType.START_OF_SPEECH:
                if self._has_started:
                    return False
                self._has_started = True
            self._is_speaking = True
            if self._timer is None:
                self._look_later()
        elif event.type is SpeechEventType.END_OF_SPEECH:
            self._is_speaking = self._has_started = False
        return True

    def end(self) -> None:
        """Nobody speaks any more: tell it, if that is news."""
        if self._is_speaking:
            self._tell(SpeechEvent(type=SpeechEventType.END_OF_SPEECH))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        runner = self._runner()
        if not self._is_speaking or runner is None:
            return
        if runner.protocol.awaits_turn and not self._is_quiet(runner):
            self._look_later()
        else:
            self.end()

    def _is_quiet(self, runner: Runner) -> bool:
        protocol = runner.protocol
        if protocol.ring.written != self._written:
            self._written = protocol.ring.written
            self._stalled_seconds = 0.0
        else:
            self._stalled_seconds += LOOK_SECONDS
            if self._stalled_seconds == STALLED_SECONDS:
                runner.do(protocol.sending.force_endpoint, flush=True)
        return protocol.coverage.silent_seconds + self._stalled_seconds >= QUIET_SECONDS
