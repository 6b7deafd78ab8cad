"""One connection to AssemblyAI: handshake, Begin, audio out, messages in, Terminate.

A session knows where in the stream it began and translates its own clock, which counts
the audio it was sent, to stream time. It never reconnects: that is the stream's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from . import messages
from .clock import SessionClock
from .connection.watchdog import Watchdog
from .connection.wire import ABNORMAL, OpenWire, Wire
from .errors import (
    DroppedError,
    EndedError,
    ExpiredError,
    MessageError,
    SessionError,
    UnfinishedError,
)
from .failures import closed_error
from .finals import Finals
from .messages import Begin, Event, Termination, Turn

if TYPE_CHECKING:
    from ._core import Chunk
    from .connection.credentials import Credentials
    from .options import Options

logger = logging.getLogger("aai_stream")

FORCE_ENDPOINT = b'{"type":"ForceEndpoint"}'
KEEP_ALIVE = b'{"type":"KeepAlive"}'
TERMINATE = b'{"type":"Terminate"}'

MOST_EARLY = 1000
"""Messages kept from a session that waits to take over, and has heard nothing yet."""

CODE_SECONDS = 1.0
"""How long an Error without a code waits for the close that has one."""


class Session:
    """A session; open after `begin`, heard after `listen`.

    Attributes:
        id: AssemblyAI's name for it, to quote in a support request.
        expires_at: unix seconds, None if the server didn't say.
        configuration: what the server understood, as `Begin` told it.
        model: the speech model, as far as it is known.
        told_turn: whether any turn was told.
        lasted_seconds: from Begin to the end, once that has come.
        malformed_messages: how many messages could not be read.
        options: as they were last updated.
        clock: from this session's ms to stream time.
        finals: sees that turns come to their end.
    """

    def __init__(
        self, credentials: Credentials, options: Options, sample_rate: int
    ) -> None:
        self.id = ""
        self.expires_at: int | None = None
        self.configuration: dict[str, Any] = {}
        self.model = options.model({})
        self.told_turn = False
        self.lasted_seconds = 0.0
        self._began_at = 0.0  # by the loop's clock
        self.malformed_messages = 0
        self.clock = SessionClock(sample_rate)
        self.finals = Finals(
            sample_rate,
            self._tell,
            self._lose_unfinished,
            lambda: self.clock.to_stream_ms(self.clock.samples_ms),
        )
        self._credentials = credentials
        self.options = options
        self._on_event: Callable[[Event], None] | None = None
        self._on_closed: Callable[[SessionError | None], None] | None = None
        self._early: list[Event] = []  # told before `listen`
        self._wire: Wire  # once connected
        self._is_connected = False
        loop = asyncio.get_running_loop()
        self._begin: asyncio.Future[None] = loop.create_future()
        # Nobody waits for it any more if the time for connecting was over before.
        self._begin.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._over: asyncio.Future[None] = loop.create_future()  # nothing more comes
        self._is_open = False
        self._terminating = False  # we have asked for the end
        self._closing = False  # we have stopped listening
        self._end: tuple[SessionError | None] | None = None  # what it ended with
        self._closer: asyncio.Future[None] | None = None
        self._watchdog: Watchdog | None = None
        self._covered_ms = 0  # of this session's audio, by the words of turns
        self._last_error: messages.Error | None = None
        self._termination: Termination | None = None

    async def connect(self, open_wire: OpenWire, url: str) -> None:
        """Connect to `url`.

        Raises `SessionError` by type; what there is must be closed then.
        """
        options = self.options
        headers, query = await self._credentials.for_connect()
        self._wire = await open_wire(
            f"{url}?{urlencode(options.query() | query)}",
            headers,
            on_text=self._receive,
            on_closed=self._wire_closed,
        )
        self._is_connected = True

    async def begin(self) -> None:
        """Wait for Begin; otherwise as `connect`."""
        options = self.options
        await self._begin
        logger.debug("session %s is open", self.id)
        for difference in options.differences(self.configuration):
            told = self._credentials.redact(difference)[:300]
            logger.warning("session %s: %s", self.id, told)

    def watch(self, seconds: float) -> None:
        """From here on it is lost if the server says nothing for so long."""
        lost = DroppedError(f"the server said nothing for {seconds:g} s")
        self._watchdog = Watchdog(seconds, lambda: self.lose(lost))

    def listen(
        self,
        on_event: Callable[[Event], None],
        on_closed: Callable[[SessionError | None], None],
    ) -> None:
        """Hear what the session says.

        `on_event` gets every message from Begin on, its times moved to stream time and
        turns in their order. `on_closed` is called once when the session ends: with
        None after the Termination that was asked for, otherwise with what happened.
        """
        self._on_event = on_event
        self._on_closed = on_closed
        early, self._early = self._early, []
        for event in early:
            on_event(event)
        if self._end is not None:
            on_closed(*self._end)

    @property
    def has_expired(self) -> bool:
        """Whether the server ended it because of its age."""
        return self._end is not None and isinstance(self._end[0], ExpiredError)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._over.done()

    # ---- out ----

    @property
    def writable(self) -> bool:
        """Whether the socket takes more audio now."""
        return self._wire.writable

    @property
    def silent_seconds(self) -> float:
        """How long there has been no sign of the server, pongs included."""
        return self._wire.silent_seconds

    def send_audio(self, chunk: Chunk) -> None:
        """Send a chunk at once."""
        self.clock.sent(chunk)
        self._wire.send_audio(chunk)

    def update(self, message: dict[str, Any]) -> None:
        """Send an UpdateConfiguration made by `Options.updated`."""
        self._wire.send_text(msgspec.json.encode(message))

    def force_endpoint(self) -> None:
        """Ask for the current turn to end now."""
        self._wire.send_text(FORCE_ENDPOINT)

    def keep_alive(self) -> None:
        """Reset the server's `inactivity_timeout` without sending audio."""
        self._wire.send_text(KEEP_ALIVE)

    async def terminate(self, timeout: float) -> Termination | None:
        """End the session: the last turn and Termination are told first.

        A server that has audio to work through may take its time, as long as its
        turns get on: after `timeout` seconds without that the session is lost
        (`UnfinishedError`). Returns None if it was.
        """
        self._terminating = True
        self._wire.send_text(TERMINATE)
        before = -1
        while not self._over.done() and self._covered_ms > before:
            before = self._covered_ms
            await asyncio.wait([self._over], timeout=timeout)
        self.lose(
            UnfinishedError(
                f"the server did not finish: nothing came for {timeout:g} s"
            )
        )
        await self.close()
        return self._termination

    def fall_silent(self) -> None:
        """Tell nothing more from here on, not even the end; `close` is still due."""
        self._closing = True
        self._on_closed = None

    async def close(self) -> None:
        """End the session without waiting for its last turn; harmless when closed."""
        self._closing = True
        self.finals.stop()
        if self._is_connected:
            if not self._terminating:
                self._terminating = True
                self._wire.send_text(TERMINATE)
            await self._wire.close()

    # ---- in ----

    def _receive(self, text: bytes) -> None:
        if self._watchdog is not None:
            self._watchdog.heard()
        try:
            event = messages.decode(text)
        except MessageError as exc:
            self.malformed_messages += 1
            logger.warning("a message could not be read: %s", exc)
            return
        if self._closing:
            return
        if not self._is_open:
            self._receive_first(event)
            return
        if isinstance(event, Turn):
            self._receive_turn(event)
            return
        if isinstance(event, (messages.Error, messages.Warning)):
            messages.redact(event, self._credentials.redact)
            if isinstance(event, messages.Error):
                self._last_error = event
        elif isinstance(event, Termination):
            self._compare_accounts(event)
            if not self.finals.finish():
                return
            self._termination = event
        elif isinstance(event, messages.SpeechStarted):
            self.finals.speech_started()
        messages.retime(event, self.clock.to_stream_ms)
        self._tell(event)
        if self._termination is None or self._over.done():
            return
        if self._terminating:
            self._over.set_result(None)
        else:  # the server ended it on its own; it may forget to close, too
            self._ended(self._why_closed(1000, ""))

    def _receive_turn(self, turn: Turn) -> None:
        self._last_error = None  # it didn't end the session
        self.told_turn = True
        if turn.words:
            # Bounded by what was sent, so that progress comes to an end.
            end = min(turn.words[-1].end, self.clock.samples_ms)
            self._covered_ms = max(self._covered_ms, end)
        if not self.clock.is_stream_time:
            messages.retime(turn, self.clock.to_stream_ms)
        turn.is_final = self.options.is_final(turn, self.model)
        self.finals.take(turn)

    def _lose_unfinished(self) -> None:
        self._ended(DroppedError("the server did not end a turn"))

    def _tell(self, event: Event) -> None:
        if self._closing:
            return
        if self._on_event is not None:
            self._on_event(event)
        elif len(self._early) < MOST_EARLY:
            self._early.append(event)

    def _compare_accounts(self, termination: Termination) -> None:
        """Say so if the server, which bills, counted other audio than was sent."""
        counted = termination.audio_duration_seconds
        sent = self.clock.samples_ms / 1000
        if self._terminating and counted is not None and abs(counted - sent) > 1:
            logger.warning(
                "session %s was sent %.2f s of audio, the server counted %.2f s",
                self.id,
                sent,
                counted,
            )

    def _receive_first(self, event: Event) -> None:
        if self._begin.done():
            return
        if isinstance(event, Begin):
            self.id = event.id
            self.expires_at = event.expires_at
            self.configuration = event.configuration or {}
            told = self.options.model(self.configuration)
            self.model = self._credentials.redact(told)[:100]  # for logs and errors
            if self.options.formats_turns(self.model):
                self.finals.expect_formatted()
            self._began_at = asyncio.get_running_loop().time()
            self._is_open = True
            self._begin.set_result(None)
            self._tell(event)
        elif isinstance(event, messages.Error):
            # A close with the same code follows, or should.
            self._last_error = event
            if event.error_code is not None:
                self._refuse()
            else:
                asyncio.get_running_loop().call_later(CODE_SECONDS, self._refuse)

    def _refuse(self) -> None:
        if not self._begin.done():
            self._begin.set_exception(self._why_closed(ABNORMAL, ""))

    # ---- the end ----

    def lose(self, failure: SessionError) -> None:
        """Give the session up: it is over at once, whatever becomes of its socket.

        Nothing happens if it is over.
        """
        if not self._over.done() and not self._closing:
            self._ended(failure)

    def _wire_closed(self, code: int, reason: str) -> None:
        if self._is_open:
            logger.debug("session %s closed with code %d", self.id, code)
            asked = self._closing or (self._terminating and self._termination)
            self._ended(None if asked else self._why_closed(code, reason))
        elif not self._begin.done():
            self._begin.set_exception(self._why_closed(code, reason))

    def _ended(self, failure: SessionError | None) -> None:
        self.finals.stop()
        if self._watchdog is not None:
            self._watchdog.stop()
        if not self._over.done():
            self._over.set_result(None)
        if self._end is not None:
            return
        self._end = (failure,)
        self.lasted_seconds = asyncio.get_running_loop().time() - self._began_at
        if not self._closing:  # what is left of it
            self._closer = asyncio.ensure_future(self.close())
        if self._on_closed is not None:
            self._on_closed(failure)

    def _why_closed(self, code: int, reason: str) -> SessionError:
        if self._termination is not None:
            return EndedError("the server ended the session", code=code)
        if self._terminating and code == 1000:
            return DroppedError("the session ended without a Termination", code=code)
        text, error = reason, self._last_error
        if error is not None:
            text = error.error
            if code in (1000, ABNORMAL) and error.error_code is not None:
                code = error.error_code
        return closed_error(
            code,
            self._credentials.redact(text)[:300],
            retryable=error.retryable if error else None,
            retry_after=error.retry_after_seconds if error else None,
        )
