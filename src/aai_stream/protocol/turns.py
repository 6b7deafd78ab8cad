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

MOST_SECONDS = 75.0
"""No turn is longer: some of 60 s have been seen."""

MOVED_MS = 1100
"""The words of a turn that is still open may be so far from where they turn out to be;
1008 ms were seen."""

MOST_OPEN = 64
"""Turns that are remembered as open, and as final; more are a server's nonsense."""

SLACK_MS = 250
"""The formatted version of a turn may end so much later than the first one."""


class _Begun(msgspec.Struct, gc=False):
    """A turn of which more is to be told, with words from `start` to `end`, in ms.

    `ending` has come if the turn is not open any more. Until `settle_at` it waits to be
    formatted; once it is final, for earlier turns alone. `told_at`: if it is open, when
    it was first told of.
    """

    start: int
    end: int
    ending: Turn | None = None
    settle_at: float = math.inf
    told_at: float = math.inf

    @property
    def is_open(self) -> bool:
        return self.ending is None

    @property
    def is_held(self) -> bool:
        return self.ending is not None and self.ending.is_final


class _Told(msgspec.Struct, gc=False):
    """A final as it was told last; times in ms."""

    start: int
    end: int
    transcript: str
    is_formatted: bool


class Turns:
    """Passes a session's turns on, and keeps back what came twice or too early.

    The protocol promises turns in their order, each final once. A server that fails
    may break that, and so may whatever lies between. Methods that take `now`, in
    seconds, return what is to be told.

    Attributes:
        insists: another session shall hear a turn that this one did not end; otherwise
            such a turn is told as lost.
        left_unended: that has happened.
        formats: each turn that has ended is told again, formatted.
        deadline: when `check` is due; infinite if nothing is waited for.
    """

    def __init__(self) -> None:
        self.insists = False
        self.left_unended = False
        self.formats = False
        self.deadline = math.inf
        self._begun: dict[int, _Begun] = {}  # by `turn_order`
        self._told: dict[int, _Told] = {}  # likewise; the last ones
        self._speech_started = False  # of which no turn has been told
        self._missing_at = math.inf  # wait no longer for a final that is missing

    @property
    def is_idle(self) -> bool:
        """Whether no turn has more to be told, and no speech was said to have
        started."""
        return not self._begun and not self._speech_started

    @property
    def unfinished(self) -> tuple[int, int] | None:
        """From where to where, in ms, there are words of turns that have more to be
        told; None if there are none."""
        turns = [turn for turn in self._begun.values() if turn.end]
        if not turns:
            return None
        return min(turn.start for turn in turns), max(turn.end for turn in turns)

    def speech_started(self) -> None:
        """The server said that a turn begins."""
        self._speech_started = True

    def take(self, turn: Turn, now: float) -> list[Turn]:
        """A turn came."""
        self._speech_started = False
        order = turn.turn_order
        start, end = _span(turn)
        begun = self._begun.get(order)
        if (begun is not None and begun.is_held) or self._is_stale(turn, end):
            return []
        if begun is not None and not turn.end_of_turn:
            if turn.words:
                begun.start, begun.end = start, end
            return [turn]
        told = self._make_room() if begun is None else []
        if turn.is_final:
            self._begun[order] = _Begun(start, end, turn)
            told += self._settle(order - 1)
        elif turn.end_of_turn:
            self.formats = True
            at = now + UNFORMATTED_SECONDS
            if begun is not None:
                at = min(at, begun.settle_at)
            # A copy: what is told is its receiver's, to number and to change.
            self._begun[order] = _Begun(start, end, copy_of(turn), at)
            told.append(turn)
        else:
            if turn.words:
                self._begun[order] = _Begun(start, end, told_at=now)
            told.append(turn)
        self._set_deadline(now)
        return told

    def check(self, now: float, sent_ms: int) -> list[Turn | LostTurn]:
        """Wait no longer for what is due. `sent_ms`: so much of the stream was sent."""
        told: list[Turn | LostTurn] = []
        due = [order for order, turn in self._begun.items() if turn.settle_at <= now]
        if due:
            told += self._settle(max(due))
        if self._missing_at <= now:
            told += self._give_up(self._overtaken(), sent_ms)
        self._set_deadline(now)
        return told

    def finish(
        self, now: float, sent_ms: int, before_ms: float = math.inf
    ) -> list[Turn | LostTurn]:
        """Nothing more will come of what was begun: wait for it no longer. With
        `before_ms`, only of turns that are open, and began before that as well as
        `MOST_SECONDS` ago: between their words, audio may have been left out."""
        is_all, told_by = before_ms == math.inf, now - MOST_SECONDS
        missing = [
            order
            for order, turn in self._begun.items()
            if turn.is_open
            and (is_all or (turn.start < before_ms and turn.told_at < told_by))
        ]
        told: list[Turn | LostTurn] = []
        if is_all:
            self._speech_started = False
            told += self._settle()
        if missing:
            told += self._give_up(missing, sent_ms)
        self._set_deadline(now)
        return told

    def _set_deadline(self, now: float) -> None:
        if not self._begun:  # as behind most finals
            self.deadline = self._missing_at = math.inf
            return
        if not self._overtaken():
            self._missing_at = math.inf
        elif self._missing_at == math.inf:
            self._missing_at = now + MISSING_SECONDS
        settle_at = [turn.settle_at for turn in self._begun.values()]
        self.deadline = min(self._missing_at, *settle_at)

    def _overtaken(self) -> list[int]:
        """The turns that are open though a later one is final."""
        begun = self._begun
        last = max((o for o, turn in begun.items() if turn.is_held), default=-math.inf)
        return [o for o, turn in begun.items() if turn.is_open and o < last]

    def _settle(self, last: float = math.inf) -> list[Turn]:
        """Wait no longer for turns up to `last` to be formatted: these are final as
        they are. Returns the finals that need not wait for earlier turns."""
        for order, turn in self._begun.items():
            raw = turn.ending
            if raw is not None and not raw.is_final and order <= last:
                raw.is_final = True
                raw.utterance = None  # that was told
                self._begun[order] = _Begun(*_span(raw), raw)
        told = []
        for order in sorted(self._begun):
            turn = self._begun[order]
            final = turn.ending
            if final is None or not final.is_final:
                break
            del self._begun[order]
            self._told[order] = _Told(
                turn.start, turn.end, final.transcript, final.turn_is_formatted
            )
            told.append(final)
        while len(self._told) > MOST_OPEN:
            del self._told[next(iter(self._told))]
        return told

    def _make_room(self) -> list[Turn]:
        """Another turn begins: of too many, wait for the oldest no longer."""
        if len(self._begun) < MOST_OPEN:
            return []
        told = self._settle()
        missing = [order for order, turn in self._begun.items() if turn.is_open]
        if len(missing) >= MOST_OPEN:
            del self._begun[min(missing)]
        return told

    def _give_up(self, missing: list[int], sent_ms: int) -> list[Turn | LostTurn]:
        """Leave turns that were not ended to another session, or tell them as lost,
        with those that were held for them."""
        self._missing_at = math.inf
        if self.insists:
            self.left_unended = True
            return []
        gone = [(order, self._begun.pop(order)) for order in sorted(missing)]
        lost: list[LostTurn] = []
        for order, turn in gone:
            start, end = self._surroundings(order, sent_ms)
            words = (turn.start, turn.end) if turn.end else None
            if lost and start < lost[-1].end:  # neighbours: nothing tells them apart
                before = lost.pop()
                start, words = before.start, together(before.words, words)
            lost.append(LostTurn(start, end, words))
        return [*lost, *self._settle(-math.inf)]

    def _surroundings(self, order: int, sent_ms: int) -> tuple[int, int]:
        """Where the words of a turn may be: behind the turn before it, before the next
        one. They are not all told in partials, and move."""
        before, after = [0], []
        others: list[tuple[int, _Told | _Begun]]
        others = [*self._told.items(), *self._begun.items()]
        for other, turn in others:
            moved = MOVED_MS if isinstance(turn, _Begun) and turn.is_open else 0
            if other < order:
                before.append(turn.end - moved)
            elif other > order and turn.end:
                after.append(turn.start + moved)
        start = max(before)
        return start, max(start, min(after, default=sent_ms))

    def _is_stale(self, turn: Turn, end: int) -> bool:
        """Whether `turn` says nothing that its own final hasn't said already."""
        final = self._told.get(turn.turn_order)
        if final is None:
            return False
        if turn.turn_is_formatted and not final.is_formatted and self.formats:
            # Too late: it was final as it was, unless this has what was said since.
            since = self._begun.get(turn.turn_order)
            if since is not None:
                return end + SLACK_MS < since.end
            return end <= final.end + SLACK_MS
        if end > final.end:
            return False
        if turn.end_of_turn:
            is_raw = final.is_formatted and not turn.turn_is_formatted
            return is_raw or turn.transcript == final.transcript
        return bool(turn.words)


def _span(turn: Turn) -> tuple[int, int]:
    """From where to where a turn has words; both 0 if it has none."""
    if not turn.words:
        return 0, 0
    return turn.words[0].start, turn.words[-1].end


def together(
    one: tuple[int, int] | None, other: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The span that contains both, as far as there are two."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])
