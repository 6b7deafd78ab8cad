"""One websocket of the embedded server, from Begin to the close.

One task reads what the client sends and feeds the recogniser, another one writes.
Whatever ends a session (a mistake of the client, a limit, a failure, Terminate) puts
its last message and the close into the same queue as all other messages. So the order
on the wire is the order in which things happened. Faults are asked at every step; see
`line.py`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import WSMsgType

from ...errors import OptionError
from .. import replies
from ..clock import Clock, Timers, pause
from ..engines.engine import (
    Broken,
    Ended,
    Finished,
    Heard,
    Hypothesis,
    Part,
    Raw,
    Silence,
    SpeechStarted,
)
from . import mulaw
from .heartbeats import Heartbeats
from .lengths import Lengths
from .line import Line
from .outbox import Break, Close, Outbox, Text
from .settings import Settings
from .turns import TurnTeller

logger = logging.getLogger(__name__)

LONGEST_CONTEXT = 1750
"""An `agent_context` of more characters cancels the session when it is sent live."""
HEARTBEAT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
"""How long a client may take to read the last messages, or to answer a close."""


class Conversation:
    """A session on `line`, which has been accepted. `run` it once.

    `part` is the engine's in it. `dice` vary how long Begin and Termination take.
    """

    def __init__(
        self,
        line: Line,
        part: Part,
        settings: Settings,
        clock: Clock,
        dice: random.Random,
        *,
        max_seconds: float,
        api_version: str,
    ) -> None:
        self._line = line
        self._part = part
        self._settings = settings
        self._service = settings.service
        self._clock = clock
        self._dice = dice
        self._max_seconds = max_seconds
        self._api_version = api_version
        self._id = str(uuid.uuid4())
        self._turns = TurnTeller(settings.style)
        self._outbox = Outbox(line)
        self._timers = Timers(clock)
        self._began = 0.0  # by the clock, once Begin is due
        self._heartbeats = Heartbeats(clock)
        self._came_bytes = 0  # of audio, whether it was heard or not
        self._samples = 0  # heard
        self._lengths = Lengths(settings.sample_rate, self._service.short_audio_ms)
        self._is_capture = part.is_recorded  # a recorded conversation is played
        self._close: Close | None = None
        self._terminating = False
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._recognizer = part.open(
            settings.sample_rate, settings.silences, self._heard
        )

    async def run(self, complaints: Sequence[str] = ()) -> None:
        """Hold the session, from Begin until the websocket is closed.

        `complaints` say which parameters were ignored, for the log.
        """
        if self._line.watch is not None:
            settings = self._settings
            self._line.watch.opened(settings.values, settings.sample_rate)
        await pause(self._clock, self._varied(self._service.begin_seconds))
        self._began = self._clock.monotonic()
        if not self._ended and self._part.begins:
            self._begin()
        for heard in self._part.opening:
            self._heard(heard)
        self._log_ignored(complaints)
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._outbox.run())
        try:
            await asyncio.wait(
                (reader, writer, self._over), return_when=asyncio.FIRST_COMPLETED
            )
            while self._ended:
                await asyncio.wait((writer,), timeout=2 * CLOSE_SECONDS)
                if writer.done() or reader.done() or not self._line.faults.late:
                    break
        finally:
            self._end()
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            logger.info(
                "session %s closed (%s): %s, %.1f s of audio in %.1f s",
                self._id[:8],
                self.close_code or "cut",
                self._settings.model,
                self._audio_seconds,
                self._clock.monotonic() - self._began,
            )

    def go_away(self) -> None:
        """Close because the server stops (1001)."""
        self._end(Close(1001, "Server is stopping"))

    @property
    def close_code(self) -> int | None:
        """The code of the close, ours or the client's; None without one."""
        return self._close.code if self._close else self._line.close_code

    @property
    def terminated(self) -> bool:
        """Whether the client asked for the end."""
        return self._terminating

    @property
    def was_cut(self) -> bool:
        """Whether the connection broke: it was neither terminated nor closed by us."""
        return self._close is None and not self._terminating

    @property
    def _ended(self) -> bool:
        """Whether the last message has been sent, or put into the queue."""
        return self._over.done()

    @property
    def _audio_seconds(self) -> float:
        return self._samples / self._settings.sample_rate

    # What the client says

    async def _read(self) -> None:
        async for message in self._line:
            if message.type is WSMsgType.BINARY:
                self._came_bytes += len(message.data)
                self._line.faults.audio_ms = self._settings.ms(self._came_bytes)
            if self._ended or self._terminating:
                continue  # until the socket is closed
            try:
                if message.type is WSMsgType.BINARY:
                    await self._hear(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._obey(message.data)
            except Exception as exc:
                logger.exception("session %s: the recogniser failed", self._id)
                self._heard(Broken(type(exc).__name__))
            await self._outbox.wait_for_room()

    async def _hear(self, data: bytes) -> None:
        if not self._settings.mulaw and len(data) % 2:
            self._fail(replies.bad_input("an odd number of bytes of pcm_s16le"))
            return
        pcm = mulaw.decode(data) if self._settings.mulaw else data
        samples = len(pcm) // 2
        bad_ms = self._lengths.violation(samples)
        if bad_ms is not None:
            self._fail(replies.bad_chunk(bad_ms))
            return
        self._samples += samples
        if self._line.watch is not None:
            self._line.watch.audio(pcm)
        # Waiting for the engine is not the client's fault.
        self._timers.disarm("inactivity")
        await self._recognizer.hear(pcm)
        self._watch_inactivity()

    async def _obey(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            self._fail(replies.bad_input("Invalid JSON"))
            return
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            why = "Invalid Message: an object with a type is expected"
            self._fail(replies.bad_input(why))
            return
        kind = message.pop("type")
        if kind == "UpdateConfiguration":
            self._update(message)
        elif kind == "ForceEndpoint":
            self._recognizer.force_endpoint()
        elif kind == "KeepAlive":
            self._watch_inactivity()
        elif kind == "Terminate":
            if await self._line.faults.before_terminating() and not self._ended:
                self._finish()
        else:
            self._fail(replies.bad_type(kind))

    def _finish(self) -> None:
        self._terminating = True
        self._timers.disarm("inactivity")
        seconds = self._service.revision_seconds
        self._timers.arm("revision", seconds, self._tell_revision)
        self._recognizer.finish()

    def _update(self, fields: dict[str, Any]) -> None:
        context = fields.get("agent_context")
        is_too_long = isinstance(context, str) and len(context) > LONGEST_CONTEXT
        if is_too_long and self._settings.universal_3:
            self._fail(replies.cancelled())
            return
        try:
            self._settings, complaints = self._settings.updated(fields)
        except OptionError as why:
            self._fail(replies.bad_input(str(why)))
            return
        self._turns.style = self._settings.style
        self._recognizer.configure(self._settings.silences)
        self._log_ignored(complaints)
        self._watch_heartbeat()

    # What the recogniser says

    def _heard(self, heard: Heard) -> None:
        if self._ended:
            return
        if isinstance(heard, Hypothesis):
            if heard.words and not heard.end_of_turn:
                self._heartbeats.speech = 1.0
            for message in self._turns.hypothesis(heard):
                self._tell(message)
        elif isinstance(heard, SpeechStarted):
            self._turns.speech_started(heard.at_ms)
        elif isinstance(heard, Silence):
            if self._line.watch is not None:
                self._line.watch.silence(heard.start_ms, heard.end_ms)
            if self._settings.on("acknowledge_silence"):
                self._tell(replies.silence(heard.start_ms, heard.end_ms))
        elif isinstance(heard, Raw):
            self._is_capture = True
            self._tell_raw(heard.message)
        elif isinstance(heard, Ended):
            if heard.how == "close":
                self._end(Close(heard.code, heard.reason))
            else:
                self._outbox.put(Break(heard.how))
        elif isinstance(heard, Finished):
            if not self._is_capture:
                for message in self._turns.farewell():
                    self._tell(message)
            self._tell_revision()
            session = self._clock.monotonic() - self._began
            termination = replies.termination(self._audio_seconds, session)
            seconds = self._varied(self._service.termination_seconds)
            if seconds:
                self._timers.arm(
                    "termination", seconds, lambda: self._terminate(termination)
                )
            else:
                self._terminate(termination)
        else:
            logger.warning("session %s: recogniser broken: %s", self._id, heard.why)
            self._fail(replies.cancelled())

    # What the clock says

    def _watch_inactivity(self) -> None:
        seconds = self._settings.values.get("inactivity_timeout")
        if seconds is not None and not self._ended:
            error = replies.inactive(seconds)
            self._timers.arm("inactivity", seconds, lambda: self._fail(error))

    def _watch_heartbeat(self) -> None:
        if not self._settings.on("session_heartbeat") or self._part.is_recorded:
            self._timers.disarm("heartbeat")
        elif not self._timers.armed("heartbeat"):
            self._timers.arm("heartbeat", HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        self._tell(self._heartbeats.message(self._audio_seconds))
        self._timers.arm("heartbeat", HEARTBEAT_SECONDS, self._beat)

    # What the client is told

    def _begin(self) -> None:
        model = self._settings.model
        logger.info(
            "session %s open: %s, %d Hz",
            self._id[:8],
            model,
            self._settings.sample_rate,
        )
        expires_at = int(self._clock.unix() + self._max_seconds)
        configuration = self._part.configuration
        if configuration is None:
            configuration = self._settings.configuration(self._api_version)
        self._tell(replies.begin(self._id, expires_at, configuration))
        self._timers.arm(
            "expiry", self._max_seconds, lambda: self._fail(replies.expired())
        )
        if model in self._service.denied_models:
            seconds = self._service.denied_seconds
            cancelled = replies.cancelled()
            self._timers.arm("denied", seconds, lambda: self._fail(cancelled))
        self._watch_inactivity()
        self._watch_heartbeat()

    def _tell_revision(self) -> None:
        for revision in self._turns.revision():
            self._tell(revision)

    def _terminate(self, termination: replies.Message) -> None:
        self._tell(termination)
        self._end(Close(1000))

    def _varied(self, seconds: float) -> float:
        """`seconds`, give or take half."""
        return seconds * self._dice.uniform(0.5, 1.5)

    def _log_ignored(self, complaints: Sequence[str]) -> None:
        if self._part.is_recorded:
            return  # no parameter changes what is told
        for complaint in complaints:
            logger.warning("session %s: ignored: %s", self._id[:8], complaint)

    def _fail(self, error: replies.Message) -> None:
        if not self._ended:
            self._tell(error)
            self._end(Close(error["error_code"], replies.CLOSE_REASON))

    def _tell(self, message: replies.Message) -> None:
        self._outbox.put(message)

    def _tell_raw(self, message: Any) -> None:
        if isinstance(message, dict) and isinstance(message.get("type"), str):
            self._tell(message)
        elif isinstance(message, str):
            self._outbox.put(Text(message))
        else:
            self._outbox.put(Text(msgspec.json.encode(message).decode()))

    def _end(self, close: Close | None = None) -> None:
        """End the session: release everything, and queue `close` behind the rest."""
        if not self._ended:
            self._over.set_result(None)
            self._timers.clear()
            self._recognizer.close()
            self._close = close
            if close is not None:
                self._outbox.put(close)
