"""A stream's audio and clock, and the session that hears it at the moment.

The mechanism under `aai_stream.Stream` and the LiveKit plugin, which decide what a
lost session means and hand on what is said.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import StateError, TimedOutError
from .messages import Event, Termination, Turn
from .pacing import Pacer
from .session import Session
from .stats import StreamStats

if TYPE_CHECKING:
    from ._core import AudioRing
    from .credentials import Credentials
    from .errors import SessionError
    from .options import Options
    from .typing import Audio
    from .wire import OpenWire

RETRY_SECONDS = 0.02
"""How soon a socket that was full is tried again."""


class Feed:
    """Audio in at any time; it goes to the session there is, or waits in the ring.

    Sessions are opened with `open`, one after the other. Each begins at the first
    sample that no final turn has covered, so what an earlier one left open is sent
    again.

    `on_event` gets every message, its times moved to stream time (ms since the first
    sample pushed). `on_closed` is called when an open session ends: with None when
    that was asked for, otherwise with what happened. `keep_alive_seconds` is how long
    a session may go without audio before a KeepAlive is sent.
    """

    def __init__(
        self,
        credentials: Credentials,
        options: Options,
        ring: AudioRing,
        *,
        url: str,
        open_wire: OpenWire,
        catch_up_rate: float,
        close_timeout: float,
        on_event: Callable[[Event], None],
        on_closed: Callable[[SessionError | None], None],
        keep_alive_seconds: float | None = None,
    ) -> None:
        self.options = options
        self.closed = False
        self._credentials = credentials
        self._ring = ring
        self._url = url
        self._open_wire = open_wire
        self._close_timeout = close_timeout
        self._on_event = on_event
        self._on_closed = on_closed
        self._keep_alive_seconds = keep_alive_seconds
        self._session: Session | None = None  # the latest, open or not
        self._is_open = False
        self._failure: SessionError | None = None  # what ended it
        self._pacer = Pacer(catch_up_rate, ring.sample_rate)
        self._pump_timer: asyncio.TimerHandle | None = None
        self._keep_alive_timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()  # set when no full chunk waits, or none ever will
        self._updates: list[dict[str, Any]] | None = None  # made while a session opens
        self._endpoints: deque[int] = deque()  # samples at which turns shall end
        self._heard_samples = 0  # by sessions before the latest
        self._malformed_messages = 0  # likewise
        self._turns = 0
        self._last_turn: int | None = None  # of the latest session

    # ---- sessions ----

    async def open(self, timeout: float) -> Session:
        """Open a session within `timeout` seconds and send it what has waited.

        Raises `SessionError` by type, `StateError` if the feed was closed meanwhile.
        """
        self._failure = None
        updates = self._updates = []  # those before are in the handshake
        try:
            session = await Session.open(
                self._open_wire,
                self._url,
                self._credentials,
                self.options,
                sample_rate=self._ring.sample_rate,
                timeout=timeout,
            )
        finally:
            self._updates = None
        if self.closed:
            await session.close()
            raise StateError("the stream was closed")
        self._begin(session)
        for message in updates:
            session.update(message)
        self._pump()
        return session

    def _begin(self, session: Session) -> None:
        """Let `session` hear the stream from the first sample not covered on."""
        if self._session is not None:
            self._heard_samples += self._session.clock.samples
            self._malformed_messages += self._session.malformed_messages
        self._ring.rewind(self._ring.acked)
        self._session = session
        self._last_turn = None
        self._is_open = True
        session.listen(self._receive, self._session_closed)
        self._watch_silence(-1)

    async def end(self) -> Termination | None:
        """Send what is left, then Terminate; wait for the last turn and Termination.

        Returns None if the session ended otherwise: `on_closed` has said how. Raises
        `TimedOutError` if the server took no audio, or told neither a turn nor
        Termination, for `close_timeout` seconds; `StateError` if no session is open.
        """
        if self._session is None or not self._is_open:
            raise StateError("no session is open")
        self._ring.drain()
        self._pump()
        while self._is_open and self._has_backlog():
            await self._drain_some()
        if not self._is_open:
            return None
        self.flush()
        termination = await self._session.terminate(self._close_timeout)
        if termination is None and self._failure is None and not self.closed:
            raise TimedOutError(
                f"the server did not finish: nothing came for {self._close_timeout:g} s"
            )
        return termination

    async def _drain_some(self) -> None:
        sent = self._ring.sent
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.drain(), self._close_timeout)
        if self._ring.sent == sent and self._is_open and self._has_backlog():
            raise TimedOutError(
                f"the server took no audio for {self._close_timeout:g} s"
            )

    async def close(self) -> None:
        """Close at once, with a Terminate, since a session is billed while open."""
        self.closed = True
        self._stop_timers()
        self._room.set()
        if self._session is not None:
            await self._session.close()

    # ---- audio in ----

    def push(self, data: Audio, sample_rate: int, num_channels: int = 1) -> None:
        """Take audio; every chunk that it fills goes to the socket before this returns,
        unless audio before it still waits.

        Raises `AudioError` for what is no audio; nothing was taken then.
        """
        self._ring.write(data, sample_rate, num_channels)
        self._pump()

    async def drain(self) -> None:
        """Wait until no full chunk waits; returns early when the session is lost."""
        await asyncio.sleep(0)  # a socket that is never full would starve the others
        while self._is_open and self._has_backlog():
            self._room.clear()
            await self._room.wait()

    def flush(self) -> None:
        """Send what is no full chunk yet, padded to 50 ms with silence.

        Drains the resampler. While other audio waits, the rest stays with what
        follows it.
        """
        self._ring.drain()
        self._pump()
        if self._is_open and not self._has_backlog():
            self._send_tail()

    def force_endpoint(self, *, flush: bool = False) -> None:
        """End the turn here in the audio: at once, or when what waits has been sent.

        Audio that is no full chunk yet belongs to the next turn, unless it is flushed.
        """
        ring = self._ring
        if flush:
            ring.drain()
            self._endpoints.append(ring.written)
        else:
            waiting = ring.written - ring.sent
            self._endpoints.append(ring.written - waiting % ring.chunk_samples)
        self._pump()

    # ---- control ----

    def update(self, live: dict[str, Any]) -> None:
        """Change live parameters, of the session there is and of those to come.

        Raises `OptionError` if any can't be changed live or is bad; then none is.
        """
        self.options, message = self.options.updated(live)
        if self._session is not None and self._is_open:
            self._session.update(message)
        elif self._updates is not None:
            self._updates.append(message)

    def keep_alive(self) -> None:
        """Reset the server's `inactivity_timeout`."""
        if self._session is not None and self._is_open:
            self._session.keep_alive()

    @property
    def session_id(self) -> str | None:
        """AssemblyAI's name for the latest session."""
        return self._session.id if self._session is not None else None

    @property
    def expires_at(self) -> int | None:
        """When the latest session expires, unix seconds."""
        return self._session.expires_at if self._session is not None else None

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
    def heard_samples(self) -> int:
        """Samples that servers were sent, padding and repetitions included."""
        latest = self._session.clock.samples if self._session is not None else 0
        return self._heard_samples + latest

    @property
    def stats(self) -> StreamStats:
        """What the stream did so far."""
        ring, session = self._ring, self._session
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
            heard_seconds=self.heard_samples / ring.sample_rate,
            turns=self._turns,
            malformed_messages=self._malformed_messages + malformed,
        )

    # ---- audio out ----

    def _has_backlog(self) -> bool:
        return self._ring.written - self._ring.sent >= self._ring.chunk_samples

    def _pump(self) -> None:
        """Send full chunks for as long as the socket and the pace take them."""
        session, ring = self._session, self._ring
        if session is None or not self._is_open:
            return
        while ring.written - ring.sent >= ring.chunk_samples:
            wait = RETRY_SECONDS
            if session.writable:
                wait = self._pacer.wait(ring.chunk_samples)
            if wait:
                self._pump_later(wait)
                return
            chunk = ring.next_chunk()
            assert chunk is not None
            session.send_audio(chunk)
            if self._endpoints:
                self._end_turns(session)
        if self._endpoints:
            self._end_turns(session)
            if self._endpoints:  # behind the last full chunk
                self._send_tail()
                self._end_turns(session)
        self._room.set()

    def _send_tail(self) -> None:
        assert self._session is not None
        for chunk in self._ring.flush():
            self._session.send_audio(chunk)

    def _end_turns(self, session: Session) -> None:
        while self._endpoints and self._endpoints[0] <= self._ring.sent:
            self._endpoints.popleft()
            session.force_endpoint()

    def _pump_later(self, seconds: float) -> None:
        if self._pump_timer is None:
            loop = asyncio.get_running_loop()
            self._pump_timer = loop.call_later(seconds, self._pump_again)

    def _pump_again(self) -> None:
        self._pump_timer = None
        self._pump()

    def _watch_silence(self, heard: int) -> None:
        """KeepAlive if nothing was sent since `heard` samples; look again later."""
        if self._keep_alive_seconds is None or not self._is_open:
            return
        if heard == self.heard_samples:
            self.keep_alive()
        loop = asyncio.get_running_loop()
        self._keep_alive_timer = loop.call_later(
            self._keep_alive_seconds, self._watch_silence, self.heard_samples
        )

    def _stop_timers(self) -> None:
        for timer in (self._pump_timer, self._keep_alive_timer):
            if timer is not None:
                timer.cancel()
        self._pump_timer = self._keep_alive_timer = None

    # ---- messages in ----

    def _receive(self, event: Event) -> None:
        if isinstance(event, Turn) and event.end_of_turn:
            if event.turn_order != self._last_turn:  # not the same, formatted
                self._turns += 1
                self._last_turn = event.turn_order
            if event.words and self.options.is_final(event):
                self._ack(event.words[-1].end)
        self._on_event(event)

    def _ack(self, stream_ms: int) -> None:
        sample = stream_ms * self._ring.sample_rate // 1000
        # The server's word: it may be wrong by more than rounding.
        self._ring.ack(max(0, min(sample, self._ring.sent)))

    def _session_closed(self, failure: SessionError | None) -> None:
        self._is_open = False
        self._failure = failure
        self._stop_timers()
        self._room.set()
        self._on_closed(failure)
