"""One session's turns: each in its order, each final once, none waited for in vain."""

from __future__ import annotations

import math

import msgspec

from ..messages import Turn, copy_of
from .events import LostTurn

MISSING_SECONDS = 1.0
"""How long later turns wait for a final that is missing."""

UNFORMATTED_SECONDS = 2.0
"""How long a turn that has ended waits for its formatted version, unless the next one
is formatted before."""

MOVED_MS = 1100
"""The words of a turn that is still open may be so far from where they turn out to be;
1008 ms were seen."""

MOST_OPEN = 64
"""Turns that are remembered as open; more are a server's nonsense."""

SLACK_MS = 250
"""The formatted version of a turn may end so much later than the first one."""


class _Told(msgspec.Struct, gc=False):
    """A turn as it was told last; times in ms."""

    start: int
    end: int
    transcript: str
    is_formatted: bool


class Turns:
    """Passes a session's turns on as they may be told, until the session ends.

    Order is `TurnOrder`'s matter; this adds how long to wait. Methods that take `now`,
    in seconds, return what is to be told.

    Attributes:
        insists: another session shall hear a turn that this one did not end; otherwise
            such a turn is told as lost.
        left_unended: that has happened.
    """

    def __init__(self) -> None:
        self.insists = False
        self.left_unended = False
        self.order = TurnOrder()
        self._speech_started = False  # of which no turn has been told
        self._missing_at = math.inf  # wait no longer for a final that is missing
        self._unformatted_at: dict[int, float] = {}  # likewise, formatted; by turn

    @property
    def is_idle(self) -> bool:
        """Whether no turn has more to be told, and no speech was said to have
        started."""
        return self.order.is_idle and not self._speech_started

    def speech_started(self) -> None:
        """The server said that a turn begins."""
        self._speech_started = True

    def take(self, turn: Turn, now: float) -> list[Turn]:
        """A turn came."""
        self._speech_started = False
        told = self.order.take(turn)
        if turn.end_of_turn:
            if not self.order.awaits_formatted(turn.turn_order):
                self._unformatted_at.pop(turn.turn_order, None)
            else:
                at = now + UNFORMATTED_SECONDS
                self._unformatted_at.setdefault(turn.turn_order, at)
        self._wait(now)
        return told

    @property
    def deadline(self) -> float:
        """When `check` is due; infinite if nothing is waited for."""
        if not self._unformatted_at:
            return self._missing_at
        return min(self._missing_at, *self._unformatted_at.values())

    def check(self, now: float, sent_ms: int) -> list[Turn | LostTurn]:
        """Wait no longer for what is due. `sent_ms`: so much of the stream was sent."""
        told: list[Turn | LostTurn] = []
        due = [order for order, at in self._unformatted_at.items() if at <= now]
        for order in due:
            del self._unformatted_at[order]
            told += self.order.settle(order)
        self._wait(now)
        if self._missing_at <= now:
            told += self._miss(now, sent_ms, everything=False)
        return told

    def finish(self, now: float, sent_ms: int) -> list[Turn | LostTurn]:
        """Nothing more will come of what was begun: wait for it no longer."""
        self._speech_started = False
        self._unformatted_at.clear()
        told: list[Turn | LostTurn] = [*self.order.settle()]
        if self.order.has_open:
            told += self._miss(now, sent_ms, everything=True)
        self._wait(now)
        return told

    def _wait(self, now: float) -> None:
        """Later turns wait for a final that is missing, but not for ever."""
        if not self.order.is_stuck:
            self._missing_at = math.inf
        elif self._missing_at == math.inf:
            self._missing_at = now + MISSING_SECONDS

    def _miss(
        self, now: float, sent_ms: int, *, everything: bool
    ) -> list[Turn | LostTurn]:
        """Leave turns that were not ended to another session, or give them up."""
        self._missing_at = math.inf
        if self.insists:
            self.left_unended = True
            return []
        lost, turns = self.order.give_up(sent_ms, everything=everything)
        self._wait(now)
        return [*lost, *turns]


