"""How long things took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..recorder.format import Decided, Entries, Sent
from .clock import Clock, Instant
from .decisions import Resumed, read_decision
from .sessions import Session
from .turns import TurnShown


@dataclass(frozen=True)
class Spread:
    """Of `count` lengths, in seconds."""

    count: int
    median: float
    p95: float
    most: float


@dataclass(frozen=True)
class Latencies:
    """What took how long; None where it never happened.

    Attributes:
        final: from a turn's last word, pushed to its end, to the final turn.
        sent: from a chunk's push to when it was sent first. What is sent again isn't
            in it.
        connect: from asking for a session to its websocket.
        begin: from asking for a session to its Begin.
        behind: the most audio that waited to be sent, in seconds.
        behind_at: when that was.
    """

    final: Spread | None
    sent: Spread | None
    connect: Spread | None
    begin: Spread | None
    behind: float
    behind_at: Instant | None

    def named(self) -> list[tuple[str, Spread | None]]:
        """Those that have a spread, with what they are."""
        return [
            ("end of a turn's last word → final turn", self.final),
            ("chunk pushed → sent", self.sent),
            ("session asked for → websocket", self.connect),
            ("session asked for → Begin", self.begin),
        ]


def spread(values: Sequence[float]) -> Spread | None:
    """Of `values`; None if there are none."""
    if not values:
        return None
    median, p95 = np.percentile(values, [50, 95])
    return Spread(len(values), float(median), float(p95), max(values))


def latencies(
    entries: Iterable[Entries],
    clock: Clock,
    sessions: Iterable[Session],
    turns: Iterable[TurnShown],
) -> Latencies:
    """Of a call."""
    sending = _Sending(clock)
    for entry in entries:
        sending.take(entry)
    connects, begins = [], []
    for session in sessions:
        asked = session.asked_at.unix
        if session.connected_at is not None:
            connects.append(session.connected_at.unix - asked)
        if session.began_at is not None:
            begins.append(session.began_at.unix - asked)
    return Latencies(
        final=spread([turn.latency for turn in turns if turn.latency is not None]),
        sent=spread(sending.delays),
        connect=spread(connects),
        begin=spread(begins),
        behind=sending.behind / clock.rate,
        behind_at=sending.behind_at,
    )


class _Sending:
    """Follows what is sent.

    Attributes:
        delays: of each chunk that was new, in seconds.
        behind: the most samples that waited.
        behind_at: when.
    """

    def __init__(self, clock: Clock) -> None:
        self.delays: list[float] = []
        self.behind = 0
        self.behind_at: Instant | None = None
        self._clock = clock
        self._furthest = 0

    def take(self, entry: Entries) -> None:
        if isinstance(entry, Sent):
            for start, samples, _, us in entry.chunks:
                self._chunk(start, start + samples, entry.unix + us / 1e6)
        elif isinstance(entry, Decided):
            decision = read_decision(entry)
            if isinstance(decision, Resumed):
                self._waits(decision.sample, entry.unix)

    def _chunk(self, start: int, end: int, unix: float) -> None:
        if end > max(start, self._furthest):
            pushed = self._clock.pushed_at(end)
            if pushed is not None:
                self.delays.append(unix - pushed)
            self._furthest = end
        self._waits(end, unix)

    def _waits(self, cursor: int, unix: float) -> None:
        """From `cursor` on, audio isn't sent yet."""
        behind = self._clock.pushed_by(unix) - cursor
        if behind > self.behind:
            self.behind, self.behind_at = behind, self._clock.at(unix)
