"""A stream's audio and clock, and the sessions that hear it one after the other.

The mechanism under `aai_stream.Stream` and the LiveKit plugin, which decide what a
lost session means and hand on what is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import timeouts
from ._core import held_memory
from .cancelled import Cancellations
from .coverage import Coverage
from .errors import StateError, TimedOutError, TooFastError, UnfinishedError
from .messages import (
    AudioLost,
    Event,
    Silence,
    SpeechStarted,
    Termination,
    Turn,
    renumber,
)
from .outlet import Outlet
from .sessions import Sessions
from .stats import StreamStats

if TYPE_CHECKING:
    from ._core import AudioRing
    from .connection.connector import Connector
    from .errors import SessionError
    from .options import Options
    from .session import Session
    from .typing import Audio

SILENCE_OVERLAP_MS = 500
"""A Silence may reach this far into what follows."""


class Feed:
    """Audio in at any time; it goes to the session there is, or waits in the ring.

    Sessions are opened with `open`, one after the other. Each begins at the first
    sample that no final turn has covered, so what an earlier one left open is sent
    again. Before a session expires its successor takes over by itself.

    `on_event` gets every message, its times moved to stream time (ms since the first
    sample pushed). `on_closed` is called when an open session ends: with None when
    that was asked for, otherwise with what happened. `keep_alive_seconds` is how long
    a session may go without audio before a KeepAlive is sent. `skip_silence`: of audio
    that had to wait, long silence is left out. With `insist` a session
    that leaves a turn without its end is lost, once: so long as nothing is gained by
    it, the next one that does so has lost the turn.
    """

    def __init__(
        self,
        connector: Connector,
        options: Options,
        ring: AudioRing,
        *,
        catch_up_rate: float,
        close_timeout: float,
        on_event: Callable[[Event], None],
        on_closed: Callable[[SessionError | None], None],
        keep_alive_seconds: float | None = None,
        skip_silence: bool = True,
        insist: bool = True,
    ) -> None:
        self._ring = ring
        self._close_timeout = close_timeout
        self._on_event = on_event
        self._on_closed = on_closed
        self._keep_alive_seconds = keep_alive_seconds
        self._insist = insist
        self._keep_alive: asyncio.TimerHandle | None = None
        self._coverage = Coverage(ring, on_event)
        self._losses = self._coverage.losses
        self._outlet = Outlet(
            ring, catch_up_rate, self._coverage, skip_silence=skip_silence
        )
        self._sessions = Sessions(
            connector,
            options,
            ring.sample_rate,
            on_begin=self._begin,
            is_calm=self._coverage.is_calm,
            at_stake=lambda: self._unheard_seconds,
        )
        self._before: Session | None = None  # the session before the latest
        self._first_turn = 0  # of the latest session
        self._last_turn = -1  # that is final
        self._cancellations = Cancellations()
        self._unended = 0  # sessions, one after the other, that did not end when asked
        self._turns = 0
        self._final_samples = 0

    # ---- sessions ----

    async def open(self, timeout: float) -> None:
        """Open a session within `timeout` seconds and send it what has waited.

        Waits first for its turn among this process's new sessions. Raises
        `SessionError` by type, `StateError` if the feed was closed meanwhile, or in a
        fork.
        """
        self._ring.check_owner()
        await self._sessions.open(timeout)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._sessions.closed

    @property
    def is_open(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    @property
    def _session(self) -> Session | None:
        """The present session, while it is open."""
        latest = self._sessions.latest
        return None if latest is None or latest.is_over else latest

    @property
    def _unheard_seconds(self) -> float:
        """How much audio waits for a session; none while one hears it."""
        if self._session is not None:
            return 0.0
        return (self._ring.written - self._ring.acked) / self._ring.sample_rate

    def _begin(self, session: Session) -> None:
        """Let `session` hear the stream from the first sample not covered on."""
        self._stop_sending()
        self._losses.over()
        before, self._before = self._before, session
        if before is not None:
            self._take_leave(before)
        unfinished = before is not None and before.finals.was_unfinished
        session.finals.insists = self._insist and not unfinished
        self._ring.rewind(self._coverage.resume())
        self._first_turn = self._last_turn + 1
        session.listen(self._receive, self._session_closed)
        if self._session is session:  # and not lost already, or replaced by a callback
            self._outlet.connect(session)
            self._watch_silence(-1)

    def _take_leave(self, session: Session) -> None:
        """Tell what `session` can't be asked about any more, nor its successor."""
        if session.has_expired and session.finals.is_idle:
            self._coverage.expire(self._outlet.heard_by(session))
        self._losses.forgotten()

    async def end(self) -> Termination | None:
        """Send what is left, then Terminate; wait for the last turn and Termination.

        Returns None if the session was lost instead, as `on_closed` has told: also
        when the server took no audio, or told neither a turn nor Termination, for
        `close_timeout` seconds. Raises `StateError` if no session is open.
        """
        if self._session is None:
            raise StateError("no session is open")
        self.finish_input()
        self._outlet.pump()
        while self._session is not None and self._outlet.has_backlog:
            await self._drain_some(self._session)
        self._losses.over()
        await self._sessions.settle()
        if self._session is None:
            return None
        self._outlet.flush()
        return await self._session.terminate(self._close_timeout)

    async def _drain_some(self, session: Session) -> None:
        sent, seconds = self._ring.sent, self._close_timeout
        try:
            async with timeouts.timeout(seconds):
                await self._outlet.drain()
        except asyncio.TimeoutError:
            if self._ring.sent == sent:
                session.lose(
                    TimedOutError(f"the server took no audio for {seconds:g} s")
                )

    def finish_input(self) -> None:
        """No more audio will come: let out what the resampler holds."""
        self._outlet.finish_input()
        self._coverage.input_ended = True

    @property
    def is_complete(self) -> bool:
        """Whether finals cover all speech there was, and no session has more to tell.

        It is known once the input has ended.
        """
        if self._sessions.latest is None or not self._coverage.input_ended:
            return False
        return self._coverage.is_complete()

    @property
    def never_ends(self) -> bool:
        """Whether a session was asked to end and did not, and another one neither."""
        return self._unended > 1

    @property
    def awaits_turn(self) -> bool:
        """Whether a turn that was begun is still to be told to its end, by the present
        session or another."""
        if self._coverage.has_unfinished:
            return True
        return self._session is not None and not self._is_idle

    @property
    def silent_seconds(self) -> float:
        """How much silence there is at the end of the audio."""
        return self._coverage.silent_seconds

    def give_up(self) -> None:
        """No session will be opened any more: tell what none has covered."""
        self._stop_sending()
        self._sessions.stay()
        self._losses.over()
        self._losses.forgotten()
        if self._ring.acked < self._ring.written:
            self._losses.report(
                self._ring.acked, self._ring.written, "the stream failed"
            )

    async def close(self) -> None:
        """Close at once, with a Terminate, since a session is billed while open."""
        self._losses.over()
        self._stop_sending()
        await self._sessions.close()

    # ---- audio in ----

    def push(self, data: Audio, sample_rate: int, num_channels: int = 1) -> None:
        """Take audio; every chunk that it fills goes to the socket before this returns,
        unless audio before it still waits.

        Raises `AudioError` for what is no audio; nothing was taken then.
        """
        self._ring.write(data, sample_rate, num_channels)
        self._losses.look()
        self._outlet.pump()

    def pcm_of(self, data: Audio, sample_rate: int, num_channels: int = 1) -> bytes:
        """A copy of what `push` would take, checked as there; for any thread."""
        return self._ring.pcm_of(data, sample_rate, num_channels)

    @property
    def has_backlog(self) -> bool:
        """Whether a full chunk waits to be sent."""
        return self._outlet.has_backlog

    async def drain(self) -> None:
        """Wait until no full chunk waits; returns early when the session is lost."""
        await self._outlet.drain()

    def flush(self) -> None:
        """Send what is no full chunk yet; see `Outlet.flush`."""
        self._ring.check_owner()
        self._outlet.flush()

    def force_endpoint(self, *, flush: bool = False) -> None:
        """End the turn here in the audio; see `Outlet.force_endpoint`."""
        self._ring.check_owner()
        self._outlet.force_endpoint(flush=flush)

    # ---- control ----

    @property
    def options(self) -> Options:
        """What the next handshake asks for; may be replaced."""
        return self._sessions.options

    @options.setter
    def options(self, options: Options) -> None:
        self._sessions.options = options

    def update(self, live: Mapping[str, Any]) -> None:
        """Change live parameters; see `Sessions.update`."""
        self._ring.check_owner()
        self._sessions.update(live)

    def keep_alive(self) -> None:
        """Reset the server's `inactivity_timeout`."""
        self._ring.check_owner()
        if self._session is not None:
            self._session.keep_alive()

    def _watch_silence(self, heard: int) -> None:
        """KeepAlive if nothing was sent since `heard` samples; look again later."""
        if self._keep_alive_seconds is None or self._session is None:
            return
        if heard == self.heard_samples:
            self.keep_alive()
        loop = asyncio.get_running_loop()
        # Half of it, for a pause may begin right after a look.
        self._keep_alive = loop.call_later(
            self._keep_alive_seconds / 2, self._watch_silence, self.heard_samples
        )

    # ---- messages in ----

    def _receive(self, event: Event) -> None:
        renumber(event, self._first_turn)
        if isinstance(event, (SpeechStarted, Turn)):
            self._outlet.turn_told()
        if isinstance(event, Turn):
            if event.is_final:
                self._receive_final(event)
                return
        elif isinstance(event, AudioLost):
            self._coverage.take_lost(event)
        elif isinstance(event, Silence) and self._is_idle:
            self._losses.cover(self._sample(event.end_ms - SILENCE_OVERLAP_MS))
        self._on_event(event)

    def _receive_final(self, turn: Turn) -> None:
        if turn.turn_order > self._last_turn:
            self._turns += bool(turn.transcript)
            self._last_turn = turn.turn_order
        # By its own words alone: those of partials move.
        if turn.words:
            self._cover(turn.words[0].start, turn.words[-1].end)
        elif turn.transcript:
            self._coverage.take_final_without_words()
        self._on_event(turn)
        self._sessions.move_on()

    @property
    def _is_idle(self) -> bool:
        return self._session is not None and self._session.finals.is_idle

    def _sample(self, stream_ms: int) -> int:
        # The server's word: it may be wrong by more than rounding.
        sample = stream_ms * self._ring.sample_rate // 1000
        return max(0, min(sample, self._ring.sent))

    def _cover(self, start_ms: int, end_ms: int) -> None:
        """A final turn has words from here to there."""
        end = self._sample(end_ms)
        forced = self._outlet.endpoints.forced_behind(end)
        self._coverage.take_final(self._sample(start_ms), end, forced)
        self._final_samples = max(self._final_samples, end)

    def _session_closed(self, failure: SessionError | None) -> None:
        self._leave_unfinished()
        if (latest := self._sessions.latest) is not None:
            failure = self._cancellations.judge(
                failure,
                model=latest.model,
                seconds=latest.lasted_seconds,
                told=latest.told_turn,
            )
        is_unended = isinstance(failure, UnfinishedError)
        self._unended = self._unended + 1 if is_unended else 0
        if isinstance(failure, TooFastError):
            self._outlet.pacer.slow_down()
        self._stop_sending()
        if failure is None or not self._sessions.move_on():
            self._sessions.stay()
            self._on_closed(failure)

    def _leave_unfinished(self) -> None:
        """The latest session is over; another has to hear the turn that was open."""
        latest = self._sessions.latest
        if latest is None or latest.finals.is_idle:
            return
        words = latest.finals.unfinished
        if words is not None:
            words = self._sample(words[0]), self._sample(words[1])
        self._coverage.leave_unfinished(words)

    def _stop_sending(self) -> None:
        self._outlet.disconnect()
        if self._keep_alive is not None:
            self._keep_alive.cancel()
            self._keep_alive = None

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
        """AssemblyAI's name for the latest session."""
        latest = self._sessions.latest
        return latest.id if latest is not None else None

    @property
    def expires_at(self) -> int | None:
        """When the latest session expires, unix seconds."""
        latest = self._sessions.latest
        return latest.expires_at if latest is not None else None

    @property
    def final_samples(self) -> int:
        """How far the stream is covered by final turns: its progress."""
        return self._final_samples

    @property
    def written_samples(self) -> int:
        """How much audio was pushed, after resampling."""
        return self._ring.written

    @property
    def heard_samples(self) -> int:
        """Samples that servers were sent, padding and repetitions included."""
        return self._sessions.heard_samples

    @property
    def stats(self) -> StreamStats:
        """What the stream did so far."""
        ring, sessions = self._ring, self._sessions
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
            heard_seconds=sessions.heard_samples / ring.sample_rate,
            turns=self._turns,
            sessions=sessions.count,
            waited_seconds=sessions.waited_seconds,
            malformed_messages=sessions.malformed_messages,
        )
