"""One stream of a LiveKit agent: frames in, speech events out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from livekit import rtc
from livekit.agents import (
    NOT_GIVEN,
    APIConnectionError,
    APIConnectOptions,
    APIError,
    stt,
)
from livekit.agents.stt import SpeechEvent
from livekit.agents.utils.aio import ChanClosed

from ..inbox import has_room
from ..lifetime import weakly
from ..messages import Begin, Event, SpeechStarted, Turn, Warning
from ..options import warn_of_lengths
from ..parameters import PARAMETERS
from ..protocol.events import Retry
from ..signatures import spelled_out
from .callbacks import first_of, guarded
from .config import Config
from .events import (
    ACCOMPANYING,
    PASSING,
    TurnTranslator,
    speech_began,
    usage,
    usage_metrics,
)
from .failures import api_error
from .log import logger
from .options import LiveOptions, live_changes
from .speaking import Speaking

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Unpack

    from ..runner import Runner
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
        # The runner tries again itself, as these options say; the base class would
        # count otherwise, and knows nothing of Retry-After.
        super().__init__(stt=stt, conn_options=replace(conn_options, max_retry=0))
        self._retry_options = conn_options
        self._plugin = stt
        self._config = config
        loop = asyncio.get_running_loop()
        self._input_ended: asyncio.Future[None] = loop.create_future()
        self._runner_made: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[None] = loop.create_future()
        self._anchor: float | None = None  # wall clock of the first sample
        self._offset = 0.0
        self._translator = TurnTranslator()
        self._speaking: Speaking  # once there is a runner
        self._reported_samples = 0  # of usage
        self._runner: Runner | None = None
        if config.sample_rate != "native":
            self._make_runner(config.sample_rate)
        self._task.add_done_callback(weakly(SpeechStream._on_done, self))
        # A stream that is dropped and not closed takes its tasks with it.
        for task in (self._task, self._metrics_task):
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _make_runner(self, sample_rate: int) -> Runner:
        # Weakly, so that the socket keeps no stream alive that nobody reads.
        runner = self._runner = self._config.runner(
            weakly(SpeechStream._on_told, self), sample_rate, self._retry_options
        )
        tell = weakly(SpeechStream._tell, self)
        self._speaking = Speaking(runner, tell, asyncio.get_running_loop())
        runner.close_without(self)
        self._runner_made.set_result(None)
        return runner

    # ---- audio in ----

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a frame; every chunk that it fills is sent before this returns."""
        if self._input_ch.closed or self._event_ch.closed:
            self._check_input_not_ended()
            self._check_not_closed()
        runner = self._runner or self._make_runner(frame.sample_rate)
        if self._anchor is None:
            self._anchor = self._config.connector.time_of_day() - frame.duration
        runner.gate.push(frame.data, frame.sample_rate, frame.num_channels)

    def flush(self) -> None:
        """Send what is no full chunk yet; with `manual_flush`, end the turn here."""
        self._check_input_not_ended()
        self._check_not_closed()
        runner = self._runner
        if runner is None:
            return
        if self._config.manual_flush:
            runner.do(runner.protocol.sending.force_endpoint, flush=True)
        else:
            runner.do(runner.protocol.sending.flush)

    def end_input(self) -> None:
        """No more audio: the last turn is told, then the events end."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._input_ch.close()
        self._input_ended.set_result(None)

    async def aclose(self) -> None:
        """Close at once; AssemblyAI is told to terminate."""
        await super().aclose()
        if self._runner is not None:
            await self._runner.close()

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
        runner = self._runner
        if runner is None:
            return
        if live := {k: v for k, v in changes.items() if k in PARAMETERS}:
            runner.do(runner.protocol.update, live)
        # The next handshake has defaults that depend on what was changed.
        protocol = runner.protocol
        protocol.options = config.options(protocol.ring.sample_rate)
        protocol.ring.chunk_ms = config.chunk_ms

    def force_endpoint(self) -> None:
        """End the current turn now, or once the audio before it has been sent."""
        if (runner := self._runner) is not None:
            runner.do(runner.protocol.sending.force_endpoint, flush=False)

    @property
    def session_id(self) -> str | None:
        """AssemblyAI's name for the session, to quote to its support; None at first."""
        return self._runner.protocol.session_id if self._runner is not None else None

    @property
    def expires_at(self) -> int | None:
        """When the session expires, unix seconds; None at first."""
        return self._runner.protocol.expires_at if self._runner is not None else None

    @property
    def recording(self) -> Path | None:
        """The file that the recorded call will be, soon after the stream is over; None
        if it is not recorded, and before the first frame if `sample_rate` is
        `"native"`."""
        return self._runner.recording if self._runner is not None else None

    @property
    def stats(self) -> StreamStats | None:
        """What the stream did so far, waiting for its turn to connect included; None
        before the first frame if `sample_rate` is `"native"`."""
        return self._runner.stats if self._runner is not None else None

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

    # ---- its life ----

    async def _main_task(self) -> None:
        try:
            await super()._main_task()
        except APIError as exc:
            if self._runner is not None and self._runner.protocol.retries.gave_up:
                raise APIConnectionError(str(exc)) from exc  # as the base class does
            raise
        finally:
            if self._runner is not None:
                self._speaking.end()

    async def _run(self) -> None:
        """Sessions until the input has come to its end, or the stream has failed."""
        await first_of(self._runner_made, self._input_ended)
        runner = self._runner
        if runner is None:
            return  # the input ended before it began
        try:
            runner.start()
            await first_of(self._over, self._input_ended)
            runner.end()
            await runner.over()
        except asyncio.CancelledError:
            await runner.close()
            raise
        if (failure := runner.protocol.failure) is None:
            return
        raise api_error(failure, self.session_id) from failure

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if self._runner is not None:
            self._runner.stop()

    # ---- what it tells ----

    def _on_told(self, told: Event | Retry | None) -> None:
        if isinstance(told, Turn):
            self._on_turn(told)
        elif isinstance(told, SpeechStarted):
            self._tell(speech_began(told, self.start_time))
        elif isinstance(told, Retry):
            self._on_retry(told)
        elif told is not None:
            self._on_remark(told)
        elif not self._over.done():
            self._report_usage()
            self._over.set_result(None)

    def _on_retry(self, retry: Retry) -> None:
        self._report_usage()
        if retry.counts:
            error = api_error(retry.failure, self.session_id)
            self._emit_error(error, recoverable=True)

    def _on_turn(self, turn: Turn) -> None:
        for event in self._translator.events(turn, self._offset):
            self._tell(event)
        if turn.is_final:
            self._report_usage()

    def _on_remark(self, message: Event) -> None:
        if isinstance(message, Begin):
            self._translator = TurnTranslator()
            if (runner := self._runner) is not None and runner.protocol.session:
                session = runner.protocol.session
                waited = session.began_at - session.asked_at
                self._report_connection_acquired(waited, connection_reused=False)
        elif isinstance(message, Warning):
            fields = self._runner.reporter.fields() if self._runner else None
            text = "session %s: %s"
            logger.warning(text, self.session_id, message.warning, extra=fields)
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
        if self._runner is None:
            return
        protocol = self._runner.protocol
        heard = protocol.lineup.heard_samples
        if heard == self._reported_samples:
            return
        seconds = (heard - self._reported_samples) / protocol.ring.sample_rate
        self._reported_samples = heard
        self._tell(usage(seconds))
        now = self._config.connector.time_of_day()
        self._emit("metrics_collected", usage_metrics(self._plugin, seconds, now))

    # ---- events out ----

    def _tell(self, event: SpeechEvent) -> None:
        """Let it be read; too many unread end the stream, as in `Stream`."""
        if not self._speaking.is_news(event):
            return
        bounded = event.type not in ACCOMPANYING
        if not bounded or has_room(self._event_ch.qsize(), event.type in PASSING):
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
