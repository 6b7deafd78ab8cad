"""A stream for Python programs: audio in by calls, messages out by iteration."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from .errors import StateError
from .inbox import Inbox
from .lifetime import running_loop
from .messages import Event, Termination
from .options import warn_of_lengths
from .parameters import LiveParameters
from .protocol.stream import StreamState
from .signatures import spelled_out
from .stats import StreamStats

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self, Unpack

    from .runner import Runner, Tell
    from .typing import Audio

logger = logging.getLogger("aai_stream")


class Stream:
    """Audio in, turns out; made by `aai_stream.connect`.

    Push audio of any rate as it comes; iterate over the server's messages. The two
    may be done by different tasks, but all of it on one event loop and its thread,
    except for `push_threadsafe`.
    Times in messages are stream time: ms since the first sample that was pushed. Up to
    `MOST_UNREAD` messages wait for the iteration; beyond, only what matters does.

    A session that is lost is replaced (a warning in the log, another Begin), and audio
    that no final turn had covered is sent again. What can't be is told as `AudioLost`.

    Whoever pushes or iterates holds it. When nobody does and it was not closed, its
    session is ended, with a warning in the log.
    """

    def __init__(self, make_runner: Callable[[Tell], Runner]) -> None:
        self._inbox = Inbox()
        # It tells the inbox, so that no socket keeps a stream alive that nobody uses.
        self._runner = make_runner(self._inbox.put)
        self._protocol = self._runner.protocol
        self._gate = self._runner.gate
        self._loop = running_loop()
        # By other threads: PCM16, rate, channels.
        self._handed_over: deque[tuple[bytes, int, int]] = deque()
        self._entered = self._was_open = False

    # ---- life ----

    async def __aenter__(self) -> Self:
        if self._entered or self._protocol.is_over:
            raise StateError("a stream can be entered only once")
        self._entered = True
        self._loop = asyncio.get_running_loop()
        self._runner.close_without(self)
        try:
            self._runner.start()
            await self._runner.opened()
        except BaseException:
            await self.aclose()
            raise
        self._was_open = True
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
        meanwhile is replaced, ten times at most, if words are missing. Returns
        None, and logs it, if none are and only Termination never came.

        Raises `TimedOutError` if the server took no audio, or told neither a turn nor
        Termination, for `close_timeout` seconds, and another session didn't either:
        then words may be missing. Raises what ended the stream, if it failed.
        """
        self._check_open()
        self._take_handed_over()
        self._runner.end()
        await self._runner.over()
        self._check_not_failed()
        if self._protocol.state is StreamState.CLOSED:
            raise StateError("the stream was closed before it came to its end")
        session = self._protocol.session
        return session.termination if session is not None else None

    async def aclose(self) -> None:
        """Close at once, without waiting for the last turn; harmless when closed.

        The server is told to terminate all the same, since it bills by the time a
        session is open. Waits until the recording of the call, if there is to be one,
        is written.
        """
        await self._runner.close()
        await self._runner.written()

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
        if self._protocol.state is not StreamState.OPEN:
            self._check_not_ended()
        if sample_rate is None:
            sample_rate = self._protocol.ring.sample_rate
        self._gate.push(data, sample_rate, num_channels)

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
        rate = self._protocol.ring.sample_rate if sample_rate is None else sample_rate
        pcm = self._protocol.ring.pcm_of(data, rate, num_channels)
        self._handed_over.append((pcm, rate, num_channels))
        try:
            self._loop.call_soon_threadsafe(self._take_handed_over)
        except RuntimeError:
            raise StateError("the stream's event loop is closed") from None

    def _take_handed_over(self) -> None:
        while self._handed_over and self._protocol.state is StreamState.OPEN:
            pcm, rate, num_channels = self._handed_over.popleft()
            self.push(pcm, sample_rate=rate, num_channels=num_channels)

    async def drain(self) -> None:
        """Wait until all full chunks are on their way.

        For audio that comes faster than the network takes it: with a `drain` after
        each, pushes shorter than `replay_seconds` never drop anything.

        Raises what ended the stream, if it failed; `StateError` before it is entered.
        """
        if not self._protocol.is_over:
            self._check_open()
        await self._runner.drain()
        self._check_not_failed()

    def flush(self) -> None:
        """Send what was pushed and is no full chunk yet, padded to 50 ms with silence.

        Drains the resampler, so do it where speech rests. While other audio waits, the
        rest stays with what follows it.
        """
        self._check_not_ended()
        self._runner.do(self._protocol.sending.flush)

    # ---- control ----

    @spelled_out(LiveParameters)
    def update(self, **live: Unpack[LiveParameters]) -> None:
        """Change live parameters, for example `keyterms_prompt` or `agent_context`.

        Raises `OptionError` if any can't be changed live, is bad, or is not for the
        session's model; then none is.
        """
        self._check_open()
        self._runner.do(self._protocol.update, live)
        warn_of_lengths(logger, live)

    def force_endpoint(self) -> None:
        """End the current turn, behind the audio that waits to be sent.

        Audio that is no full chunk yet is in the next turn, unless it was flushed.
        """
        self._check_not_ended()
        self._runner.do(self._protocol.sending.force_endpoint, flush=False)

    def keep_alive(self) -> None:
        """Reset the server's `inactivity_timeout` while there is no audio to send."""
        self._check_open()
        self._runner.do(self._protocol.keep_alive, self._runner.now())

    @property
    def session_id(self) -> str | None:
        """AssemblyAI's name for the present session, to quote to its support."""
        return self._protocol.session_id

    @property
    def expires_at(self) -> int | None:
        """When the present session expires, unix seconds."""
        return self._protocol.expires_at

    @property
    def recording(self) -> Path | None:
        """The file that the recorded call will be, once the stream is closed; None if
        it is not recorded."""
        return self._runner.recording

    @property
    def stats(self) -> StreamStats:
        """What the stream did so far."""
        return replace(self._runner.stats, unread_messages=self._inbox.left_out)

    # ---- messages out ----

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next message. Ends after Termination or `aclose`, or raises what ended
        the stream (`SessionError`), or `StateError` if it was never opened."""
        if not self._entered and not self._protocol.is_over:
            raise StateError("the stream is not open yet")
        if (event := await self._inbox.get()) is not None:
            return event
        self._check_not_failed()
        raise StopAsyncIteration

    # ---- inside ----

    def _check_not_failed(self) -> None:
        # What entering failed with was raised there.
        if self._was_open and self._protocol.failure is not None:
            raise self._protocol.failure

    def _check_not_ended(self) -> None:
        self._check_not_failed()
        if self._protocol.state is not StreamState.OPEN:
            raise StateError("the stream was ended")

    def _check_open(self) -> None:
        self._check_not_ended()
        if self._protocol.session is None:
            raise StateError("the stream is not open yet")
