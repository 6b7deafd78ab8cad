"""Puts the parts together: what to send, what to tell, which session is due when."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from ..errors import (
    DroppedError,
    EndedError,
    ExpiredError,
    SessionError,
    TimedOutError,
    TokenExpiredError,
    TooFastError,
    UnfinishedError,
)
from ..messages import Termination
from ..options import told_model
from .coverage import Coverage
from .events import Level, Note, Outcome, Retry, Tells
from .failures import INACTIVE
from .lineup import Lineup
from .pace import slow_down
from .parking import Parking
from .reports import Reports
from .retry import PROGRESS_SECONDS, Retries
from .sending import Sending
from .session import HEARTBEAT_SECONDS, Session, State
from .settings import Identity, Settings
from .transcript import Transcript

if TYPE_CHECKING:
    from .._core import AudioRing, Chunk
    from ..options import Options
    from .events import Told

END_RETRIES = 10
"""How often a session is replaced, without progress, when no more audio will come."""


class StreamState(Enum):
    """Where a stream is in its life."""

    OPEN = auto()
    """It takes audio."""
    ENDING = auto()
    """It takes no more; what was pushed is to come to its end."""
    ENDED = auto()
    """All is told."""
    FAILED = auto()
    """`failure` says why."""
    CLOSED = auto()
    """Whoever held it wanted no more."""


class StreamProtocol:
    """Decides for one stream: what to send, what to tell, which session is opened when.

    Each session begins at the first sample that no final turn has covered, so what an
    earlier one left open is sent again. Before a session expires its successor takes
    over. While the stream is parked there is none. A session that leaves a turn without
    its end is lost, once: until that has gained something, the next one that does so
    has lost the turn.

    All moments, `now`, are in seconds of one steady clock. After each call, whoever
    runs it tells what is in `told`, sends `Session.texts` and what `next_message`
    gives, closes the connections of sessions that are over, opens `next_session`, and
    calls `check` at `deadline`.

    Attributes:
        state: where the stream is in its life.
        is_over: no session will be opened any more.
        told: messages in stream time, and what else there is to say; oldest first.
        failure: what ended the stream, if it failed.
        options: what the next session asks for.
        ring, coverage, sending, parking, lineup, transcript, retries: its parts.

    Raises `OptionError` where `options` and `settings` are at odds.
    """

    def __init__(
        self,
        ring: AudioRing,
        options: Options,
        settings: Settings,
        retries: Retries,
        credentials: Identity,
    ) -> None:
        self.state = StreamState.OPEN
        self.is_over = False
        self.failure: Exception | None = None
        self.told: deque[Told] = deque()
        self.options = options
        self.ring = ring
        self.retries = retries
        self.coverage = Coverage(ring, self.told)
        self.sending = Sending(
            ring,
            settings.catch_up_rate,
            self.coverage,
            skip_silence=settings.skip_silence,
        )
        self.parking = Parking(
            ring, self.coverage, self.sending.gate, settings, options
        )
        self.lineup = Lineup()
        self._reports = Reports(ring.sample_rate, self.told)
        self.transcript = Transcript(self.coverage, self.sending, self.told)
        self._settings = settings
        self._credentials = credentials
        self._stalled_at = math.inf  # a stream that ends is lost if nothing is sent
        self._token_renewed = False  # since the last other answer
        self._unfinished = 0  # sessions in a row that did not end when asked
        self._insists_beyond = 0  # finals must reach so far to insist on ends again

    @property
    def session(self) -> Session | None:
        """The session that hears the stream, or did so last."""
        return self.lineup.present

    # ---- audio and control ----

    def wrote(self, now: float) -> None:
        """Audio was written that the gate has not sent."""
        self.coverage.gaps.look()
        if not self.parking.is_on:
            return
        if not self.parking.is_silent(is_last_told=not self.lineup.is_open):
            self._wake(now)

    def next_message(self, now: float, has_room: bool) -> Chunk | bytes | None:
        """What the present session is sent next: audio, or a ForceEndpoint in its
        place. It counts as sent. `has_room`: the socket takes more audio."""
        message = self.sending.next(now, has_room)
        if message is None and self._reports.is_behind and not self.sending.has_backlog:
            session = self.lineup.listening
            if session is not None:
                self._reports.caught_up(session, now)
        if self.state is StreamState.ENDING:
            return self._next_at_end(message, now)
        return message

    def _next_at_end(
        self, message: Chunk | bytes | None, now: float
    ) -> Chunk | bytes | None:
        """Behind the last full chunk go the tail, then Terminate."""
        session = self.session
        if session is None or session.state is not State.OPEN:
            return None
        if message is None and not self.sending.has_backlog:
            self.sending.flush()
            message = self.sending.next(now, has_room=True)
        if message is not None:
            self._stalled_at = now + self._settings.close_timeout
        elif not self.sending.has_backlog:
            self.coverage.gaps.over()
            self.sending.disconnect()
            self._stalled_at = math.inf
            self._keep_only_present()
            session.terminate(now, self._settings.close_timeout)
        return message

    def look(self, now: float, silent_seconds: float) -> None:
        """See how far the present session has heard, and what of that is silence; due
        when `sending.is_time_to_look`. Its peer gave its last sign of life
        `silent_seconds` ago."""
        self.sending.is_time_to_look = False
        session = self.lineup.listening
        if session is None:
            return
        session.heard_at = max(session.heard_at, now - silent_seconds)
        self.parking.look_later(now)
        heard = self.sending.hearing.heard_until(session.heard_at)
        if session.turns.is_idle:
            self.coverage.settle(heard)
            if self._may_park() and self.parking.is_due(session, heard, now):
                self._park(session, now)
        else:
            overdue_ms = self.coverage.overdue_before(heard)
            self._take(session, session.finish_turns(now, overdue_ms), now)

    def update(self, live: Mapping[str, Any]) -> None:
        """Change live parameters, of the sessions there are and of those to come.

        Raises `OptionError` if any can't be changed live, is bad, or is not for the
        present session's model; then none is.
        """
        told = told_model(self.session.configuration) if self.session else None
        self.options, message = self.options.updated(live, told)
        for session in self.lineup.living:
            session.update(self.options, message)

    def keep_alive(self, now: float) -> None:
        """Reset the server's `inactivity_timeout`."""
        if (session := self.lineup.listening) is not None:
            session.keep_alive(now)

    # ---- life ----

    def start(self, now: float) -> None:
        """Want a session."""
        self.lineup.open_at = now

    def end(self, now: float) -> None:
        """No more audio: send what is left, then Terminate."""
        if self.state is not StreamState.OPEN:
            return
        self.state = StreamState.ENDING
        self.sending.gate.shut()
        self.retries.limit(END_RETRIES)
        self.coverage.finish_writing()
        self.coverage.input_ended = True
        if self.parking.is_on:
            if not self.lineup.is_open:
                self._end_parked(now)
            return
        self._stalled_at = now + self._settings.close_timeout
        if not self.lineup.is_open:
            self._end_early("the connection was lost", now)

    def close(self, now: float) -> None:
        """Want nothing more. Sessions are told to terminate all the same."""
        if not self.is_over:
            self.coverage.gaps.over()
            self._stop(StreamState.CLOSED, now)

    def fail(self, failure: Exception, now: float) -> None:
        """End with `failure`: tell what no final turn has covered."""
        if not self.is_over:
            self.failure = failure
            self.parking.end(now, self.coverage.gaps.covered)
            self.coverage.gaps.failed()
            self._stop(StreamState.FAILED, now)

    def _end_early(self, why: object, now: float) -> bool:
        """Be over without a Termination, if finals cover all speech there was; `why`
        there is none. Returns whether it is so."""
        is_ending = self.state is StreamState.ENDING and self.session is not None
        if not is_ending or not self.coverage.is_complete():
            return False
        self.coverage.gaps.forgotten()
        text = f"{why}, but nothing is left to be heard"
        failure = why if isinstance(why, Exception) else None
        self._note(Level.WARNING, text, self.session, failure)
        self._stop(StreamState.ENDED, now)
        return True

    def _keep_only_present(self) -> None:
        """Want no successor of the present session."""
        for other in (self.lineup.standby, self.lineup.opening):
            if other is not None:
                self._reports.over(other, Outcome.CLOSED)
        self.lineup.keep_only_present()

    def _stop(self, state: StreamState, now: float) -> None:
        self.state = state
        self.is_over = True
        self.parking.end(now, self.ring.written)
        self.sending.disconnect()
        for session in self.lineup.living:
            self._reports.over(session, Outcome.CLOSED)
        self.lineup.stop()

    def check(self, now: float) -> None:
        """Do what is due."""
        if now >= self.sending.due:
            self.sending.due = math.inf
            self.coverage.gaps.look()
        if now >= self.parking.look_at:
            self.parking.look_later(now)
            self.sending.look_soon()
        for session in self.lineup.living:
            self._take(session, session.check(now), now)
        stalled = self.lineup.listening
        if stalled is not None and now >= self._stalled_at:
            seconds = self._settings.close_timeout
            stalled.over(TimedOutError(f"the server took no audio for {seconds:g} s"))
            self._take(stalled, [], now)

    @property
    def deadline(self) -> float:
        """When `check` is due, or a session is to be opened; infinite for never."""
        lineup = self.lineup
        opening, standby, listening = lineup.opening, lineup.standby, lineup.listening
        at = lineup.open_at if opening is None else opening.deadline
        if standby is not None:
            at = min(at, standby.deadline)
        if listening is not None:
            due, look_at = self.sending.due, self.parking.look_at
            at = min(at, listening.deadline, due, look_at, self._stalled_at)
        return at

    # ---- parked: nobody speaks ----

    def _may_park(self) -> bool:
        """Whether all is sent, and nothing of it waits for its end."""
        if self.state is not StreamState.OPEN or self.awaits_turn:
            return False
        return not (self.sending.has_backlog or self.sending.endpoints.waiting)

    def _park(self, session: Session, now: float) -> None:
        """Let `session`, the present one, tell its end: nothing more is sent to it."""
        text = f"session {session.id} is ended: nobody speaks"
        self._note(Level.INFO, text, session)
        self.sending.finish()
        self._keep_only_present()
        session.terminate(now, self._settings.close_timeout)
        self.parking.begin(now)

    def _wake(self, now: float) -> None:
        """Want a session again."""
        self.parking.end(now, self.coverage.gaps.covered)
        self.lineup.open_at = now

    def _parted(self, now: float) -> None:
        """Nothing is left to be heard of the present session, which is over."""
        if self.lineup.wants_next:
            self._move_on(now)
        elif not self.parking.is_on:
            self._stop(StreamState.ENDED, now)
        elif self.state is StreamState.ENDING:
            self._end_parked(now)

    def _end_parked(self, now: float) -> None:
        """No more audio comes. A session is wanted only if there is a sound in it."""
        if not self.coverage.is_complete():
            self._wake(now)
            return
        self.parking.end(now, self.ring.written)
        if self.session is not None and self.session.termination is not None:
            self.told.append(self.session.termination)
        self._stop(StreamState.ENDED, now)

    # ---- sessions: opened, on standby, listening, lost ----

    def next_session(self, now: float, unix_now: float) -> Session | None:
        """A session to be opened now; `unix_now` is the time of day in unix seconds."""
        if self.lineup.opening is not None or now < self.lineup.open_at:
            return None
        session = Session(
            self.options,
            self.ring.sample_rate,
            now=now,
            unix_offset=unix_now - now,
            redact=self._credentials.redact,
        )
        self.lineup.open(session)
        return session

    def connected(self, session: Session, now: float) -> None:
        """`session` has its connection, and waits for Begin."""
        session.connected(now, self._settings.begin_timeout)

    def receive(self, session: Session, text: bytes, now: float) -> None:
        """The server sent `session` a text message."""
        if not session.is_over:
            self._take(session, session.receive(text, now), now)

    def closed(self, session: Session, code: int, reason: str, now: float) -> None:
        """The connection of `session` is closed."""
        if not session.is_over:
            session.closed(code, reason)
            self._take(session, [], now)

    def _take(self, session: Session, told: list[Tells], now: float) -> None:
        """Deal with what `session` told, and with its end."""
        lineup = self.lineup
        if session is lineup.present:
            if self._hear(session, told) and not session.is_over:
                self._move_on(now)
        elif session in (lineup.opening, lineup.standby):
            self.told += lineup.keep_early(told)
            if session is lineup.opening and session.state is State.OPEN:
                self._opened(session, now)
        if not session.is_over:
            return
        if session is lineup.present:
            self._lost(session, now)
        elif session is lineup.standby:
            self._standby_lost(session, now)
        elif session.failure is not None:
            self.not_opened(session, session.failure, now)

    def _hear(self, session: Session, told: Sequence[Tells]) -> bool:
        """The present session tells this; returns whether a final turn is in it."""
        transcript = self.transcript
        covered, has_final = transcript.final_samples, False
        if session.termination is not None and self._is_parting(session):
            told = [event for event in told if not isinstance(event, Termination)]
        for event in told:
            if transcript.hear(event, session):
                has_final = True
        if transcript.final_samples > covered:
            self.retries.progress()
            if transcript.final_samples > self._insists_beyond:
                session.turns.insists = self.retries.may_try
        return has_final

    def _is_parting(self, session: Session) -> bool:
        """Whether `session` was asked to end since nobody spoke: more may come."""
        is_asked = session.is_asked_to_end
        return is_asked and (self.parking.is_on or self.lineup.wants_next)

    def _opened(self, session: Session, now: float) -> None:
        self._token_renewed = False
        self._reports.opened(session, now)
        self.lineup.stand_by()
        dead_after = self._settings.dead_after
        if session.options.heartbeat and dead_after != math.inf:
            session.watch(max(dead_after, 2 * HEARTBEAT_SECONDS))
        limit = session.options.inactivity_timeout
        if limit:
            session.keep_alive_every(limit / 2)
        # Or else at the next final, or when the present one is over.
        if not self.lineup.is_open or self.coverage.is_calm():
            self._move_on(now)
        if limit and session is self.lineup.standby:
            session.keep_alive(now)

    def not_opened(self, session: Session, failure: Exception, now: float) -> None:
        """`session` could not be opened."""
        if session is not self.lineup.opening:
            return
        session.over()
        self._reports.over(session, Outcome.NOT_OPENED, failure)
        self.lineup.opening = None
        self._token_renewed = (
            isinstance(failure, TokenExpiredError)
            and self._credentials.has_token_source
            and not self._token_renewed
        )
        if self._token_renewed:
            text = "the token had expired; trying another"
            self._note(Level.INFO, text, failure=failure)
            self.lineup.open_at = now
        elif self.lineup.is_sent_audio:
            text = f"no session is ready to take over: {failure}"
            self._note(Level.INFO, text, failure=failure)
        else:
            self._try_again(failure, now)

    def _standby_lost(self, session: Session, now: float) -> None:
        """The session on standby is over. Another follows when the present one is lost,
        or at once where that only tells its last words."""
        self.lineup.standby = None
        self._reports.over(session, Outcome.LOST)
        if session.failure is not None and not self.lineup.is_sent_audio:
            self._try_again(session.failure, now, session.id)
            return
        text = f"session {session.id}, on standby, was lost: {session.failure}"
        self._note(Level.DEBUG, text, session, session.failure)

    def _lost(self, session: Session, now: float) -> None:
        """The present session is over. Unless that was the end, the one on standby goes
        on, or another is opened."""
        self.sending.disconnect()
        is_parting = self._is_parting(session)
        if session.failure is None:
            self._reports.over(session, Outcome.ENDED)
            if is_parting:
                self.parking.take_all()
            self._parted(now)
            return
        self._reports.over(session, Outcome.LOST)
        if is_parting and session.turns.is_idle and self.coverage.is_calm():
            self._parted(now)
            return
        self.parking.end(now, self.coverage.gaps.covered)
        self.transcript.leave_open(session)
        if session.turns.left_unended:
            self._insists_beyond = self.ring.sent
        lasted = now - session.began_at
        if lasted > PROGRESS_SECONDS and self.state is not StreamState.ENDING:
            self.retries.progress()
        failure = self.retries.judge(
            self._unless_hung(session.failure),
            model=session.model,
            seconds=lasted,
            told_turn=session.told_turn,
        )
        is_unfinished = isinstance(failure, UnfinishedError) and (
            self.state is StreamState.ENDING
        )
        self._unfinished = self._unfinished + 1 if is_unfinished else 0
        if isinstance(failure, TooFastError):
            slow_down(self.sending.pacer)
        standby = self.lineup.standby
        if standby is not None and self._move_on(now):
            text = f"session {session.id} was lost, {standby.id} takes over: {failure}"
            self._note(Level.INFO, text, session, failure, lasted)
            return
        if self._end_early(failure, now):
            return
        if self._unfinished > 1:
            self.fail(failure, now)
        else:
            self._try_again(failure, now, session.id)

    def _unless_hung(self, failure: SessionError) -> SessionError:
        """`failure`, but a session that ended for inactivity may be replaced if there
        was audio, or KeepAlives were due: it was this host that hung."""
        is_inactive = isinstance(failure, EndedError) and failure.code == INACTIVE
        if is_inactive and (self._settings.keeps_alive or self.sending.has_backlog):
            return DroppedError(str(failure), code=failure.code)
        return failure

    def _try_again(self, failure: Exception, now: float, lost: str = "") -> None:
        plan = self.retries.plan(failure, now)
        if isinstance(plan, Retry):
            self.told.append(replace(plan, session=lost))
            self.lineup.open_at = now + plan.seconds
        else:
            self.fail(plan, now)

    def _move_on(self, now: float) -> bool:
        """Move to the session on standby, if there is one. Nothing more is told of the
        present one then, so no turn may be open in it, nor may it alone have heard what
        can't be sent again."""
        new, old = self.lineup.standby, self.lineup.listening
        if new is None:
            return False
        if old is not None:
            if not old.turns.is_idle or self.coverage.gaps.has_hole:
                return False
            text = f"session {new.id} takes over from {old.id}"
            self._note(Level.DEBUG, text, new)
        self._begin(new, now)
        return True

    def _begin(self, session: Session, now: float) -> None:
        """Let `session` hear the stream from the first sample not covered on."""
        before = self.session
        self.sending.disconnect()
        self.coverage.gaps.over()
        if before is not None and not before.is_over:
            self._reports.over(before, Outcome.REPLACED)
        early = self.lineup.take_over(now)
        if before is not None:
            # Of some audio neither it nor its successor can be asked: tell that.
            if isinstance(before.failure, ExpiredError) and before.turns.is_idle:
                heard = self.sending.hearing.heard_until(before.heard_at)
                self.coverage.expire(heard)
            self.coverage.gaps.forgotten()
        sent = self.ring.sent
        self.ring.rewind(self.coverage.resume())
        self._reports.resumed(
            session,
            before,
            sample=self.ring.sent,
            sent=sent,
            is_behind=self.sending.has_backlog,
            now=now,
        )
        self.transcript.begin()
        is_insisting = self.transcript.final_samples >= self._insists_beyond
        session.turns.insists = self.retries.may_try and is_insisting
        if not self._settings.keeps_alive:
            session.keep_alive_every(math.inf)
        self._hear(session, early)
        self.sending.connect(session)
        self.parking.look_later(now)
        if self.state is StreamState.ENDING:
            self._stalled_at = now + self._settings.close_timeout

    def _note(
        self,
        level: Level,
        text: str,
        session: Session | None = None,
        failure: Exception | None = None,
        seconds: float | None = None,
    ) -> None:
        name = "" if session is None else session.id
        self.told.append(Note(level, text, name, failure, seconds))

    # ---- what may be asked at any time ----

    @property
    def session_id(self) -> str | None:
        """AssemblyAI's name for the present session."""
        return self.session.id if self.session is not None else None

    @property
    def expires_at(self) -> int | None:
        """When the present session expires, unix seconds."""
        return self.session.expires_at if self.session is not None else None

    @property
    def awaits_turn(self) -> bool:
        """Whether a turn that was begun is still to be told to its end, by the present
        session or another."""
        if self.coverage.has_unfinished:
            return True
        session = self.lineup.listening
        return session is not None and not session.turns.is_idle

    @property
    def has_backlog(self) -> bool:
        """Whether audio waits to be sent: a full chunk, or what was flushed."""
        return self.sending.has_backlog and not self.parking.is_on

    @property
    def unheard_seconds(self) -> float:
        """How much audio waits for a session; none while one hears it."""
        if self.lineup.is_sent_audio:
            return 0.0
        return (self.ring.written - self.ring.acked) / self.ring.sample_rate
