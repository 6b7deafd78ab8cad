"""What one page is told: what has changed since it was told last.

A page that lags is told less often, and then where things stand: nothing waits for it.
"""

from __future__ import annotations

from typing import Any

from .calls import Calls
from .outages import Outages
from .session import Session


class Page:
    """What a page knows of `calls` and `outages`."""

    def __init__(self, calls: Calls, outages: Outages) -> None:
        self.reads: int | None = None
        """The session whose messages it wants as well."""
        self._calls = calls
        self._outages = outages
        self._seen = -1
        self._outages_seen = -1
        self._buckets: dict[int, int] = {}
        self._lines_seen = -1

    def read(self, number: int | None) -> None:
        """It wants to see the messages of this session, from the first on."""
        self.reads, self._lines_seen = number, -1

    def update(self) -> dict[str, Any]:
        """What it is to be told now; empty if that is nothing."""
        calls, told = self._calls, dict[str, Any]()
        seen, self._seen = self._seen, calls.version
        new = [
            self._session(s, seen) for s in calls.sessions.values() if s.version > seen
        ]
        if new:
            told["sessions"] = new
        if gone := [number for number in self._buckets if number not in calls.sessions]:
            told["gone"] = gone
            for number in gone:
                del self._buckets[number]
        if self._outages.version > self._outages_seen:
            self._outages_seen = self._outages.version
            told["outages"] = self._outages.told(calls.now())
        if lines := self._lines():
            told["messages"] = lines
        if told:
            told["now"] = calls.now()
        return told

    def _session(self, session: Session, seen: int) -> dict[str, Any]:
        told: dict[str, Any] = {"n": session.number, "ms": session.audio_ms}
        if session.lead_ms is not None:
            told["lead"] = session.lead_ms
        if session.facts_version > seen:
            told["facts"] = {
                "lane": session.lane,
                "offset": session.offset_ms,
                "id": session.id,
                "options": session.options,
                "rate": session.rate,
                "began": session.began,
                "end": session.end,
                "how": session.how,
            }
        first, wave = session.wave.since(self._buckets.get(session.number, 0))
        self._buckets[session.number] = session.wave.count
        if wave:
            told["wave"] = [first, wave]
        if session.turns_version > seen:
            told["turns"] = [
                {
                    "order": turn.order,
                    "final": turn.final,
                    "text": turn.text,
                    "words": self._calls.words(session, turn),
                    "all": len(turn.words),
                }
                for turn in session.turns.values()
                if turn.version > seen
            ]
        marks = []
        for mark in reversed(session.marks):
            if mark.version <= seen:
                break
            marks.append([mark.kind, mark.at_ms, mark.until_ms, mark.text])
        if marks:
            told["marks"] = marks[::-1]
        return told

    def _lines(self) -> dict[str, Any] | None:
        session = self._calls.sessions.get(self.reads) if self.reads else None
        if session is None:
            return None
        new = [line for line in session.lines if line.version > self._lines_seen]
        if not new:
            return None
        first = self._lines_seen < 0
        self._lines_seen = max(line.version for line in new)
        items = [
            [line.seconds - session.began, line.way, line.text, line.count, line.key]
            for line in new
        ]
        return {"n": session.number, "first": first, "items": items}
