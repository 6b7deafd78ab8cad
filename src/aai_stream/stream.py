"""A stream for Python programs: audio in by calls, messages out by iteration."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._core import AudioRing, as_bytes
from .connection.connector import Connector
from .errors import AaiStreamError, SessionError, StateError
from .feed import Feed
from .inbox import Inbox
from .lifetime import running_loop, weakly, when_dropped
from .messages import Event, Termination
from .options import Options, warn_of_lengths
from .parameters import LiveParameters
from .reconnecting import Reconnector
from .retries import Retries
from .signatures import spelled_out
from .stats import StreamStats

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .typing import Audio

logger = logging.getLogger("aai_stream")

LONGEST_WRITE_SECONDS = 0.5
"""More than this goes into the ring in steps, with chunks sent between: the ring need
not hold all of a long push at once."""

CLOSE_SECONDS = 20.0
"""How long the end may take without a sign of the server; 11 s have been seen."""

END_RETRIES = 10
"""How often a session is replaced, without progress, when no more audio will come."""


class Stream:
    """Audio in, turns out; made by `aai_stream.connect`.

    Push audio of any rate as it comes; iterate over the server's messages. The two
    may be done by different tasks, but all of it on one event loop and its thread,
    except for `push_threadsafe`.
    Times in messages are stream time: ms since the first sample that was pushed. Up to
    `MOST_PENDING` messages wait for the iteration; beyond, only what matters does.

    A session that is lost is replaced (a warning in the log, another Begin), and audio
    that no final turn had covered is sent again. What can't be is told as `AudioLost`.

    Whoever pushes or iterates holds it. When nobody does and it was not closed, its
    session is ended, with a warning in the log.
    """

    def __init__(
        self,
        connector: Connector,
        options: Options,
        ring: AudioRing,
        *,
        catch_up_rate: float,
        connect_timeout: float,
        close_timeout: float,
        replay_seconds: float,
        max_retries: int,
        skip_silence: bool,
    ) -> None:
        # Weakly, so that the socket keeps no stream alive that nobody uses.
        finish = weakly(Stream._finish, self)
        self._inbox = Inbox(finish)
        self._feed = Feed(
            connector,
            options,
            ring,
            catch_up_rate=catch_up_rate,
            close_timeout=close_timeout,
            on_event=self._inbox.put,
            on_closed=weakly(Stream._session_closed, self),
            skip_silence=skip_silence,
            insist=max_retries > 0,
        )
        self._sample_rate = ring.sample_rate
        self._reconnector = Reconnector(
            self._feed,
            Retries(max_retries, patience=replay_seconds),
            connect_timeout,
            finish,
        )
        self._loop = running_loop()
        # By other threads: PCM16, rate, channels.
        self._handed_over: deque[tuple[bytes, int, int]] = deque()
        self._failed: asyncio.Future[None] | None = None  # letting go of what is left
        self._finalizer: weakref.finalize[Any, Any] | None = None  # once entered
        self._failure: AaiStreamError | None = None
        self._entered = False
        self._is_open = False
        self._ended = False  # takes no more audio
        self._is_over = False
        self._is_complete = False  # over, without Termination

    # ---- life ----

    async def __aenter__(self) -> Self:
        if self._entered or self._feed.closed:
            raise StateError("a stream can be entered only once")
        self._entered = True
        self._loop = asyncio.get_running_loop()
        self._finalizer = when_dropped(
            self, partial(_close_dropped, self._reconnector, self._feed)
        )
        try:
            await self._reconnector.connect()
        except BaseException:
            self._finish(None)
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

    async def end(self) -> Termination | None:
        """No more audio: send what is left, wait for the last turn and Termination.

        Iterate on to read them; the iteration then ends. A session that is lost
        meanwhile is replaced, as often as `END_RETRIES`, if words are missing. Returns
        None, and logs it, if none are and only Termination never came.

        Raises `TimedOutError` if the server took no audio, or told neither a turn nor
        Termination, for `close_timeout` seconds, and another session didn't either:
        then words may be missing. Raises what ended the stream, if it failed.
        """
        self._check_open()
        self._take_handed_over()
        self._ended = True
        self._reconnector.end(END_RETRIES)
        self._feed.finish_input()
        if not self._feed.is_open and self._feed.is_complete:
            await self._reconnector.stop()
            self._complete("the connection was lost")
        while not self._is_complete:
            await self._reconnector.done()
            if self._failure is not None:
                raise self._failure
            if self._is_over and not self._is_complete:
                raise StateError("the stream was closed before it came to its end")
            if not self._is_over and (termination := await self._feed.end()):
                return termination
        return None

    def _complete(self, why: object) -> None:
        logger.warning("%s, but every word was final", why)
        self._is_complete = True
        self._finish(None)

    async def aclose(self) -> None:
        """Close at once, without waiting for the last turn; harmless when closed.

        The server is told to terminate all the same, since it bills by the time a
        session is open.
        """
        await _close(self._reconnector, self._feed)
        self._finish(None)

    def _session_closed(self, failure: SessionError | None) -> None:
        if self._is_over:
            return
        if failure is not None and self._feed.is_complete:
            self._complete(failure)
        elif self._feed.never_ends:
            self._finish(failure)
        else:
            self._reconnector.session_closed(failure)

    def _finish(self, failure: AaiStreamError | None) -> None:
        if self._is_over:
            return
        self._is_over = self._ended = True
        if self._finalizer is not None:
            self._finalizer.detach()
        self._failure = failure
        if failure is not None:
            self._feed.give_up()
            self._failed = asyncio.ensure_future(self._feed.close())
        self._inbox.close()

    # ---- audio in ----

    def push(
        self, data: Audio, *, sample_rate: int | None = None, num_channels: int = 1
    ) -> None:
        """Take audio; every chunk that it fills goes to the socket before this returns.

        Before the stream is entered, while the socket is full, or when audio comes
        faster than `catch_up_rate`, audio waits: up to `replay_seconds` of it, then the
        oldest is dropped and counted. `drain` waits for its turn.

        Args:
            data: interleaved int16 in any contiguous buffer (bytes, NumPy, LiveKit's
                `AudioFrame.data`, …), of any length; or float32 from -1 to 1.
            sample_rate: of `data` in Hz, the stream's own if None.
            num_channels: of `data`; they are mixed down.

        Raises:
            AudioError: `data` is no such audio, or the first of it is how a file
                begins; nothing was taken.
            SessionError: what ended the stream, if it failed.
            StateError: the stream was ended, or another thread or a fork calls.
        """
        self._check_not_ended()
        rate = self._sample_rate if sample_rate is None else sample_rate
        view = as_bytes(data, rate, num_channels)
        step = 2 * num_channels * int(LONGEST_WRITE_SECONDS * rate)
        for start in range(0, len(view), step):
            self._feed.push(view[start : start + step], rate, num_channels)

    def push_threadsafe(
        self, data: Audio, *, sample_rate: int | None = None, num_channels: int = 1
    ) -> None:
        """`push`, for threads that are not the event loop's, such as a sound card's.

        Copies `data` and hands it to the loop, in the order of the calls. `end` takes
        what was handed over before.

        Raises as `push` does; also `StateError` before the stream is entered, unless it
        was made on the event loop.
        """
        self._check_not_ended()
        if self._loop is None:
            raise StateError("the stream is not open yet")
        rate = self._sample_rate if sample_rate is None else sample_rate
        pcm = self._feed.pcm_of(data, rate, num_channels)
        self._handed_over.append((pcm, rate, num_channels))
        try:
            self._loop.call_soon_threadsafe(self._take_handed_over)
        except RuntimeError:
            raise StateError("the stream's event loop is closed") from None

    def _take_handed_over(self) -> None:
        while self._handed_over and not self._ended:
            pcm, rate, num_channels = self._handed_over.popleft()
            self.push(pcm, sample_rate=rate, num_channels=num_channels)

    async def drain(self) -> None:
        """Wait until all full chunks are on their way.

        For audio that comes faster than the network takes it: with a `drain` after
        each, pushes shorter than `replay_seconds` never drop anything.

        Raises what ended the stream, if it failed; `StateError` before it is entered.
        """
        if not self._is_open and not self._is_over:
            raise StateError("the stream is not open yet")
        await self._feed.drain()
        while self._feed.has_backlog and not self._is_over:
            await self._reconnector.done()
            await self._feed.drain()
        if self._failure is not None:
            raise self._failure

    def flush(self) -> None:
        """Send what was pushed and is no full chunk yet, padded to 50 ms with silence.

        Drains the resampler, so do it where speech rests. While other audio waits, the
        rest stays with what follows it.
        """
        self._check_not_ended()
        self._feed.flush()

    # ---- control ----

    @spelled_out(LiveParameters)
    def update(self, **live: Unpack[LiveParameters]) -> None:
        """Change live parameters, for example `keyterms_prompt` or `agent_context`.

        Raises `OptionError` if any can't be changed live, is bad, or is not for the
        session's model; then none is.
        """
        self._check_open()
        self._feed.update(live)
        warn_of_lengths(logger, live)

    def force_endpoint(self) -> None:
        """End the current turn, behind the audio that waits to be sent.

        Audio that is no full chunk yet is in the next turn, unless it was flushed.
        """
        self._check_not_ended()
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
        return replace(self._feed.stats, unread_messages=self._inbox.left_out)

    # ---- messages out ----

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next message. Ends after Termination or `aclose`, or raises what ended
        the stream (`SessionError`), or `StateError` if it was never opened."""
        if not self._entered and not self._feed.closed:
            raise StateError("the stream is not open yet")
        if (event := await self._inbox.get()) is not None:
            return event
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    # ---- inside ----

    def _check_not_ended(self) -> None:
        if self._ended:
            raise self._failure or StateError("the stream was ended")

    def _check_open(self) -> None:
        self._check_not_ended()
        if not self._is_open:
            raise StateError("the stream is not open yet")


async def _close(reconnector: Reconnector, feed: Feed) -> None:
    await reconnector.stop()
    await feed.close()


async def _close_dropped(reconnector: Reconnector, feed: Feed) -> None:
    logger.warning("a stream was dropped and not closed; its session is ended")
    await _close(reconnector, feed)
