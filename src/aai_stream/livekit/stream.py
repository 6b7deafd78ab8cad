"""One stream of a LiveKit agent: frames in, speech events out."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from livekit import rtc
from livekit.agents import NOT_GIVEN, APIConnectOptions, stt
from livekit.agents.stt import SpeechEvent
from livekit.agents.utils.aio import ChanClosed

from ..errors import AaiStreamError, StateError
from ..feed import Feed
from ..inbox import MOST_PENDING
from ..lifetime import weakly, when_dropped
from ..messages import Begin, Event, SpeechStarted, Turn, Warning
from ..options import warn_of_lengths
from ..parameters import PARAMETERS
from ..retries import PROGRESS_SECONDS, BusyWaits, asked_for
from ..signatures import spelled_out
from .callbacks import first_of, guarded
from .config import Config
from .events import PASSING, TurnTranslator, speech_began, usage, usage_metrics
from .failures import api_error
from .log import logger
from .options import LiveOptions, live_changes
from .speaking import Speaking

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..stats import StreamStats
    from .stt import STT


@dataclass(frozen=True)
class ServerMessage:
    """What a stream's server said besides turns; `STT` emits it as `server_message`."""

    stream: SpeechStream
    message: Event
    """Begin, Heartbeat, Silence, Warning, Error, SpeakerRevision, Termination, …; see
    `aai_stream.messages`."""


