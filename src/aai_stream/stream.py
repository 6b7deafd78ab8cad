"""A stream for Python programs: audio in by calls, messages out by iteration."""

from __future__ import annotations

import asyncio
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._core import AudioRing, as_bytes
from .credentials import Credentials, endpoint
from .errors import SessionError, StateError
from .feed import Feed
from .messages import Event, Termination
from .options import Options
from .stats import StreamStats
from .wire.aiohttp import open_wire

if TYPE_CHECKING:
    import aiohttp
    from typing_extensions import Self

    from .typing import Audio

LONGEST_WRITE_SECONDS = 0.5
"""More than this goes into the ring in steps, with chunks sent between: the ring need
not hold all of a long push at once."""


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
        catch_up_rate: float,
        connect_timeout: float,
        close_timeout: float,
    ) -> None:
        self._feed = Feed(
            credentials,
            options,
            ring,
            url=endpoint(base_url, "/v3/ws"),
            open_wire=partial(open_wire, http_session=http_session),
            catch_up_rate=catch_up_rate,
            close_timeout=close_timeout,
            on_event=self._on_event,
            on_closed=self._on_closed,
        )
        self._sample_rate = ring.sample_rate
        self._connect_timeout = connect_timeout
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()  # None: the end
        self._failure: SessionError | None = None
        self._entered = False
        self._is_open = False
        self._ended = False  # takes no more audio

    # ---- life ----

    async def __aenter__(self) -> Self:
        if self._entered or self._feed.closed:
            raise StateError("a stream can be entered only once")
        self._entered = True
        try:
            await self._feed.open(self._connect_timeout)
        except BaseException:
            self._on_closed(None)
            raise
        self._is_open = True
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
        self._check_open()
        self._ended = True
        termination = await self._feed.end()
        if self._failure is not None:
            raise self._failure
        if termination is None:
            raise StateError("the stream was closed before it came to its end")
        return termination

    async def aclose(self) -> None:
        """Close at once, without waiting for the last turn; harmless when closed.

        The server is told to terminate all the same, since it bills by the time a
        session is open.
        """
        self._ended = True
        await self._feed.close()
        if not self._is_open:
            self._on_closed(None)

    # ---- audio in ----

    def push(
        self, data: Audio, *, sample_rate: int | None = None, num_channels: int = 1
    ) -> None:
        """Take audio; every chunk that it fills goes to the socket before this returns.

        While the socket is full, or audio comes faster than `catch_up_rate`, audio
        waits: up to `replay_seconds` of it, then the oldest is dropped and counted.
        `drain` waits for its turn.

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
        self._check_open()
        rate = self._sample_rate if sample_rate is None else sample_rate
        view = as_bytes(data, rate, num_channels)
        step = 2 * num_channels * int(LONGEST_WRITE_SECONDS * rate)
        for start in range(0, len(view), step):
            self._feed.push(view[start : start + step], rate, num_channels)

    async def drain(self) -> None:
        """Wait until all full chunks are on their way.

        For audio that comes faster than the network takes it: with a `drain` after
        each, pushes shorter than `replay_seconds` never drop anything.

        Raises what ended the stream, if it failed.
        """
        await self._feed.drain()
        if self._failure is not None:
            raise self._failure

    def flush(self) -> None:
        """Send what was pushed and is no full chunk yet, padded to 50 ms with silence.

        Drains the resampler, so do it where speech rests. While other audio waits, the
        rest stays with what follows it.
        """
        self._check_open()
        self._feed.flush()

    # ---- control ----

    def update(self, **live: Any) -> None:
        """Change live parameters, for example `keyterms_prompt` or `agent_context`.

        Raises `OptionError` if any can't be changed live or is bad; then none is.
        """
        self._check_open()
        self._feed.update(live)

    def force_endpoint(self) -> None:
        """End the current turn, behind the audio that waits to be sent.

        Audio that is no full chunk yet is in the next turn, unless it was flushed.
        """
        self._check_open()
        self._feed.force_endpoint()

    def keep_alive(self) -> None:
        """Reset the server's `inactivity_timeout` while there is no audio to send."""
        self._check_open()
        self._feed.keep_alive()

    @property
    def session_id(self) -> str | None:
        """AssemblyAI's name for the present session, to quote to its support."""
        return self._feed.session_id

    @property
    def expires_at(self) -> int | None:
        """When the present session expires, unix seconds."""
        return self._feed.expires_at

    @property
    def stats(self) -> StreamStats:
        """What the stream did so far."""
        return self._feed.stats

    # ---- messages out ----

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next message. Ends after Termination or `aclose`, or raises what ended
        the stream (`SessionError`), or `StateError` if it was never opened."""
        if not self._entered and not self._feed.closed:
            raise StateError("the stream is not open yet")
        event = await self._events.get()
        if event is not None:
            return event
        self._events.put_nowait(None)  # for whoever asks again
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    # ---- inside ----

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._ended or not self._is_open:
            raise StateError(
                "the stream was ended" if self._ended else "the stream is not open yet"
            )

    def _on_event(self, event: Event) -> None:
        self._events.put_nowait(event)

    def _on_closed(self, failure: SessionError | None) -> None:
        self._failure = failure
        self._ended = True
        self._events.put_nowait(None)
