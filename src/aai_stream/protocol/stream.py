"""A stream's audio and clock, and the sessions that hear it one after the other."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from .._core import held_memory
from ..errors import (
    ExpiredError,
    SessionError,
    TimedOutError,
    TokenExpiredError,
    TooFastError,
    UnfinishedError,
)
from ..messages import AudioLost, Event, Silence, SpeechStarted, Turn, renumber
from ..options import told_model
from ..rules import check_seconds
from ..stats import StreamStats
from .coverage import Coverage
from .events import Level, Note, Retry
from .pace import check_rate
from .retry import PROGRESS_SECONDS, Retries
from .sending import Sending
from .session import HEARTBEAT_SECONDS, Session, State

if TYPE_CHECKING:
    from .._core import AudioRing, Chunk
    from ..options import Options
    from ..typing import Audio
    from .gaps import Told

BEGIN_SECONDS = 20.0
"""How long an open connection may take to its Begin; 11 s have been seen."""

CLOSE_SECONDS = 20.0
"""How long the end may take without a sign of the server; 11 s have been seen."""

SILENCE_OVERLAP_MS = 500
"""A Silence may reach this far into what follows."""

END_RETRIES = 10
"""How often a session is replaced, without progress, when no more audio will come."""

LEAD_SECONDS = 60.0
"""How long before its end a session's successor is opened; of short sessions, the last
fifth."""

SHORTEST_SECONDS = 45.0
"""No session is replaced before, though the clock may say so: none is made for less
than a minute."""

LONGEST_SECONDS = 86_400.0
"""No session lasts longer; one that says so has no end that could be planned for."""

MOST_EARLY = 1000
"""Messages kept from a session on standby, which has heard nothing yet."""


class Identity(Protocol):
    """As whom sessions are opened."""

    @property
    def has_token_source(self) -> bool:
        """Whether another token can be had."""

    def redact(self, text: str) -> str:
        """`text` without key and token."""


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


@dataclass(frozen=True)
class Settings:
    """What a stream was asked for, besides v3's parameters. Times are in seconds.

    `keeps_alive`: a KeepAlive goes out while there is no audio, where the server has an
    `inactivity_timeout`. Raises `OptionError` for a bad one.
    """

    begin_timeout: float
    close_timeout: float
    dead_after: float
    catch_up_rate: float
    skip_silence: bool
    keeps_alive: bool = False

    def __post_init__(self) -> None:
        check_seconds("begin_timeout", self.begin_timeout)
        check_seconds("close_timeout", self.close_timeout)
        check_rate(self.catch_up_rate)


class StreamProtocol:
    """Decides for one stream: what to send, what to tell, which session is opened when.

    Each session begins at the first sample that no final turn has covered, so what an
    earlier one left open is sent again. Before a session expires its successor takes
    over. A session that leaves a turn without its end is lost, once: as long as that
    gains nothing, the next one that does so has lost the turn.

    All moments, `now`, are in seconds of one steady clock. After each call, whoever
    runs it tells what is in `told`, sends `Session.texts` and what `next_message`
    gives, closes what is in `retired`, opens `next_session`, and calls `check` at
    `deadline`.

    Attributes:
        told: messages in stream time, and what else there is to say; oldest first.
        retired: sessions whose connections are to be closed.
        session: the one that hears the stream, or that did so last.
        standby: the one that is ready to take over.
        opening: the one that is being opened.
        failure: what ended the stream, if it failed.
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
        self.failure: Exception | None = None
        self.told: deque[Told] = deque()
        self.retired: list[Session] = []
        self.session: Session | None = None
        self.standby: Session | None = None
        self.opening: Session | None = None
        self.options = options
        self._ring = ring
        self._settings = settings
        self._retries = retries
        self._credentials = credentials
        self._coverage = Coverage(ring, self.told)
        self._gaps = self._coverage.gaps
        self._sending = Sending(
            ring,
            settings.catch_up_rate,
            self._coverage,
            skip_silence=settings.skip_silence,
        )
        self._early: list[Event | Note] = []  # told by the session on standby
        self._open_at = math.inf  # another session, where there is none
        self._rollover_at = math.inf
        self._stalled_at = math.inf  # a stream that ends is lost if nothing is sent
        self._token_renewed = False  # since the last Begin
        self._unfinished = 0  # sessions in a row that did not end when asked
        self._first_turn = 0  # of the present session
        self._last_turn = -1  # that is final
        self._final_samples = 0
        self._turns = 0
        self._sessions = 0
        self._heard_samples = 0  # by sessions before the present one
        self._malformed = 0  # likewise

    @property
    def is_over(self) -> bool:
        """Whether no session will be opened any more."""
        return self.state not in (StreamState.OPEN, StreamState.ENDING)

    @property
    def is_open(self) -> bool:
        """Whether a session hears the stream."""
        session = self.session
        return session is not None and session.state is not State.OVER

    @property
    def gave_up(self) -> bool:
        """Whether it failed because too many failures in a row were tried again."""
        return self._retries.gave_up

    # ---- audio ----

    def write(self, data: Audio, sample_rate: int, num_channels: int = 1) -> None:
        """Take audio. Raises `AudioError` for what is none; nothing was taken then."""
        self._ring.write(data, sample_rate, num_channels)
        self._gaps.look()

    def pcm_of(self, data: Audio, sample_rate: int, num_channels: int = 1) -> bytes:
        """A copy of what `write` would take, checked as there; for any thread."""
        return self._ring.pcm_of(data, sample_rate, num_channels)

    def check_owner(self) -> None:
        """Raise `StateError` in a fork, and in another thread than the first."""
        self._ring.check_owner()

    @property
    def sends_at(self) -> float:
        """When audio that waits may go; infinite if none waits for its time."""
        return self._sending.due

    @property
    def has_backlog(self) -> bool:
        """Whether a full chunk waits to be sent."""
        return self._sending.has_backlog

    def next_message(self, now: float, has_room: bool) -> Chunk | bytes | None:
        """What the present session is sent next: audio, or a ForceEndpoint in its
        place. It counts as sent. `has_room`: the socket takes more audio."""
        message = self._sending.next(now, has_room)
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
        if message is None and not self.has_backlog:
            self._sending.flush()
            message = self._sending.next(now, has_room=True)
        if message is not None:
            self._stalled_at = now + self._settings.close_timeout
        elif not self.has_backlog:
            self._gaps.over()
            self._sending.disconnect()
            self._stalled_at = self._rollover_at = math.inf
            self._drop_standby()
            session.terminate(now, self._settings.close_timeout)
        return message

    @property
    def is_time_to_look(self) -> bool:
        """Whether `look` is due."""
        return self._sending.is_time_to_look

    def look(self, now: float, silent_seconds: float) -> None:
        """See how far the present session has heard, and what of that is silence. Its
        peer gave its last sign of life `silent_seconds` ago."""
        self._sending.is_time_to_look = False
        session = self.session
        if session is None or session.state is State.OVER:
            return
        session.heard_at = max(session.heard_at, now - silent_seconds)
        heard = self._sending.hearing.heard_until(session.heard_at)
        if session.turns.is_idle:
            self._coverage.settle(heard)
        elif self._coverage.is_overdue(heard, self._sending.news):
            self._take(session, session.overdue(now), now)

    def flush(self) -> None:
        """Send what is no full chunk yet; see `Sending.flush`."""
        self._sending.flush()

    def force_endpoint(self, *, flush: bool = False) -> None:
        """End the turn here in the audio; see `Sending.force_endpoint`."""
        self._sending.force_endpoint(flush=flush)

    def update(self, live: Mapping[str, Any]) -> None:
        """Change live parameters, of the sessions there are and of those to come.

        Raises `OptionError` if any can't be changed live, is bad, or is not for the
        present session's model; then none is.
        """
        told = told_model(self.session.configuration) if self.session else None
        self.options, message = self.options.updated(live, told)
        for session in (self.session, self.standby, self.opening):
            if session is not None:
                session.update(self.options, message)

    def keep_alive(self, now: float) -> None:
        """Reset the server's `inactivity_timeout`."""
        if self.session is not None and self.is_open:
            self.session.keep_alive(now)

    # ---- life ----

    def start(self, now: float) -> None:
        """Want a session."""
        self._open_at = now

    def end(self, now: float) -> None:
        """No more audio: send what is left, then Terminate."""
        if self.state is not StreamState.OPEN:
            return
        self.state = StreamState.ENDING
        self._retries.limit(END_RETRIES)
        self._coverage.finish_writing()
        self._coverage.input_ended = True
        self._stalled_at = now + self._settings.close_timeout
        if not self.is_open and self._is_complete:
            self._complete("the connection was lost")

    def close(self) -> None:
        """Want nothing more. Sessions are told to terminate all the same."""
        if not self.is_over:
            self._gaps.over()
            self._stop(StreamState.CLOSED)

    def fail(self, failure: Exception) -> None:
        """End with `failure`: tell what no final turn has covered."""
        if self.is_over:
            return
        self.failure = failure
        self._gaps.over()
        self._gaps.forgotten()
        if self._ring.acked < self._ring.written:
            self._gaps.report(self._ring.acked, self._ring.written, "the stream failed")
        self._stop(StreamState.FAILED)

    @property
    def _is_complete(self) -> bool:
        """Whether finals cover all speech there was."""
        is_ending = self.state is StreamState.ENDING
        return is_ending and self.session is not None and self._coverage.is_complete()

    def _complete(self, why: object) -> None:
        self._note(Level.WARNING, f"{why}, but every word was final")
        self._stop(StreamState.ENDED)

    def _stop(self, state: StreamState) -> None:
        self.state = state
        self._sending.disconnect()
        self._open_at = self._rollover_at = self._stalled_at = math.inf
        self._drop_standby()
        if self.session is not None:
            self._retire(self.session)

    # ---- sessions ----

    def next_session(self, now: float, unix_now: float) -> Session | None:
        """A session to be opened now; `unix_now` is the time of day in unix seconds."""
        due = self._rollover_at if self.is_open else self._open_at
        if self.is_over or self.opening is not None or now < due:
            return None
        self._open_at = self._rollover_at = math.inf
        self._early = []
        self.opening = Session(
            self.options,
            self._ring.sample_rate,
            now=now,
            unix_offset=unix_now - now,
            redact=self._credentials.redact,
        )
        return self.opening

    def connected(self, session: Session, now: float) -> None:
        """`session` has its connection; messages may have come before."""
        session.connected(now, self._settings.begin_timeout)
        self._take(session, [], now)

    def receive(self, session: Session, text: bytes, now: float) -> None:
        """The server sent `session` a text message."""
        self._take(session, session.receive(text, now), now)

    def closed(self, session: Session, code: int, reason: str, now: float) -> None:
        """The connection of `session` is closed."""
        if session.state is not State.OVER:
            self._note(Level.DEBUG, f"session {session.id} closed with code {code}")
            session.closed(code, reason)
            self._take(session, [], now)

    def not_opened(self, session: Session, failure: Exception, now: float) -> None:
        """`session` could not be opened."""
        if session is self.opening:
            self._opening_failed(failure, now)

    def check(self, now: float) -> None:
        """Do what is due."""
        if now >= self._sending.due:
            self._sending.due = math.inf
            self._gaps.look()
        for session in (self.session, self.standby, self.opening):
            if session is not None and session.state is not State.OVER:
                self._take(session, session.check(now), now)
        if now >= self._stalled_at:
            self._stalled_at = math.inf
            if self.session is not None and self.is_open:
                seconds = self._settings.close_timeout
                self.session.over(
                    TimedOutError(f"the server took no audio for {seconds:g} s")
                )
                self._take(self.session, [], now)

    @property
    def deadline(self) -> float:
        """When `check` is due, or a session is to be opened; infinite for never."""
        if self.is_over:
            return math.inf
        at = min(self._sending.due, self._stalled_at)
        if self.opening is None:
            at = min(at, self._rollover_at if self.is_open else self._open_at)
        for session in (self.session, self.standby, self.opening):
            if session is not None and session.state is not State.OVER:
                at = min(at, session.deadline)
        return at

    def _take(self, session: Session, told: list[Event | Note], now: float) -> None:
        """Deal with what `session` told, and with its end."""
        if session is self.session:
            for event in told:
                if session is self.session:  # which a final may have replaced
                    self._hear(event, now)
        elif session is self.opening:
            self.told.extend(event for event in told if isinstance(event, Note))
            self._early += [event for event in told if not isinstance(event, Note)]
            if session.is_ready:
                self._opened(session, now)
        elif session is self.standby and len(self._early) < MOST_EARLY:
            self._early += told
        if session.state is State.OVER:
            self._session_over(session, now)

    def _opened(self, session: Session, now: float) -> None:
        self.opening = None
        self._token_renewed = False
        self.standby = session
        dead_after = self._settings.dead_after
        if session.options.heartbeat and dead_after != math.inf:
            session.watch(max(dead_after, 2 * HEARTBEAT_SECONDS))
        # Or else at the next final, or when the present one is over.
        if not self.is_open or self._coverage.is_calm():
            self._move_on(now)
        if self.standby is session and session.options.inactivity_timeout:
            session.keep_alive(now)
            session.keep_alive_every(session.options.inactivity_timeout / 2)

    def _move_on(self, now: float) -> bool:
        """Move to the session on standby, if there is one and no turn is open in the
        present one, of which nothing more is told then."""
        old, new = self.session, self.standby
        if new is None or (old is not None and self.is_open and not old.turns.is_idle):
            return False
        if old is not None and self.is_open:
            self._note(Level.DEBUG, f"session {new.id} takes over from {old.id}")
        self._begin(new, now)
        return True

    def _begin(self, session: Session, now: float) -> None:
        """Let `session` hear the stream from the first sample not covered on."""
        before, self.session, self.standby = self.session, session, None
        early, self._early = self._early, []
        self._sending.disconnect()
        self._gaps.over()
        if before is not None:
            self._take_leave(before)
        session.turns.insists = self._retries.may_try and not (
            before is not None and before.turns.left_unended
        )
        limit = session.options.inactivity_timeout
        if not self._settings.keeps_alive or limit is None:
            session.keep_alive_every(math.inf)
        else:
            session.keep_alive_every(limit / 2)
        self._ring.rewind(self._coverage.resume())
        self._sessions += 1
        self._first_turn = self._last_turn + 1
        self._plan_rollover(session, now)
        for event in early:
            self._hear(event, now)
        if self.session is session:
            self._sending.connect(session)
            self._stalled_at = math.inf
            if self.state is StreamState.ENDING:
                self._stalled_at = now + self._settings.close_timeout

    def _take_leave(self, session: Session) -> None:
        """Tell what `session` can't be asked about any more, nor its successor."""
        if isinstance(session.failure, ExpiredError) and session.turns.is_idle:
            heard = self._sending.hearing.heard_until(session.heard_at)
            self._coverage.expire(heard)
        self._gaps.forgotten()
        self._heard_samples += session.timeline.samples
        self._malformed += session.malformed_messages
        self._retire(session)

    def _plan_rollover(self, session: Session, now: float) -> None:
        """Have a session ready before this one expires. If none can be had, expiry is
        a lost connection like any other."""
        left = session.expiry - now
        self._rollover_at = math.inf
        if 0 < left <= LONGEST_SECONDS:
            lead = min(LEAD_SECONDS, left / 5)
            self._rollover_at = now + max(left - lead, SHORTEST_SECONDS)

    def _drop_standby(self) -> None:
        for session in (self.standby, self.opening):
            if session is not None:
                self._retire(session)
        self.standby = self.opening = None

    def _retire(self, session: Session) -> None:
        session.over()
        self.retired.append(session)

    # ---- a session is lost ----

    def _session_over(self, session: Session, now: float) -> None:
        if session is self.opening:
            failure = session.failure
            assert failure is not None
            self._retire(session)
            self._opening_failed(failure, now)
        elif session is self.standby:
            self._retire(session)
            self.standby = None
        elif session is self.session and not self.is_over:
            self._sending.disconnect()
            self._retire(session)
            self._stalled_at = math.inf
            if session.failure is None:
                self._stop(StreamState.ENDED)
            else:
                self._session_lost(session, session.failure, now)

    def _session_lost(
        self, session: Session, failure: SessionError, now: float
    ) -> None:
        if not session.turns.is_idle:
            self._leave_unfinished(session)
        lasted = now - session.began_at
        if lasted > PROGRESS_SECONDS and self.state is not StreamState.ENDING:
            self._retries.progress()
        failure = self._retries.judge(
            failure,
            model=session.model,
            seconds=lasted,
            told_turn=session.told_turn,
        )
        is_unfinished = isinstance(failure, UnfinishedError)
        self._unfinished = self._unfinished + 1 if is_unfinished else 0
        if isinstance(failure, TooFastError):
            self._sending.pacer.slow_down()
        if self._move_on(now):
            return
        if self._is_complete:
            self._complete(failure)
        elif self._unfinished > 1:
            self.fail(failure)
        else:
            self._try_again(failure, now)

    def _leave_unfinished(self, session: Session) -> None:
        """Another session has to hear the turn that was open."""
        words = session.turns.order.unfinished
        if words is not None:
            words = self._sample(words[0]), self._sample(words[1])
        self._coverage.leave_unfinished(words)

    def _opening_failed(self, failure: Exception, now: float) -> None:
        self.opening = None
        may_renew = self._credentials.has_token_source and not self._token_renewed
        if isinstance(failure, TokenExpiredError) and may_renew:
            self._token_renewed = True
            self._note(Level.INFO, "the token had expired; trying another")
            self._open_at = self._rollover_at = now
        elif self.is_open:
            self._note(Level.INFO, f"no session is ready to take over: {failure}")
        else:
            self._try_again(failure, now)

    def _try_again(self, failure: Exception, now: float) -> None:
        plan = self._retries.plan(failure, now)
        if isinstance(plan, Retry):
            self.told.append(plan)
            self._open_at = now + plan.seconds
        else:
            self.fail(plan)

    # ---- what the present session says ----

    def _hear(self, event: Event | Note, now: float) -> None:
        if isinstance(event, Note):
            self.told.append(event)
            return
        renumber(event, self._first_turn)
        if isinstance(event, (SpeechStarted, Turn)):
            self._sending.news = self._ring.sent
        if isinstance(event, Turn) and event.is_final:
            self._hear_final(event, now)
            return
        if isinstance(event, AudioLost):
            self._coverage.take_lost(event)
        elif isinstance(event, Silence) and self._is_idle:
            self._gaps.cover(self._sample(event.end_ms - SILENCE_OVERLAP_MS))
        self.told.append(event)

    @property
    def _is_idle(self) -> bool:
        return self.session is not None and self.session.turns.is_idle

    def _hear_final(self, turn: Turn, now: float) -> None:
        if turn.turn_order > self._last_turn:
            self._turns += bool(turn.transcript)
            self._last_turn = turn.turn_order
        # By its own words alone: those of partials move.
        if turn.words:
            start, end = self._sample(turn.words[0].start), turn.words[-1].end
            self._cover(start, self._sample(end))
        elif turn.transcript:
            self._coverage.take_final_without_words()
        self.told.append(turn)
        self._move_on(now)

    def _cover(self, start: int, end: int) -> None:
        """A final turn has words from `start` to `end`, in samples."""
        forced = self._sending.endpoints.forced_behind(end)
        self._coverage.take_final(start, end, forced)
        if end > self._final_samples:
            self._final_samples = end
            self._retries.progress()

    def _sample(self, stream_ms: int) -> int:
        # The server's word: it may be wrong by more than rounding.
        sample = stream_ms * self._ring.sample_rate // 1000
        return max(0, min(sample, self._ring.sent))

    def _note(self, level: Level, text: str) -> None:
        self.told.append(Note(level, text))

    # ---- accounts ----

    @property
    def sample_rate(self) -> int:
        """Of what is sent, in Hz."""
        return self._ring.sample_rate

    @property
    def chunk_ms(self) -> float:
        """Length of a message; may be set at any time."""
        return self._ring.chunk_ms

    @chunk_ms.setter
    def chunk_ms(self, value: float) -> None:
        self._ring.chunk_ms = value

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
        if self._coverage.has_unfinished:
            return True
        session = self.session
        return session is not None and self.is_open and not session.turns.is_idle

    @property
    def silent_seconds(self) -> float:
        """How much silence there is at the end of the audio."""
        return self._coverage.silent_seconds

    @property
    def unheard_seconds(self) -> float:
        """How much audio waits for a session; none while one hears it."""
        if self.is_open:
            return 0.0
        return (self._ring.written - self._ring.acked) / self._ring.sample_rate

    @property
    def written_samples(self) -> int:
        """How much audio was pushed, after resampling."""
        return self._ring.written

    @property
    def heard_samples(self) -> int:
        """Samples that servers were sent, padding and repetitions included."""
        present = self.session.timeline.samples if self.session is not None else 0
        return self._heard_samples + present

    def stats(self, waited_seconds: float) -> StreamStats:
        """What the stream did so far; it waited so long for other new sessions."""
        ring, session = self._ring, self.session
        malformed = session.malformed_messages if session is not None else 0
        return StreamStats(
            written_samples=ring.written,
            sent_samples=ring.sent,
            acked_samples=ring.acked,
            padded_samples=ring.padded_samples,
            forgotten_samples=ring.forgotten_samples,
            dropped_samples=ring.dropped_samples,
            pending_ms=ring.pending_ms,
            memory_bytes=ring.memory_bytes,
            process_memory_bytes=held_memory(),
            heard_seconds=self.heard_samples / ring.sample_rate,
            turns=self._turns,
            sessions=self._sessions,
            waited_seconds=waited_seconds,
            malformed_messages=self._malformed + malformed,
        )
