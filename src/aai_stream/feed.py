"""A stream's audio and clock, and the sessions that hear it one after the other.

The mechanism under `aai_stream.Stream` and the LiveKit plugin, which decide what a
lost session means and hand on what is said.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import StateError, TimedOutError, TooFastError
from .losses import Losses
from .messages import Event, Termination, Turn, renumber
from .outlet import Outlet
from .rollover import Rollover
from .stats import StreamStats

if TYPE_CHECKING:
    from ._core import AudioRing
    from .connector import Connector
    from .errors import SessionError
    from .options import Options
    from .session import Session
    from .typing import Audio

logger = logging.getLogger("aai_stream")


class Feed:
    """Audio in at any time; it goes to the session there is, or waits in the ring.

    Sessions are opened with `open`, one after the other. Each begins at the first
    sample that no final turn has covered, so what an earlier one left open is sent
    again. Before a session expires its successor takes over by itself.

    `on_event` gets every message, its times moved to stream time (ms since the first
    sample pushed). `on_closed` is called when an open session ends: with None when
    that was asked for, otherwise with what happened. `keep_alive_seconds` is how long
    a session may go without audio before a KeepAlive is sent.
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
    ) -> None:
        self.options = options
        self.closed = False
        self._connector = connector
        self._ring = ring
        self._close_timeout = close_timeout
        self._on_event = on_event
        self._on_closed = on_closed
        self._keep_alive_seconds = keep_alive_seconds
        self._keep_alive: asyncio.TimerHandle | None = None
        self._outlet = Outlet(ring, catch_up_rate)
        self._losses = Losses(ring, on_event)
        self._rollover = Rollover(self._open_session, self._roll_over)
        self._session: Session | None = None  # the latest, open or not
        self._is_open = False
        self._connect_timeout = 0.0
        self._opening: list[list[dict[str, Any]]] = []  # updates since, by session
        self._retired: set[asyncio.Future[None]] = set()  # sessions that are closing
        self._sessions = 0
        self._heard_samples = 0  # by sessions before the latest
        self._malformed_messages = 0  # likewise
        self._waited_seconds = 0.0
        self._waiting_since: float | None = None
        self._turns = 0
        self._first_turn = 0  # of the latest session
        self._last_turn = -1  # that ended

    # ---- sessions ----

    async def open(self, timeout: float) -> Session:
        """Open a session within `timeout` seconds and send it what has waited.

        Waits first for its turn among this process's new sessions. Raises
        `SessionError` by type, `StateError` if the feed was closed meanwhile.
        """
        await self._rollover.cancel()
        self._connect_timeout = timeout
        session = await self._open_session()
        self._begin(session)
        return session

    async def _open_session(self) -> Session:
        await self._wait_in_line()
        updates: list[dict[str, Any]] = []  # those before are in the handshake
        self._opening.append(updates)
        try:
            session = await self._connector.open(
                self.options,
                sample_rate=self._ring.sample_rate,
                timeout=self._connect_timeout,
            )
        finally:
            self._opening.remove(updates)
        if self.closed:
            await session.close()
            raise StateError("the stream was closed")
        for message in updates:
            session.update(message)
        return session

    async def _wait_in_line(self) -> None:
        self._waiting_since = time.monotonic()
        try:
            await self._connector.admit()
        finally:
            self._waited_seconds += time.monotonic() - self._waiting_since
            self._waiting_since = None

    def _begin(self, session: Session) -> None:
        """Let `session` hear the stream from the first sample not covered on."""
        ring = self._ring
        if self._session is not None:
            self._heard_samples += self._session.clock.samples
            self._malformed_messages += self._session.malformed_messages
            self._report_forgotten(self._session)
        ring.rewind(ring.acked)
        self._session = session
        self._sessions += 1
        self._first_turn = self._last_turn + 1
        self._is_open = True
        session.listen(self._receive, self._session_closed)
        if self._is_open:
            self._losses.over()
            self._rollover.plan(session.expires_at)
            self._watch_silence(-1)
            self._outlet.connect(session)

    def _report_forgotten(self, session: Session) -> None:
        """Tell what a lost session had heard of an open turn, if it is gone."""
        open_since = session.turns.open_since_ms
        if open_since is not None:
            start = open_since * self._ring.sample_rate // 1000
            if start < self._ring.acked:
                self._losses.report(start, self._ring.acked, "it was too long ago")

    def _roll_over(self) -> None:
        """Move to the next session if it is ready and no turn is open.

        It hears again what no final turn has covered; of the old one nothing more is
        told, so that no word is told twice.
        """
        old = self._session
        if old is None or not self._is_open or not old.turns.is_idle:
            return
        if (session := self._rollover.take()) is not None:
            logger.debug("session %s takes over from %s", session.id, old.id)
            self._retire(old)
            self._begin(session)

    def _retire(self, session: Session) -> None:
        closing = asyncio.ensure_future(session.retire())
        self._retired.add(closing)
        closing.add_done_callback(self._retired.discard)

    async def end(self) -> Termination | None:
        """Send what is left, then Terminate; wait for the last turn and Termination.

        Returns None if the session was lost instead, as `on_closed` has told: also
        when the server took no audio, or told neither a turn nor Termination, for
        `close_timeout` seconds. Raises `StateError` if no session is open.
        """
        session = self._session
        if session is None or not self._is_open:
            raise StateError("no session is open")
        self._ring.drain()
        self._outlet.pump()
        while self._is_open and self._outlet.has_backlog:
            await self._drain_some()
        if not self._is_open or self._session is None:
            return None
        self._outlet.flush()
        await self._rollover.cancel()
        return await self._session.terminate(self._close_timeout)

    async def _drain_some(self) -> None:
        session, sent = self._session, self._ring.sent
        try:
            await asyncio.wait_for(self._outlet.drain(), self._close_timeout)
        except asyncio.TimeoutError:
            if self._ring.sent == sent and session is not None:
                session.lose(
                    TimedOutError(
                        f"the server took no audio for {self._close_timeout:g} s"
                    )
                )

    async def close(self) -> None:
        """Close at once, with a Terminate, since a session is billed while open."""
        self.closed = True
        self._losses.over()
        self._stop_sending()
        await self._rollover.cancel()
        if self._session is not None:
            await self._session.close()
        if self._retired:
            await asyncio.wait(self._retired)

    # ---- audio in ----

    def push(self, data: Audio, sample_rate: int, num_channels: int = 1) -> None:
        """Take audio; every chunk that it fills goes to the socket before this returns,
        unless audio before it still waits.

        Raises `AudioError` for what is no audio; nothing was taken then.
        """
        self._ring.write(data, sample_rate, num_channels)
        self._losses.look()
        self._outlet.pump()

    @property
    def has_backlog(self) -> bool:
        """Whether a full chunk waits to be sent."""
        return self._outlet.has_backlog

    async def drain(self) -> None:
        """Wait until no full chunk waits; returns early when the session is lost."""
        await self._outlet.drain()

    def flush(self) -> None:
        """Send what is no full chunk yet; see `Outlet.flush`."""
        self._outlet.flush()

    def force_endpoint(self, *, flush: bool = False) -> None:
        """End the turn here in the audio; see `Outlet.force_endpoint`."""
        self._outlet.force_endpoint(flush=flush)

    # ---- control ----

    def update(self, live: dict[str, Any]) -> None:
        """Change live parameters, of the session there is and of those to come.

        Raises `OptionError` if any can't be changed live or is bad; then none is.
        """
        self.options, message = self.options.updated(live)
        if self._session is not None and self._is_open:
            self._session.update(message)
        for updates in self._opening:
            updates.append(message)

    def keep_alive(self) -> None:
        """Reset the server's `inactivity_timeout`."""
        if self._session is not None and self._is_open:
            self._session.keep_alive()

    def _watch_silence(self, heard: int) -> None:
        """KeepAlive if nothing was sent since `heard` samples; look again later."""
        if self._keep_alive_seconds is None or not self._is_open:
            return
        if heard == self.heard_samples:
            self.keep_alive()
        loop = asyncio.get_running_loop()
        self._keep_alive = loop.call_later(
            self._keep_alive_seconds, self._watch_silence, self.heard_samples
        )

    # ---- messages in ----

    def _receive(self, event: Event) -> None:
        renumber(event, self._first_turn)
        if not isinstance(event, Turn) or not event.end_of_turn:
            self._on_event(event)
            return
        if event.turn_order > self._last_turn:  # not the same, formatted
            self._turns += 1
            self._last_turn = event.turn_order
        is_final = self.options.is_final(event)
        if is_final and event.words:
            self._cover(event.words[-1].end)
        self._on_event(event)
        if is_final and self._rollover.is_ready:
            self._roll_over()

    def _cover(self, stream_ms: int) -> None:
        """A final turn covers what lies before `stream_ms`."""
        sample = stream_ms * self._ring.sample_rate // 1000
        # The server's word: it may be wrong by more than rounding.
        self._ring.ack(max(0, min(sample, self._ring.sent)))

    def _session_closed(self, failure: SessionError | None) -> None:
        if isinstance(failure, TooFastError):
            self._outlet.pacer.slow_down()
        self._stop_sending()
        successor = self._rollover.take()
        if failure is None or successor is None:
            self._on_closed(failure)
        else:
            self._begin(successor)

    def _stop_sending(self) -> None:
        self._is_open = False
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
        return self._session.id if self._session is not None else None

    @property
    def expires_at(self) -> int | None:
        """When the latest session expires, unix seconds."""
        return self._session.expires_at if self._session is not None else None

    @property
    def covered_samples(self) -> int:
        """How far the stream is done with: its progress."""
        return self._ring.acked

    @property
    def heard_samples(self) -> int:
        """Samples that servers were sent, padding and repetitions included."""
        latest = self._session.clock.samples if self._session is not None else 0
        return self._heard_samples + latest

    @property
    def stats(self) -> StreamStats:
        """What the stream did so far."""
        ring, session = self._ring, self._session
        malformed = session.malformed_messages if session is not None else 0
        waiting = 0.0
        if self._waiting_since is not None:
            waiting = time.monotonic() - self._waiting_since
        return StreamStats(
            written_samples=ring.written,
            sent_samples=ring.sent,
            acked_samples=ring.acked,
            padded_samples=ring.padded_samples,
            forgotten_samples=ring.forgotten_samples,
            dropped_samples=ring.dropped_samples,
            pending_ms=ring.pending_ms,
            memory_bytes=ring.memory_bytes,
            heard_seconds=self.heard_samples / ring.sample_rate,
            turns=self._turns,
            sessions=self._sessions,
            waited_seconds=self._waited_seconds + waiting,
            malformed_messages=self._malformed_messages + malformed,
        )
