"""What a client owes its account, seen from the service's side while a call goes on.

A loss is nobody's fault only if the client did what it could. So it has to ask for a
session soon when it has none, to send what waits as fast as it may, to begin where the
last final ended, and not to be in others' way.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING

from tests.simulation.speech import RATE

if TYPE_CHECKING:
    from tests.simulation.account import Account
    from tests.simulation.link import Told
    from tests.simulation.session import Session

MOST_ATTEMPTS = 40
"""To connect, within a minute."""

LONGEST_WAIT = 14.0
"""For the next attempt: ten seconds of backoff, and what the service asked for."""

LONGEST_BUSY_WAIT = 34.0
"""The same where the account has too many sessions."""

SETTLED = 12 * RATE
"""Samples of silence that were surely heard for good: those before the last five
seconds, two more, and what comes between two looks."""

ENDED = 20 * RATE
"""Samples of silence, surely heard, in which a turn has ended or never will: ten
seconds, and seven to say so."""

LATE_LOOKS = 3
"""So often, once a second, it may be found overdue: a client looks when it sends, which
it doesn't while its caller is muted."""

PARKED_LATE = 20.0
"""Seconds of silence behind those after which there is to be no session: in which turns
come to their end, and what is sent is surely heard."""

SOUND_SAMPLES = RATE // 25
"""So much of a sound is enough to hear it."""

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
        self._busy_since: float | None = None
        self.told_until = 0
        """By finals, in samples of the call."""
        self._told: set[int] = set()  # words of finals
        self._told_at = 0.0
        self._left: Session | None = None  # though it was well
        self._parked: Session | None = None  # the last one left for no other
        self._before: Session | None = None  # heard the stream last
        self._unended: tuple[int, Session] | None = None  # lost a turn up to there
        self._looks = 0  # that found it overdue
        self._spoken_until = 0  # for all that an earlier session could say
        self._open_looks = 0  # that found a session in silence
        self._rests_from: int | None = None  # there is no session from there on
        self._sound_at: float | None = None  # that ended it
        self._may_wait = 0.0  # for the next attempt
        self._pushed = 0
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
        # Three in a row that begin and are cancelled say so.
        is_forbidden = account.terms.forbidden_model
        is_forbidden &= not (account.weather.short_life or account.weather.strict)
        if is_forbidden and sum(s.has_begun for s in account.sessions) >= 3:
            account.complain("sessions are asked for that will not be had")
        latest = account.links[-3:]
        # Or its own last session has yet to leave the only place.
        bounds = account.terms.per_minute, account.terms.places
        is_in_line = not account.is_alone or min(bounds) < math.inf
        is_ending = now >= account.ends_at
        if self._has_rested(now, is_in_line=is_in_line) or is_in_line or is_ending:
            return
        if any(link.over_at is None for link in latest):
            return
        since = max([self._refused_at, *(link.over_at or 0.0 for link in latest)])
        most = LONGEST_BUSY_WAIT if self._is_busy else LONGEST_WAIT
        if now - since > most:
            account.complain(f"no session was asked for in {now - since:.1f} s")

    def _has_rested(self, now: float, *, is_in_line: bool) -> bool:
        """Whether there was no session up to now since nobody spoke."""
        has_rested, sound_at = self._rests_from is not None, self._sound_at
        self._rests_from = self._sound_at = None
        waited = 0.0 if sound_at is None else now - sound_at
        if waited > self._may_wait and not is_in_line:
            self._account.complain(f"a sound waits, since {waited:.2f} s")
        return has_rested

    def refused(self, now: float, *, is_busy: bool) -> None:
        """An attempt came to nothing; `is_busy`: since there are too many sessions."""
        self._refused_at = now
        self._is_busy = is_busy
        if is_busy and self._busy_since is None:
            self._busy_since = now

    def gave_up_place(self, now: float, patience: float) -> None:
        """The stream has failed since there were too many sessions: for so long?"""
        waited = 0.0 if self._busy_since is None else now - self._busy_since
        if waited < patience:
            self._account.complain(f"a place was waited for {waited:.1f} s only")

    # ---- audio ----

    def pushed(self, now: float, sample: int) -> None:
        """The caller has pushed audio up to `sample`: what waits is on its way."""
        self._pushed = sample
        self._listen(now)
        if now < self._look_at:
            return
        self._look_at = now + 1
        self._look(now)
        if self._unended is not None:
            self._check_unended(*self._unended)

    def _listen(self, now: float) -> None:
        """Whoever has no session since nobody speaks wants one at the first sound."""
        if self._rests_from is None or self._sound_at is not None:
            return
        script = self._account.script
        for word in script.words[script.ending_behind(self._rests_from) :]:
            if word.sounds_from + SOUND_SAMPLES > self._pushed:
                return
            if not word.is_soft:
                self._sound_at = now
                return

    def _check_parked(self, session: Session, now: float) -> None:
        """There is no session in a long silence, if that is wanted."""
        account = self._account
        if account.park_after is None or not account.weather.keeps_turns:
            return
        seconds, end = account.park_after + PARKED_LATE, session.expected or 0
        start = session.surely_heard() - round(seconds * RATE)
        since = max(self._told_at, session.began_at)
        is_old = start > session.first_sample and now > since + seconds
        is_live = end > self._pushed - 2 * RATE
        is_due = is_old and is_live and not account.script.is_spoken(start, end)
        self._open_looks = self._open_looks + 1 if is_due else 0
        if self._open_looks > LATE_LOOKS:
            account.complain(f"nobody speaks, but session {session.number} is open")

    def has_room(self) -> None:
        """The network takes audio again."""
        loop = asyncio.get_running_loop()
        seconds = self._account.terms.chunk_seconds + 2 * IDLE_SECONDS
        loop.call_later(seconds, lambda: self._look(loop.time()))

    def _look(self, now: float) -> None:
        account, sample = self._account, self._pushed
        living = [s for s in account.sessions[-3:] if s.may_hear]
        hearing = [s for s in living if s.received] or living
        if len(hearing) != 1:
            return
        session = hearing[0]
        if session.expected is None:
            return
        self._check_parked(session, now)
        chunk = round(account.terms.chunk_seconds * RATE)
        waits = session.expected + chunk, sample - 2 * chunk
        idle = now - max(session.link.sent_at, session.link.room_since)
        if idle > account.terms.chunk_seconds + IDLE_SECONDS and (
            account.script.sounds(*waits)
        ):
            account.complain(f"nothing is sent for {idle:.2f} s, but audio waits")

    # ---- turns ----

    def told_final(self, told: Told, session: Session) -> None:
        """The client was told a final. Of a session that it has left for another it
        hears nothing more, not even what came along with what made it leave."""
        self._told.update(told.words)
        self._told_at = asyncio.get_running_loop().time()
        may_hear = session is not self._left or session is self._parked
        if told.words and may_hear:
            self._busy_since = None
            end = self._account.script.words[told.words[-1]].end
            self.told_until = max(self.told_until, end - EARLY_SAMPLES)

    def turn_lost(self, session: Session, words: tuple[int, ...]) -> None:
        """`session` will not end a turn; where that is seldom, another one can.

        For all that the client knows, the turn goes on in what was sent by now, and in
        what was sent to a session before, which ended in the middle of it.
        """
        if self._account.weather.turns_between and words:
            end = self._account.script.words[words[-1]].end
            end = max(end, session.expected or 0, self._spoken_until)
            self._unended = end, session

    def _check_unended(self, end: int, session: Session) -> None:
        """A silence behind `end` shows that a turn won't be ended."""
        is_silent = not self._account.script.is_spoken(end + 1, session.expected or 0)
        is_due = is_silent and session.surely_heard(ENDED) > end and not session.is_over
        self._looks = self._looks + 1 if is_due else 0
        if self._looks > LATE_LOOKS:
            self._account.complain("a lost turn was not left to another session")
            self._unended = None

    def left_by_choice(self, session: Session) -> None:
        """`session` has been left, though it was well."""
        self._left = session

    def terminated(self, session: Session) -> None:
        """`session` is told to terminate, before the end of the call."""
        account = self._account
        begun = [one for one in account.sessions if one.has_begun]
        if account.park_after is not None and begun and session is begun[-1]:
            self._parked = session
            self._rests_from, self._sound_at = session.expected or self._pushed, None
            self._may_wait = IDLE_SECONDS if session.is_healthy else LONGEST_WAIT

    def is_parted_from(self, session: Session) -> bool:
        """Whether `session` may tell its last turns, though nobody speaks any more."""
        return self._account.park_after is not None and session is self._before

    def begins(self, session: Session, sample: int) -> None:
        """A session is sent audio from `sample` on."""
        account = self._account
        if session.link.terminated_at is None:
            self._rests_from = self._sound_at = None
        is_sure = account.weather.keeps_turns and not session.formats
        if is_sure and sample < self.told_until:
            late = (self.told_until - sample) / RATE
            account.complain(f"session {session.number} hears {late:.2f} s again")
        if self._unended is not None and session is not self._unended[1]:
            self._unended = None
        before, self._before = self._before, session
        if before is not None and before.link.open_turns:
            self._spoken_until = before.expected or 0
        if before is not None and is_sure:
            self._check_silence(before, sample)
        left, self._left = self._left, None
        if left is not None and is_sure:
            self._check_left(left, sample)

    def _check_silence(self, before: Session, sample: int) -> None:
        """Silence that was heard by the session `before` this one isn't heard again.

        What that itself passed over was not heard. How far it had heard was looked at
        when it was sent audio last.
        """
        script, sessions = self._account.script, self._account.sessions
        earlier = [s.expected or 0 for s in sessions if s.number < before.number]
        heard = before.surely_heard(SETTLED, at=before.link.sent_at)
        end = min(heard, sample + 5 * RATE)
        is_again = sample + 5 * RATE <= heard and max(earlier, default=0) <= heard
        if (
            is_again
            and before.first_sample <= sample
            and not before.link.open_turns
            and not (script.is_spoken(sample - RATE // 4, end))
        ):
            self._account.complain(f"silence is heard again from {sample / RATE:.3f} s")

    def _check_left(self, left: Session, sample: int) -> None:
        """Whoever leaves a session, though it was well, knows all that it heard up to
        `sample`, where the next one begins."""
        words = self._account.script.words
        for word in words[self._account.script.ending_behind(left.first_sample) :]:
            if word.end > min(sample, left.expected or 0):
                return
            is_told = word.is_soft or word.number in self._told
            if word.start >= left.first_sample and not is_told:
                name = f"session {left.number}"
                self._account.complain(f"w{word.number} is not told, but {name} left")
                return