class TurnOrder:
    """Passes turns on, and keeps back what came twice or too early.

    The protocol promises turns in their order, each final once. A server that fails
    may break that, and so may whatever lies between.

    Attributes:
        formats: each turn that has ended is told again, formatted.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Told] = {}  # not final yet
        self._ended: dict[int, _Told] = {}
        self._held: dict[int, Turn] = {}  # finals, while an earlier turn is open
        self._raw: dict[int, Turn] = {}  # ended, and yet to be told formatted
        self.formats = False

    @property
    def is_idle(self) -> bool:
        """Whether no turn has more to be told."""
        return not self._open and not self._held and not self._raw

    @property
    def has_open(self) -> bool:
        """Whether a turn was told that has not ended."""
        return bool(self._open)

    @property
    def unfinished(self) -> tuple[int, int] | None:
        """From where to where, in ms, there are words of turns that have more to be
        told; None if there are none."""
        waiting = [*self._held.values(), *self._raw.values()]
        spans = [*self._open.values(), *(_told(turn) for turn in waiting)]
        spans = [told for told in spans if told.end]
        if not spans:
            return None
        return min(told.start for told in spans), max(told.end for told in spans)

    @property
    def is_stuck(self) -> bool:
        """Whether a final came, but an earlier turn has not even ended."""
        if not self._held or not self._open:
            return False
        return min(self._open) < max(self._held)

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
        if not turn.end_of_turn:
            return [turn]
        self.formats = True
        ready = self.settle() if len(self._raw) >= MOST_OPEN else []
        # A copy: what is told is its receiver's, to number and to change.
        self._raw[turn.turn_order] = copy_of(turn)
        return [*ready, turn]

    def awaits_formatted(self, order: int) -> bool:
        """Whether that turn has ended, but was not told formatted."""
        return order in self._raw

    def settle(self, last: float = math.inf) -> list[Turn]:
        """Wait no longer for turns up to `last` to be formatted; these are final as
        they are."""
        self._hold_raw(before=last + 1)
        return self._release()

    def give_up(
        self, sent_ms: int, *, everything: bool
    ) -> tuple[list[LostTurn], list[Turn]]:
        """Wait no longer for finals that are missing: of `everything` that is open, or
        of what others wait for.

        Returns those turns, of the `sent_ms` that there are, and the turns that were
        held for them.
        """
        last = max(self._held, default=0)
        missing = [o for o in sorted(self._open) if everything or o < last]
        told = [(order, self._open.pop(order)) for order in missing]
        lost: list[LostTurn] = []
        for order, turn in told:
            start, end = self._surroundings(order, sent_ms)
            words = (turn.start, turn.end) if turn.end else None
            if lost and start < lost[-1].end:  # neighbours: nothing tells them apart
                before = lost.pop()
                start = before.start
                words = together(before.words, words)
            lost.append(LostTurn(start, end, words))
        return lost, self._release()

    def _surroundings(self, order: int, sent_ms: int) -> tuple[int, int]:
        """Where the words of a turn may be: behind the turn before it, before the next
        one. They are not all told in partials, and move."""
        finals = self._ended | {o: _told(turn) for o, turn in self._held.items()}
        before = [turn.end for o, turn in finals.items() if o < order]
        after = [turn.start for o, turn in finals.items() if o > order and turn.end]
        for other, turn in self._open.items():  # may yet move
            if other < order:
                before.append(turn.end - MOVED_MS)
            elif turn.end:
                after.append(turn.start + MOVED_MS)
        start = max(before, default=0)
        return start, max(start, min(after, default=sent_ms))

    def _hold_raw(self, before: float) -> None:
        for order in [order for order in self._raw if order < before]:
            raw = self._raw.pop(order)
            raw.is_final = True
            raw.utterance = None  # that was told
            self._held[order] = raw
            self._open.pop(order, None)

    def _release(self) -> list[Turn]:
        turns = []
        unfinished = min((*self._open, *self._raw), default=math.inf)
        for order in sorted(self._held):
            if unfinished < order:
                break
            turn = self._held.pop(order)
            self._ended[order] = _told(turn)
            turns.append(turn)
        while len(self._ended) > MOST_OPEN:
            del self._ended[min(self._ended)]
        return turns

    def _is_stale(self, turn: Turn, told: _Told) -> bool:
        """Whether `turn` says nothing that its own final hasn't said already."""
        ended = self._ended.get(turn.turn_order)
        if ended is None:
            return False
        if told.is_formatted and not ended.is_formatted and self.formats:
            # Too late: it was final as it was, unless this has what was said since.
            since = self._open.get(turn.turn_order)
            if (raw := self._raw.get(turn.turn_order)) is not None:
                since = _told(raw)
            if since is not None:
                return told.end + SLACK_MS < since.end
            return told.end <= ended.end + SLACK_MS
        if told.end > ended.end:
            return False
        if turn.end_of_turn:
            is_raw = ended.is_formatted and not told.is_formatted
            return is_raw or told.transcript == ended.transcript
        return bool(turn.words)


def _told(turn: Turn) -> _Told:
    start, end = 0, 0
    if turn.words:
        start, end = turn.words[0].start, turn.words[-1].end
    return _Told(start, end, turn.transcript, turn.turn_is_formatted)


def together(
    one: tuple[int, int] | None, other: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The span that contains both, as far as there are two."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])
