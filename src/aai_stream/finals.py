"""Sees to it that each of a session's turns comes to its end, or is told as lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .messages import AudioLost, Event, Turn
from .turns import TurnOrder

Timer = asyncio.TimerHandle | None

MISSING_SECONDS = 1.0
"""How long later turns wait for a final that is missing."""

UNFORMATTED_SECONDS = 2.0
"""How long a turn that has ended waits for its formatted version, unless the next one
is formatted before."""


class Finals:
    """Turns in their order, until their session ends; see `TurnOrder`.

    What may be told goes to `tell`. `lose` is called to have another session hear a
    turn that this one did not end.

    Attributes:
        insists: that is wanted; otherwise such a turn is told as lost.
        was_unfinished: it has happened.
    """

    def __init__(
        self,
        sample_rate: int,
        tell: Callable[[Event], None],
        lose: Callable[[], None],
    ) -> None:
        self.insists = False
        self.was_unfinished = False
        self._sample_rate = sample_rate
        self._tell = tell
        self._lose = lose
        self._turns = TurnOrder()
        self._missing: Timer = None
        self._unformatted: Timer = None

    @property
    def is_idle(self) -> bool:
        """Whether no turn has more to be told."""
        return self._turns.is_idle

    def take(self, turn: Turn) -> None:
        """A turn came: tell what may be told now."""
        for ready in self._turns.take(turn):
            self._tell(ready)
        if turn.end_of_turn and not turn.is_final:
            self._unformatted = _stopped(self._unformatted)  # it has its time, too
        self._wait()

    def finish(self) -> bool:
        """The server has ended the session: wait for nothing more. Returns False if
        another one shall hear what is missing."""
        self._settle()
        return not (self._turns.has_open and self._miss(everything=True))

    def stop(self) -> None:
        """The session is over: tell nothing by itself any more."""
        self._missing = _stopped(self._missing)
        self._unformatted = _stopped(self._unformatted)

    def _wait(self) -> None:
        turns = self._turns
        self._missing = _while(
            turns.is_stuck, self._missing, MISSING_SECONDS, self._miss
        )
        self._unformatted = _while(
            turns.has_raw, self._unformatted, UNFORMATTED_SECONDS, self._settle
        )

    def _settle(self) -> None:
        self._unformatted = _stopped(self._unformatted)
        for turn in self._turns.settle():
            self._tell(turn)
        self._wait()

    def _miss(self, *, everything: bool = False) -> bool:
        """Lose the session for turns that were not ended, and return True; or tell
        that they are lost, and what had to wait for them."""
        self._missing = _stopped(self._missing)
        if self.insists:
            self.was_unfinished = True
            self._lose()
            return True
        spans, turns = self._turns.give_up(everything=everything)
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


def _while(
    condition: bool, timer: Timer, seconds: float, callback: Callable[[], object]
) -> Timer:
    """The timer that calls back after so long, unless `condition` ends before."""
    if not condition:
        return _stopped(timer)
    return timer or asyncio.get_running_loop().call_later(seconds, callback)


def _stopped(timer: Timer) -> Timer:
    if timer is not None:
        timer.cancel()
    return None
