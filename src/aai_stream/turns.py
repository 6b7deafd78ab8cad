"""One session's turns: each in its order, each final once."""

from __future__ import annotations

import math

import msgspec

from .messages import Turn

MOST_OPEN = 64
"""Turns that are remembered as open; more are a server's nonsense."""


class _Told(msgspec.Struct, gc=False):
    """A turn as it was told last; times in ms."""

    start: int
    end: int
    transcript: str
    is_formatted: bool
    is_settled: bool = False
    """It is final as it is: another version comes too late."""


class TurnOrder:
    """Passes turns on, and keeps back what came twice or too early.

    The protocol promises turns in their order, each final once. A server that fails
    may break that, and so may whatever lies between.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Told] = {}  # not final yet
        self._ended: dict[int, _Told] = {}
        self._held: dict[int, Turn] = {}  # finals, while an earlier turn is open
        self._raw: dict[int, Turn] = {}  # ended, and yet to be told formatted

    @property
    def is_idle(self) -> bool:
        """Whether no turn has more to be told."""
        return not self._open and not self._held and not self._raw

    @property
    def has_open(self) -> bool:
        """Whether a turn was told that has not ended."""
        return bool(self._open)

    @property
    def is_stuck(self) -> bool:
        """Whether a final came, but an earlier turn's did not."""
        return bool(self._held)

    @property
    def has_raw(self) -> bool:
        """Whether a turn has ended, but was not told formatted."""
        return bool(self._raw)

    def take(self, turn: Turn) -> list[Turn]:
        """What may be told now that `turn` has come."""
        told = _told(turn)
        if turn.turn_order in self._held or self._is_stale(turn, told):
            return []
        if turn.end_of_turn:
            self._open.pop(turn.turn_order, None)
        elif turn.words:
            self._open[turn.turn_order] = told
            while len(self._open) > MOST_OPEN:
                del self._open[min(self._open)]
        if turn.is_final:
            self._raw.pop(turn.turn_order, None)
            self._hold_raw(before=turn.turn_order)
            self._held[turn.turn_order] = turn
            return self._release()
        if turn.end_of_turn:
            self._raw[turn.turn_order] = turn
            while len(self._raw) > MOST_OPEN:
                del self._raw[min(self._raw)]
        return [turn]

    def settle(self) -> list[Turn]:
        """Wait no longer for turns to be formatted; these are final as they are."""
        self._hold_raw(before=math.inf)
        return self._release()

    def give_up(self, *, everything: bool) -> tuple[list[tuple[int, int]], list[Turn]]:
        """Wait no longer for finals that are missing: of `everything` that is open, or
        of what others wait for.

        Returns the (start, end) in ms of what they would have covered, and the turns
        that were held for them.
        """
        last = max(self._held, default=0)
        missing = [o for o in sorted(self._open) if everything or o < last]
        spans = [(self._open[o].start, self._open.pop(o).end) for o in missing]
        return spans, self._release()

    def _hold_raw(self, before: float) -> None:
        for order in [order for order in self._raw if order < before]:
            raw = self._raw.pop(order)
            self._held[order] = msgspec.structs.replace(raw, is_final=True)
            self._ended[order] = _told(raw, is_settled=True)

    def _release(self) -> list[Turn]:
        turns = []
        for order in sorted(self._held):
            if any(unfinished < order for unfinished in self._open):
                break
            turn = self._held.pop(order)
            if order not in self._ended or not self._ended[order].is_settled:
                self._ended[order] = _told(turn)
            turns.append(turn)
        while len(self._ended) > MOST_OPEN:
            del self._ended[min(self._ended)]
        return turns

    def _is_stale(self, turn: Turn, told: _Told) -> bool:
        """Whether `turn` says nothing that its own final hasn't said already."""
        ended = self._ended.get(turn.turn_order)
        if ended is None or told.end > ended.end:
            return False
        if turn.end_of_turn:
            is_raw = ended.is_formatted and not told.is_formatted
            return is_raw or ended.is_settled or told.transcript == ended.transcript
        return bool(turn.words)


def _told(turn: Turn, *, is_settled: bool = False) -> _Told:
    start, end = 0, 0
    if turn.words:
        start, end = turn.words[0].start, turn.words[-1].end
    return _Told(start, end, turn.transcript, turn.turn_is_formatted, is_settled)
