"""Sees to it that each of a session's turns comes to its end, or is told as lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .messages import AudioLost, Event, Turn
from .turns import TurnOrder

MISSING_SECONDS = 1.0
"""How long later turns wait for a final that is missing."""

UNFORMATTED_SECONDS = 2.0
"""How long a turn that has ended waits for its formatted version, unless the next one
is formatted before."""


class Finals:
    """Turns in their order, until their session ends; see `TurnOrder`.

    What may be told goes to `tell`. `lose` is called to have another session hear a
    turn that this one did not end. `sent_ms` says how far the session was sent the
    stream.

    Attributes:
        insists: that is wanted; otherwise such a turn is told as lost.
        was_unfinished: it has happened.
    """

    def __init__(
        self,
        sample_rate: int,
        tell: Callable[[Event], None],
        lose: Callable[[], None],
        sent_ms: Callable[[], int],
    ) -> None:
        self.insists = False
        self.was_unfinished = False
        self._sample_rate = sample_rate
        self._tell = tell
        self._lose = lose
        self._sent_ms = sent_ms
        self._turns = TurnOrder()
        self._speech_started = False  # of which no turn has been told
        self._missing: asyncio.TimerHandle | None = None
        self._unformatted: dict[int, asyncio.TimerHandle] = {}  # by turn

    def expect_formatted(self) -> None:
        """The session tells each turn that has ended again, formatted."""
        self._turns.formats = True

    @property
    def is_idle(self) -> bool:
        """Whether no turn has more to be told, and no speech was said to have
        started."""
        return self._turns.is_idle and not self._speech_started

    @property
    def unfinished(self) -> tuple[int, int] | None:
        """See `TurnOrder`."""
        return self._turns.unfinished

    def speech_started(self) -> None:
        """The server said that a turn begins."""
        self._speech_started = True

    def overdue(self) -> None:
        """What was begun has not ended in a long time: wait for it no longer."""
        self._speech_started = False
        for turn in self._turns.settle():
            self._tell(turn)
        if self._turns.has_open:
            self._miss(everything=True)

    def take(self, turn: Turn) -> None:
        """A turn came: tell what may be told now."""
        self._speech_started = False
        ready = self._turns.take(turn)
        if turn.end_of_turn:
            self._await_formatted(turn.turn_order)
        for one in ready:
            self._tell(one)
        self._wait()

    def finish(self) -> bool:
        """The server has ended the session: wait for nothing more. Returns False if
        another one shall hear what is missing."""
        self.stop()
        for turn in self._turns.settle():
            self._tell(turn)
        return not (self._turns.has_open and self._miss(everything=True))

    def stop(self) -> None:
        """The session is over: tell nothing by itself any more."""
        for timer in (self._missing, *self._unformatted.values()):
            if timer is not None:
                timer.cancel()
        self._missing = None
        self._unformatted.clear()

    def _await_formatted(self, order: int) -> None:
        timer = self._unformatted.get(order)
        if not self._turns.awaits_formatted(order):
            if timer is not None:
                timer.cancel()
                del self._unformatted[order]
        elif timer is None:
            loop = asyncio.get_running_loop()
            self._unformatted[order] = loop.call_later(
                UNFORMATTED_SECONDS, self._settle, order
            )

    def _settle(self, order: int) -> None:
        """Wait no longer for turns up to `order` to be formatted."""
        del self._unformatted[order]
        for turn in self._turns.settle(order):
            self._tell(turn)
        self._wait()

    def _wait(self) -> None:
        """Later turns wait for a final that is missing, but not for ever."""
        if not self._turns.is_stuck:
            if self._missing is not None:
                self._missing.cancel()
                self._missing = None
        elif self._missing is None:
            loop = asyncio.get_running_loop()
            self._missing = loop.call_later(MISSING_SECONDS, self._miss)

    def _miss(self, *, everything: bool = False) -> bool:
        """Lose the session for turns that were not ended, and return True; or tell
        that they are lost, and what had to wait for them."""
        if self._missing is not None:
            self._missing.cancel()
            self._missing = None
        if self.insists:
            self.was_unfinished = True
            self._lose()
            return True
        spans, turns = self._turns.give_up(self._sent_ms(), everything=everything)
        for start_ms, end_ms in spans:
            self._tell(
                AudioLost(
                    start_sample=start_ms * self._sample_rate // 1000,
                    end_sample=end_ms * self._sample_rate // 1000,
                    start_ms=start_ms,
                    end_ms=end_ms,
                    why="the server never ended this turn",
                )
            )
        for turn in turns:
            self._tell(turn)
        self._wait()
        return False
