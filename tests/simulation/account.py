"""The service as an account sees it: who may connect, how often, and for how long.

From PROTOCOL.md, "Connecting": refusals come as messages (see `door`), as statuses of
HTTP and as failures of the network. Begin comes late, once 11.4 s, or not at all;
`expires_at` is by the service's clock, which may be hours off.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.simulation.door import Door, Terms
from tests.simulation.duties import Duties
from tests.simulation.link import Link, Owner, Told
from tests.simulation.session import Session
from tests.simulation.speech import RATE, Recording, Script
from tests.simulation.weather import ENDS, Weather

EPOCH = 1_800_000_000.0
"""When calls begin, unix seconds."""


class Refusal(Exception):
    """A handshake failed: with an HTTP status, or with none at all."""

    def __init__(self, status: int | None, retry_after: float | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = retry_after


@dataclass
class Account:
    """The service's side of a call."""

    script: Script
    recording: Recording
    dice: random.Random
    weather: Weather
    calm_from: float
    terms: Terms
    door: Door
    number: int
    """Of the stream, among those of its account."""
    log: list[str]
    problems: list[str]
    sessions: list[Session] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    shown: set[int] = field(default_factory=set)
    """Words that the client was told of, by number."""
    vanished: set[int] = field(default_factory=set)
    """Words of turns that a session has lost without a trace."""
    failed: set[int] = field(default_factory=set)
    """Words of turns that did not come to their end, or not in their time."""
    forced_into: set[int] = field(default_factory=set)
    """Words in the middle of which a turn was to be ended."""
    too_fast_count: int = 0
    billed_seconds: float = 0.0
    """How long there was a session, in all."""
    ends_at: float = math.inf
    """When the caller wanted no more."""
    wanted: dict[str, Any] = field(default_factory=dict)
    wanted_at: float = 0.0
    park_after: float | None = None
    """Seconds of silence in which the client shall have no session."""
    _over_at: float = 0.0  # a session, the last time
    _turns_since: int = 10_000
    _forgot: Session | None = None  # lost a turn, the last time
    _end: str = ""  # of a session by itself, the last time
    _is_stale: bool = True  # the token that was minted last
    is_alone: bool = True
    """There is no other stream on its door."""

    @property
    def host(self) -> str:
        """Where it is reached."""
        return f"{self.number}.simulated.example"

    def __post_init__(self) -> None:
        self.duties = Duties(self)

    @property
    def default_model(self) -> str:
        """Of who asks for none."""
        return self.terms.default_model

    def note(self, what: str) -> None:
        """Remember what has happened."""
        now = asyncio.get_running_loop().time()
        whose = "" if self.is_alone else f"stream {self.number}: "
        self.log.append(f"{now:9.3f}  {whose}{what}")

    def complain(self, what: str) -> None:
        """The client has done what it may not."""
        now = asyncio.get_running_loop().time()
        if len(self.problems) < 20:
            self.problems.append(f"{now:9.3f}  {what}")

    def wall_clock(self) -> float:
        """The service's."""
        return EPOCH + asyncio.get_running_loop().time() + self.terms.skew

    def goes_wrong(self, what: str) -> bool:
        """Whether that shall happen now."""
        chance: float = getattr(self.weather, what)
        if not chance or asyncio.get_running_loop().time() >= self.calm_from:
            return False
        return self.dice.random() < chance

    # ---- connecting ----

    def mint(self) -> str:
        """A token, which may be too old already, but not twice in a row."""
        now = asyncio.get_running_loop().time()
        self._is_stale = now > self.terms.revoked_at or (
            not self._is_stale and self.dice.random() < 0.2
        )
        return self.door.mint(is_stale=self._is_stale)

    async def connect(self, url: str, headers: Mapping[str, str], owner: Owner) -> Link:
        """Accept a websocket. Raises `Refusal`."""
        await asyncio.sleep(self.dial())
        asked = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        return self.accept(asked, owner, has_key="Authorization" in headers)

    def dial(self) -> float:
        """Somebody connects. Returns after how many seconds that is answered."""
        self.duties.attempted(asyncio.get_running_loop().time())
        return self.dice.uniform(0.02, 0.3)

    def accept(self, asked: dict[str, str], owner: Owner, *, has_key: bool) -> Link:
        """Answer. Raises `Refusal`."""
        dice, loop = self.dice, asyncio.get_running_loop()
        if self.sessions and self.goes_wrong("refused"):
            self.note("connection refused")
            status = dice.choice((None, 503, 429))
            self.duties.refused(loop.time(), is_busy=status == 429)
            raise Refusal(status, dice.uniform(0, 3) if status == 429 else None)
        if loop.time() > self.terms.revoked_at and dice.random() < 0.3:
            raise Refusal(dice.choice((401, 403)))
        link = Link(
            owner,
            dice,
            self.complain,
            rate=self.terms.rate,
            chunk_seconds=self.terms.chunk_seconds,
        )
        session = Session(self, link, asked, len(self.sessions) + 1)
        link.server = session
        link.on_told = lambda told: self._told(link, session, told)
        link.on_terminate = lambda: self._terminated(link, session)
        link.on_room = self.duties.has_room
        self.sessions.append(session)
        self.links.append(link)
        loop.call_later(0.013, self._admit, link, session, has_key)
        return link

    def _admit(self, link: Link, session: Session, has_key: bool) -> None:
        dice, loop = self.dice, asyncio.get_running_loop()
        no = self.door.ask(
            session.asked,
            has_key=has_key,
            is_full=self.goes_wrong("too_many"),
            complain=self.complain,
        )
        if no is not None:
            self.note(f"session {session.number}: {no.text}")
            self.duties.refused(loop.time(), is_busy=no.is_busy)
            session.fail(no.code, f"Unauthorized Connection: {no.text}")
            return
        session.has_place = True
        if self.goes_wrong("no_begin"):
            self.note(f"session {session.number}: no Begin")
            return
        begin = dice.uniform(0.3, 1.3)
        if self.goes_wrong("late_begin"):
            begin = dice.uniform(2, 11.4)
        loop.call_later(begin, session.begin, self.terms.longest_session)
        self.note(f"session {session.number}: Begin after {begin:.1f} s")
        if self.terms.forbidden_model:
            loop.call_later(
                begin + 5, session.fail, 3005, "Session Cancelled: An error"
            )
        if self.goes_wrong("stalled"):
            for _ in range(dice.randint(1, 4)):
                when = begin + dice.uniform(1, 60)
                loop.call_later(when, link.stall, dice.uniform(0.5, 7))
        if self.goes_wrong("short_life"):
            when = dice.uniform(0.5, 2) * begin
            if dice.random() < 0.9:
                when = begin + dice.expovariate(1 / self.weather.life)
            # Three 3005 in a row would be taken for a model that is not allowed.
            self._end = dice.choice([end for end in ENDS if end != self._end])
            loop.call_later(when, session.strike, self._end)

    def over(self, session: Session) -> None:
        """A session has ended; its place is free before long."""
        self._over_at = asyncio.get_running_loop().time()
        if session.has_begun:
            self.billed_seconds += self._over_at - session.began_at
        if session.has_place:
            self.door.leave(is_late=self.goes_wrong("too_many"))

    # ---- what sessions tell ----

    def _told(self, link: Link, session: Session, told: Told) -> None:
        is_heard = link.terminated_at is None or link.terminated_at >= self.ends_at
        is_heard |= self.duties.is_parted_from(session)
        if told.is_final:
            number = session.number
            self.note(f"session {number} tells turn {told.order}: {_named(told.words)}")
            if is_heard:
                self.duties.told_final(told, session)
        if is_heard:
            self.shown.update(told.words)

    def hears(self, session: Session, sample: int) -> None:
        """A session is sent its first audio, from `sample` of the call on."""
        self.note(f"session {session.number} hears from {sample / RATE:.3f} s on")
        self.duties.begins(session, sample)

    def forces(self, session: Session, sample: int) -> None:
        """A turn is to end behind the audio up to `sample`."""
        at = sample / RATE
        self.note(f"session {session.number}: ForceEndpoint at {at:.3f} s")
        if (word := self.script.under_way(sample)) is not None:
            self.forced_into.add(word)

    def _terminated(self, link: Link, session: Session) -> None:
        now = asyncio.get_running_loop().time()
        self.note(f"session {session.number} is told to terminate")
        if now < self.ends_at:
            self.duties.terminated(session)
        if now >= self.ends_at or not session.is_healthy:
            self._over_at = now
            return
        self.duties.left_by_choice(session)
        if link.open_turns and self.weather.keeps_turns:
            self.complain(f"session {session.number} is left in the middle of a turn")
        is_early = now < session.connected_at + 11.5 and now > self._over_at + 3
        self._over_at = now
        if not session.has_begun and is_early:
            self.complain(f"session {session.number} is given up before its Begin")

    def loses_turn(
        self, session: Session, words: tuple[int, ...], is_known: bool
    ) -> bool:
        """Whether a turn of these words is lost; see `Recognizer`."""
        if not is_known:
            session.is_healthy = False
            self.vanished.update(words)
            return True
        self._turns_since += 1
        is_cursed = self.weather.curses and any(n % 150 == 77 for n in words)
        if not is_cursed and (
            self._turns_since <= self.weather.turns_between
            or not self.goes_wrong("lost_turn")
        ):
            return False
        self.note(f"session {session.number} loses the turn of {_named(words)}")
        self._turns_since = 0
        if self.weather.turns_between and not self._is_heard_again(session):
            self.duties.turn_lost(session, words)
        else:  # or else they come when heard again
            self.failed.update(words)
        self._forgot = session
        session.is_healthy = False
        return True

    def _is_heard_again(self, session: Session) -> bool:
        """Whether `session` tells what another one was sent that has lost a turn: what
        it loses there is left to no third one."""
        before = self._forgot
        if before is None or before is session or before.expected is None:
            return False
        under_way = round(2 * self.terms.chunk_seconds * RATE)
        return self.duties.told_until <= before.expected + under_way

    def expired(self, session: Session) -> None:
        """A session has lived out its time."""
        self.note(f"session {session.number} expires")
        terms = self.terms
        may_have_another = min(terms.places, terms.per_minute / 10) > 1
        is_usual = self.weather.name == "calm" and not terms.skew and self.is_alone
        last = self.sessions[-1]
        has_another = last is not session and last.has_begun and not last.is_over
        if (
            is_usual
            and may_have_another
            and terms.revoked_at == math.inf
            and terms.has_new_tokens
            and not has_another
        ):
            self.complain(f"session {session.number} was not replaced in time")

    def too_fast(self, session: Session) -> None:
        """A session was sent more than it takes."""
        self.too_fast_count += 1
        self.note(f"session {session.number}: too fast")

    def wants(self, changes: dict[str, Any]) -> None:
        """The caller changes live parameters."""
        self.wanted |= changes
        self.wanted_at = asyncio.get_running_loop().time()

    def check_configuration(self, session: Session, asked: dict[str, Any]) -> None:
        """Whether a session that is sent audio has what the caller wants."""
        now = asyncio.get_running_loop().time()
        if not self.wanted or now < max(self.wanted_at, session.began_at) + 15:
            return
        for name, value in self.wanted.items():
            if str(asked.get(name)) != str(value):
                self.complain(f"session {session.number}: {name} is not {value}")


def _named(words: tuple[int, ...]) -> str:
    return f"w{words[0]} to w{words[-1]}" if words else "no whole word"
