"""The caller's unbroken audio: the ring, the sessions under it, and stream time."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._core import AudioRing, as_bytes
from .credentials import Credentials, endpoint
from .errors import SessionError, StateError, TimedOutError
from .messages import Event, Termination, Turn
from .options import Options
from .session import Session
from .stats import StreamStats
from .wire.aiohttp import open_wire

if TYPE_CHECKING:
    import aiohttp
    from typing_extensions import Self

    from .typing import Audio

LONGEST_WRITE_SECONDS = 0.5
"""More than this goes into the ring in steps, with chunks sent between: the ring need
not hold all of a long push at once."""

RETRY_SECONDS = 0.02
"""How soon a socket that was full is tried again."""


class Stream:
    """Audio in, turns out; made by `aai_stream.connect`.

    Push audio of any rate as it comes; iterate over the server's messages. The two
    may be done by different tasks, but all of it on one event loop and its thread.
    Messages wait for the iteration without a bound. Times in them are stream time: ms
    since the first sample that was pushed.
    """

    def __init__(
        self,
        credentials: Credentials,
        options: Options,
        ring: AudioRing,
        *,
        base_url: str,
        http_session: aiohttp.ClientSession | None,
        connect_timeout: float,
        close_timeout: float,
    ) -> None:
        self._credentials = credentials
        self._options = options
        self._ring = ring
        self._url = endpoint(base_url, "/v3/ws")
        self._open_wire = partial(open_wire, http_session=http_session)
        self._connect_timeout = connect_timeout
        self._close_timeout = close_timeout
        self._session: Session | None = None
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()  # None: the end
        self._failure: SessionError | None = None
        self._entered = False
        self._ended = False  # takes no more audio
        self._closed = False  # by `aclose`
        self._retry: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()  # set when the ring's backlog is short
        self._turns = 0
        self._last_turn: int | None = None

    # ---- life ----

    async def __aenter__(self) -> Self:
        if self._entered or self._closed:
            raise StateError("a stream can be entered only once")
        self._entered = True
        try:
            session = await Session.open(
                self._open_wire,
                self._url,
                self._credentials,
                self._options,
                sample_rate=self._ring.sample_rate,
                timeout=self._connect_timeout,
                on_event=self._on_event,
                on_closed=self._on_closed,
            )
        except BaseException:
            self._on_closed(None)
            raise
        if self._closed:  # meanwhile
            await session.close()
            raise StateError("the stream was closed")
        self._session = session
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def end(self) -> Termination:
        """No more audio: send what is left, wait for the last turn and Termination.

        Iterate on to read them; the iteration then ends.

        Raises `TimedOutError` if the server took no audio, or told neither a turn nor
        Termination, for `close_timeout` seconds: then words may be missing. Raises
        what ended the stream, if it failed.
        """
        session = self._live_session()
        while self._has_backlog():
            await self._drain_some()
        self.flush()
        self._ended = True
        termination = await session.terminate(self._close_timeout)
        if self._failure is not None:
            raise self._failure
        if self._closed and termination is None:
            raise StateError("the stream was closed before it came to its end")
        if termination is None:
            raise TimedOutError(
                f"the server did not finish: nothing came for {self._close_timeout:g} s"
            )
        return termination

    async def _drain_some(self) -> None:
        sent = self._ring.sent
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.drain(), self._close_timeout)
        if self._ring.sent == sent and self._has_backlog():
            raise TimedOutError(
                f"the server took no audio for {self._close_timeout:g} s"
            )

    async def aclose(self) -> None:
        """Close at once, without waiting for the last turn; harmless when closed.

        The server is told to terminate all the same, since it bills by the time a
        session is open.
        """
        self._ended = self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        if self._session is not None:
            await self._session.close()
        else:
            self._on_closed(None)

    # ---- audio in ----

    def push(
        self, data: Audio, *, sample_rate: int | None = None, num_channels: int = 1
    ) -> None:
        """Take audio; every chunk that it fills goes to the socket before this returns.

        While the socket is full, audio waits: up to `replay_seconds` of it, then the
        oldest is dropped and counted. `drain` waits for the socket.

        Args:
            data: interleaved int16 in any contiguous buffer (bytes, NumPy, LiveKit's
                `AudioFrame.data`, …), of any length.
            sample_rate: of `data` in Hz, the stream's own if None.
            num_channels: of `data`; they are mixed down.

        Raises:
            AudioError: `data` is no such audio; nothing was taken.
            SessionError: what ended the stream, if it failed.
            StateError: the stream isn't open, was ended, or another thread calls.
        """
        self._live_session()
        rate = self._ring.sample_rate if sample_rate is None else sample_rate
        view = as_bytes(data, rate, num_channels)
        step = 2 * num_channels * int(LONGEST_WRITE_SECONDS * rate)
        for start in range(0, len(view), step):
            self._ring.write(view[start : start + step], rate, num_channels)
            self._pump()

    async def drain(self) -> None:
        """Wait until all full chunks are on their way.

        For audio that comes faster than the network takes it: with a `drain` after
        each, pushes shorter than `replay_seconds` never drop anything.

        Raises what ended the stream, if it failed.
        """
        await asyncio.sleep(0)  # a socket that is never full would starve the others
        while self._has_backlog():
            self._live_session()
            self._room.clear()
            await self._room.wait()

    def flush(self) -> None:
        """Send what was pushed and is no full chunk yet, padded to 50 ms with silence.

        Drains the resampler, so do it where speech rests. While the socket is full
        the rest stays with what follows it.
        """
        session = self._live_session()
        self._ring.drain()
        self._pump()
        if not self._has_backlog():
            for chunk in self._ring.flush():
                session.send_audio(chunk)

    # ---- control ----

    def update(self, **live: Any) -> None:
        """Change live parameters, for example `keyterms_prompt` or `agent_context`.

        Raises `OptionError` if any can't be changed live or is bad; then none is.
        """
        session = self._live_session()
        self._options, message = self._options.updated(live)
        session.update(message)

    def force_endpoint(self) -> None:
        """End the current turn now. Audio that wasn't flushed is in the next turn."""
        self._live_session().force_endpoint()

    def keep_alive(self) -> None:
        """Reset the server's `inactivity_timeout` while there is no audio to send."""
        self._live_session().keep_alive()

    @property
    def session_id(self) -> str | None:
        """AssemblyAI's name for the present session, to quote to its support."""
        return self._session.id if self._session is not None else None

    @property
    def expires_at(self) -> int | None:
        """When the present session expires, unix seconds."""
        return self._session.expires_at if self._session is not None else None

    @property
    def stats(self) -> StreamStats:
        """What the stream did so far."""
        ring, session = self._ring, self._session
        samples = session.clock.samples if session is not None else 0
        return StreamStats(
            written_samples=ring.written,
            sent_samples=ring.sent,
            acked_samples=ring.acked,
            padded_samples=ring.padded_samples,
            forgotten_samples=ring.forgotten_samples,
            dropped_samples=ring.dropped_samples,
            pending_ms=ring.pending_ms,
            memory_bytes=ring.memory_bytes,
            heard_seconds=samples / ring.sample_rate,
            turns=self._turns,
            malformed_messages=session.malformed_messages if session else 0,
        )

    # ---- messages out ----

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next message. Ends after Termination or `aclose`, or raises what ended
        the stream (`SessionError`), or `StateError` if it was never opened."""
        if not self._entered and not self._closed:
            raise StateError("the stream is not open yet")
        event = await self._events.get()
        if event is not None:
            return event
        self._events.put_nowait(None)  # for whoever asks again
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    # ---- inside ----

    def _live_session(self) -> Session:
        if self._failure is not None:
            raise self._failure
        if self._ended or self._session is None:
            raise StateError(
                "the stream was ended" if self._ended else "the stream is not open yet"
            )
        return self._session

    def _has_backlog(self) -> bool:
        return self._ring.written - self._ring.sent >= self._ring.chunk_samples

    def _pump(self) -> None:
        """Send full chunks for as long as the socket takes them."""
        session = self._session
        if session is None or self._failure is not None:
            return
        while session.writable:
            chunk = self._ring.next_chunk()
            if chunk is None:
                self._room.set()
                return
            session.send_audio(chunk)
        if self._retry is None and self._has_backlog():
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(RETRY_SECONDS, self._pump_again)

    def _pump_again(self) -> None:
        self._retry = None
        self._pump()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Turn) and event.end_of_turn:
            if (
                event.turn_order != self._last_turn
            ):  # a formatted final is no other turn
                self._turns += 1
                self._last_turn = event.turn_order
            if event.words:
                self._ack(event.words[-1].end)
        self._events.put_nowait(event)

    def _ack(self, stream_ms: int) -> None:
        sample = stream_ms * self._ring.sample_rate // 1000
        # The server's word: it may be wrong by more than rounding.
        self._ring.ack(max(0, min(sample, self._ring.sent)))

    def _on_closed(self, failure: SessionError | None) -> None:
        if failure is not None:
            self._failure = failure
        self._ended = True
        self._room.set()
        self._events.put_nowait(None)