class SpeechStream(stt.RecognizeStream):
    """Made by `STT.stream`. Frames of any rate and number of channels may be pushed.

    Audio goes to the socket inside `push_frame`; until there is one, or while one is
    replaced, it waits, up to `replay_seconds` of it.
    """

    def __init__(
        self, *, stt: STT, conn_options: APIConnectOptions, config: Config
    ) -> None:
        # To the base class an attempt that lasts longer than the timeout is a success,
        # and hanging handshakes would be tried for ever: `_run` judges that itself.
        super().__init__(stt=stt, conn_options=replace(conn_options, timeout=math.inf))
        self._connect_timeout = conn_options.timeout
        self._plugin = stt
        self._config = config
        loop = asyncio.get_running_loop()
        self._input_ended: asyncio.Future[None] = loop.create_future()
        self._feed_made: asyncio.Future[None] = loop.create_future()
        self._session_over: asyncio.Future[AaiStreamError | None]
        self._anchor: float | None = None  # wall clock of the first sample
        self._offset = 0.0
        self._closing: asyncio.Future[None] | None = None
        self._not_before = 0.0  # the server asked for no session earlier than this
        self._busy = BusyWaits(config.replay_seconds)
        self._translator = TurnTranslator()
        self._speaking: Speaking  # once there is a feed
        self._reported_samples = 0  # of usage
        self._feed: Feed | None = None
        if config.sample_rate != "native":
            self._make_feed(config.sample_rate)
        self._task.add_done_callback(weakly(SpeechStream._on_done, self))
        # A stream that is dropped and not closed takes its tasks with it.
        for task in (self._task, self._metrics_task):
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _make_feed(self, sample_rate: int) -> Feed:
        # Weakly, so that the socket keeps no stream alive that nobody reads.
        feed = self._feed = self._config.feed(
            sample_rate,
            weakly(SpeechStream._on_message, self),
            weakly(SpeechStream._on_closed, self),
            insist=self._conn_options.max_retry > 0,
        )
        tell = weakly(SpeechStream._tell, self)
        self._speaking = Speaking(feed, tell, asyncio.get_running_loop())
        when_dropped(self, feed.close)
        self._feed_made.set_result(None)
        return feed

    # ---- audio in ----

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a frame; every chunk that it fills is sent before this returns."""
        if self._input_ch.closed or self._event_ch.closed:
            self._check_input_not_ended()
            self._check_not_closed()
        feed = self._feed or self._make_feed(frame.sample_rate)
        if self._anchor is None:
            self._anchor = time.time() - frame.duration
        feed.push(frame.data, frame.sample_rate, frame.num_channels)

    def flush(self) -> None:
        """Send what is no full chunk yet; with `manual_flush`, end the turn here."""
        self._check_input_not_ended()
        self._check_not_closed()
        if self._feed is None:
            return
        if self._config.manual_flush:
            self._feed.force_endpoint(flush=True)
        else:
            self._feed.flush()

    def end_input(self) -> None:
        """No more audio: the last turn is told, then the events end."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._input_ch.close()
        self._input_ended.set_result(None)

    async def aclose(self) -> None:
        """Close at once; AssemblyAI is told to terminate."""
        await super().aclose()
        if self._feed is not None:
            await self._feed.close()

    # ---- control ----

    @spelled_out(LiveOptions, NOT_GIVEN)
    def update_options(self, **options: Unpack[LiveOptions]) -> None:
        """Change live options, see `LiveOptions`, without reconnecting.

        Raises `OptionError` (a `ValueError`) if one is bad; then none is changed.
        """
        changes = live_changes(options, self._config.model)
        self._apply(changes)
        warn_of_lengths(logger, changes)

    def _apply(self, changes: Mapping[str, Any]) -> None:
        """Make `changes`, as `live_changes` has them."""
        config = self._config = self._config.updated(changes)
        feed = self._feed
        if feed is None:
            return
        if live := {k: v for k, v in changes.items() if k in PARAMETERS}:
            feed.update(live)
        # The next handshake has defaults that depend on what was changed.
        feed.options = config.options(feed.sample_rate)
        feed.chunk_ms = config.chunk_ms

    def force_endpoint(self) -> None:
        """End the current turn now, or once the audio before it has been sent."""
        if self._feed is not None:
            self._feed.force_endpoint()

    @property
    def session_id(self) -> str | None:
        """AssemblyAI's name for the session, to quote to its support; None at first."""
        return self._feed.session_id if self._feed is not None else None

    @property
    def expires_at(self) -> int | None:
        """When the session expires, unix seconds; None at first."""
        return self._feed.expires_at if self._feed is not None else None

    @property
    def stats(self) -> StreamStats | None:
        """What the stream did so far, waiting for its turn to connect included; None
        before the first frame if `sample_rate` is `"native"`."""
        return self._feed.stats if self._feed is not None else None

    # ---- time ----

    @property
    def start_time(self) -> float:
        """Wall clock of the stream's first sample; of its creation, before there is
        one. `speech_start_time` counts from here."""
        return self._start_time if self._anchor is None else self._anchor

    @start_time.setter
    def start_time(self, value: float) -> None:
        if value < 0:
            raise ValueError("start_time must be non-negative")
        self._anchor = value

    @property
    def start_time_offset(self) -> float:
        """Seconds added to the times of words. Reconnecting adds nothing: stream time
        counts the audio that was pushed, whatever became of its sessions."""
        return self._offset

    @start_time_offset.setter
    def start_time_offset(self, value: float) -> None:
        if value < 0:
            raise ValueError("start_time_offset must be non-negative")
        self._offset = value

    # ---- the session ----

    async def _main_task(self) -> None:
        try:
            await super()._main_task()
        finally:
            if self._feed is not None:
                self._speaking.end()

    async def _run(self) -> None:
        """Sessions until the input ends or one fails; LiveKit calls this again for the
        next. Too many sessions are no failure, if any may be tried again."""
        await first_of(self._feed_made, self._input_ended)
        feed = self._feed
        if feed is None:
            return  # the input ended before it began
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(max(0.0, self._not_before - loop.time()))
            while (failure := await self._run_session(feed)) is not None:
                wait = self._busy_wait(failure)
                if wait is None:
                    break
                logger.warning("%s; trying again in %.1f s", failure, wait)
                await asyncio.sleep(wait)
        except asyncio.CancelledError:
            await feed.close()
            raise
        if failure is None:
            return
        self._not_before = loop.time() + asked_for(failure)
        raise api_error(failure, feed.session_id) from failure

    def _busy_wait(self, failure: AaiStreamError) -> float | None:
        if not self._conn_options.max_retry:
            return None
        return self._busy.delay(failure, asyncio.get_running_loop().time())

    async def _run_session(self, feed: Feed) -> AaiStreamError | None:
        """One session; what it failed with, or None when all is told."""
        if self._has_all(feed):
            return None
        loop = asyncio.get_running_loop()
        self._session_over = loop.create_future()
        began, opened = loop.time(), math.inf
        try:
            await feed.open(self._connect_timeout)
            opened = loop.time()
            self._report_connection_acquired(opened - began, False)
            await first_of(self._session_over, self._input_ended)
            if not self._session_over.done():
                await feed.end()
            failure = await self._session_over
        except AaiStreamError as exc:
            failure = exc
        finally:
            self._report_usage()
        if failure is not None and self._has_all(feed):
            logger.warning("%s, but every word was final", failure)
            return None
        if loop.time() - opened > PROGRESS_SECONDS and not self._input_ended.done():
            self._get_on()
        if failure is not None and feed.never_ends:
            return StateError(str(failure))  # which LiveKit doesn't try again
        return failure

    def _get_on(self) -> None:
        """There was progress: failures begin to count anew."""
        self._num_retries = 0
        self._busy.over()

    def _has_all(self, feed: Feed) -> bool:
        """Whether the input has ended and its words are all told."""
        if not self._input_ended.done():
            return False
        feed.finish_input()
        return feed.is_complete

    def _on_closed(self, failure: AaiStreamError | None) -> None:
        if not self._session_over.done():
            self._session_over.set_result(failure)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """LiveKit has had enough of failures, or the stream is over."""
        if self._feed is None:
            return
        if not task.cancelled() and task.exception() is not None:
            self._feed.give_up()
        self._closing = asyncio.ensure_future(self._feed.close())

    def _on_message(self, message: Event) -> None:
        if isinstance(message, Turn):
            self._on_turn(message)
        elif isinstance(message, SpeechStarted):
            self._tell(speech_began(message, self.start_time))
        else:
            self._on_remark(message)

    def _on_turn(self, turn: Turn) -> None:
        for event in self._translator.events(turn, self._offset):
            self._tell(event)
        if turn.is_final:
            self._get_on()
            self._report_usage()

    def _on_remark(self, message: Event) -> None:
        if isinstance(message, Begin):
            self._translator = TurnTranslator()
            logger.info("session %s, expires at %s", message.id, message.expires_at)
        elif isinstance(message, Warning):
            logger.warning("session %s: %s", self.session_id, message.warning)
        self._emit("server_message", ServerMessage(self, message))

    def _emit(
        self, name: Literal["server_message", "metrics_collected"], told: Any
    ) -> None:
        with guarded(name):
            self._plugin.emit(name, told)

    def _report_connection_acquired(
        self, acquire_time: float, connection_reused: bool
    ) -> None:
        with guarded("metrics_collected"):
            super()._report_connection_acquired(acquire_time, connection_reused)

    def _report_usage(self) -> None:
        """Tell how much audio was sent since the last time."""
        feed = self._feed
        if feed is None or feed.heard_samples == self._reported_samples:
            return
        samples = feed.heard_samples - self._reported_samples
        self._reported_samples = feed.heard_samples
        seconds = samples / feed.sample_rate
        self._tell(usage(seconds))
        self._emit("metrics_collected", usage_metrics(self._plugin, seconds))

    # ---- events out ----

    def _tell(self, event: SpeechEvent) -> None:
        """Let it be read; too many that wait end the stream, as in `Stream`."""
        if not self._speaking.is_news(event):
            return
        waiting = self._event_ch.qsize()
        if waiting >= 2 * MOST_PENDING:
            self._on_closed(StateError(f"{waiting} events wait, and nobody reads them"))
        elif waiting < MOST_PENDING or event.type not in PASSING:
            self._event_ch.send_nowait(event)

    async def _metrics_monitor_task(
        self, event_aiter: AsyncIterable[SpeechEvent]
    ) -> None:
        """Nothing: metrics are told with the usage. LiveKit's own task hears every
        event, at a lock and a task's step each."""

    async def __anext__(self) -> SpeechEvent:
        """The next event; raises what ended the stream, if it failed."""
        # Past the base class's copy for that task.
        try:
            return await self._event_ch.recv()
        except ChanClosed:
            pass
        if not self._task.cancelled() and (failure := self._task.exception()):
            raise failure
        raise StopAsyncIteration
