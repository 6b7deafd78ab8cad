"""How far a session has surely heard what it was sent, and had time to say what."""

from __future__ import annotations

from collections import deque

SETTLED_SECONDS = 5.0
"""The server, since heard from, has had this long to say that somebody speaks."""

KEPT_SECONDS = 2.0
"""This much before what has settled is kept in any case."""

AHEAD_SECONDS = 1.0
"""What is sent is no further ahead of real time than this, to be heard by then: audio
that had to wait is worked through no faster than it was spoken, for all we know."""


class Hearing:
    """Remembers when the present session was sent what, by the second of audio."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        # When, and how far sent; the ring keeps no more than ten minutes.
        self._marks: deque[tuple[float, int]] = deque(maxlen=600)
        self._settled = 0
        self._begun: tuple[float, int] | None = None  # when, and with which sample

    def restart(self) -> None:
        """Another session begins: nothing has settled."""
        self._marks.clear()
        self._settled = 0
        self._begun = None

    def sent(self, start: int, end: int, now: float) -> bool:
        """Audio from `start` to `end` is sent; returns whether it is time to ask."""
        marks = self._marks
        if self._begun is None:
            self._begun = now, start
        if marks and end - marks[-1][1] < self._rate:
            return False
        marks.append((now, end))
        return True

    def heard_until(self, heard_at: float) -> int:
        """How far the server, last heard from at `heard_at`, has surely heard, and had
        time to say what. A dead one says nothing of what it was sent since."""
        before = heard_at - SETTLED_SECONDS
        while self._marks and self._marks[0][0] <= before:
            settled = self._marks.popleft()[1] - int(KEPT_SECONDS * self._rate)
            self._settled = max(self._settled, settled)
        if self._begun is None:
            return 0
        begun_at, start = self._begun
        live = before - begun_at + AHEAD_SECONDS - KEPT_SECONDS
        return max(0, min(self._settled, start + int(live * self._rate)))
