"""What a client owes its account, seen from the service's side while a call goes on.

A loss is nobody's fault only if the client did what it could. So it has to ask for a
session soon when it has none, to send what waits as fast as it may, to begin where the
last final ended, and not to be in others' way.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from tests.simulation.speech import RATE

if TYPE_CHECKING:
    from tests.simulation.account import Account
    from tests.simulation.session import Session

MOST_ATTEMPTS = 40
"""To connect, within a minute."""

LONGEST_WAIT = 14.0
"""For the next attempt: ten seconds of backoff, and what the service asked for."""

LONGEST_BUSY_WAIT = 34.0
"""The same where the account has too many sessions."""

IDLE_SECONDS = 0.35
"""Audio that waits is sent so much later, at most, than chunk by chunk in real time."""

EARLY_SAMPLES = RATE // 4
"""A final may end so much earlier than its last word."""


class Duties:
    """Complains to `account` of what a client leaves undone, or does too often."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._attempts: deque[float] = deque()
        self._refused_at = 0.0
        self._is_busy = False
        self._told_until = 0  # by finals, in samples of the call
        self._look_at = 0.0

    # ---- connecting ----

    def attempted(self, now: float) -> None:
        """Whoever is refused waits longer each time, and whoever lost a session wants
        another before long."""
        account = self._account
        self._attempts.append(now)
        while self._attempts[0] <= now - 60:
            self._attempts.popleft()
        if len(self._attempts) > MOST_ATTEMPTS:
            account.complain(f"{len(self._attempts)} attempts within a minute")
        is_alone = account.terms.forbidden_model and not account.weather.short_life
        if is_alone and len(account.sessions) > 5:
            account.complain("sessions are asked for that will not be had")
        latest = account.links[-3:]
        is_in_line = not account.is_alone or account.terms.per_minute < math.inf
        is_ending = now >= account.ends_at
        if is_in_line or is_ending or any(link.over_at is None for link in latest):
            return
        since = max([self._refused_at, *(link.over_at or 0.0 for link in latest)])
        most = LONGEST_BUSY_WAIT if self._is_busy else LONGEST_WAIT
        if now - since > most:
            account.complain(f"no session was asked for in {now - since:.1f} s")

    def refused(self, now: float, *, is_busy: bool) -> None:
        """An attempt came to nothing; `is_busy`: since there are too many sessions."""
        self._refused_at = now
        self._is_busy = is_busy

    # ---- audio ----

    def pushed(self, now: float, sample: int) -> None:
        """The caller has pushed audio up to `sample`: what waits is on its way."""
        if now < self._look_at:
            return
        self._look_at = now + 1
        account = self._account
        living = [s for s in account.sessions[-3:] if s.may_hear]
        hearing = [s for s in living if s.received] or living
        if len(hearing) != 1:
            return
        session = hearing[0]
        if session.expected is None:
            return
        chunk = round(account.terms.chunk_seconds * RATE)
        waits = session.expected + chunk, sample - 2 * chunk
        idle = now - max(session.link.sent_at, session.link.room_since)
        if idle > account.terms.chunk_seconds + IDLE_SECONDS and (
            account.script.sounds(*waits)
        ):
            account.complain(f"nothing is sent for {idle:.2f} s, but audio waits")

    # ---- turns ----

    def told_final(self, words: tuple[int, ...]) -> None:
        """The client was told a final of these words."""
        if words:
            end = self._account.script.words[words[-1]].end
            self._told_until = max(self._told_until, end - EARLY_SAMPLES)

    def begins(self, session: Session, sample: int) -> None:
        """A session is sent audio from `sample` on."""
        account = self._account
        is_sure = account.weather.keeps_turns and not session.formats
        if is_sure and sample < self._told_until:
            late = (self._told_until - sample) / RATE
            account.complain(f"session {session.number} hears {late:.2f} s again")
