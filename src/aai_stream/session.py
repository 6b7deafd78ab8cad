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
from .errors import (
    BusyError,
    DroppedError,
    EndedError,
    ExpiredError,
    MessageError,
    RefusedError,
    RejectedError,
    SessionError,
    TimedOutError,
    TooFastError,
)
from .messages import Begin, Event, Termination, Turn
from .wire import ABNORMAL, OpenWire, Wire

if TYPE_CHECKING:
    from ._core import Chunk
    from .credentials import Credentials
    from .options import Options

logger = logging.getLogger("aai_stream")

FORCE_ENDPOINT = b'{"type":"ForceEndpoint"}'
KEEP_ALIVE = b'{"type":"KeepAlive"}'
TERMINATE = b'{"type":"Terminate"}'


class Session:
    """An open session; made by `Session.open`.

    Attributes:
        id: AssemblyAI's name for it, to quote in a support request.
        expires_at: unix seconds, None if the server didn't say.
        configuration: what the server understood, as `Begin` told it.
        malformed_messages: how many messages could not be read.
        clock: from this session's ms to stream time.
    """

    def __init__(
        self,
        credentials: Credentials,
        sample_rate: int,
        on_event: Callable[[Event], None],
        on_closed: Callable[[SessionError | None], None],
    ) -> None:
        self.id = ""
        self.expires_at: int | None = None
        self.configuration: dict[str, Any] = {}
        self.malformed_messages = 0
        self._turn_messages = 0
        self.clock = SessionClock(sample_rate)
        self._credentials = credentials
        self._on_event = on_event
        self._on_closed = on_closed
        self._wire: Wire
        loop = asyncio.get_running_loop()
        self._begin: asyncio.Future[Begin] = loop.create_future()
        self._over: asyncio.Future[None] = loop.create_future()  # nothing more comes
        self._is_open = False
        self._closing = False  # by us
        self._last_error: messages.Error | None = None
        self._termination: Termination | None = None

    @classmethod
    async def open(
        cls,
        open_wire: OpenWire,
        url: str,
        credentials: Credentials,
        options: Options,
        *,
        sample_rate: int,
        timeout: float,
        on_event: Callable[[Event], None],
        on_closed: Callable[[SessionError | None], None],
    ) -> Session:
        """Connect to `url` and wait for Begin, `timeout` seconds in all.

        `on_event` gets every message from Begin on, its times moved to stream time.
        `on_closed` is called once when an open session ends: with None after
        Termination, otherwise with what happened.

        Raises `SessionError` by type; then nothing was told and nothing is left open.
        """
        session = cls(credentials, sample_rate, on_event, on_closed)
        try:
            await asyncio.wait_for(session._open(open_wire, url, options), timeout)
        except asyncio.TimeoutError:
            pass
        else:
            return session
        raise TimedOutError(f"the session did not begin within {timeout:g} s")

    async def _open(self, open_wire: OpenWire, url: str, options: Options) -> None:
        headers, query = await self._credentials.for_connect()
        self._wire = await open_wire(
            f"{url}?{urlencode(options.query() | query)}",
            headers,
            on_text=self._receive,
            on_closed=self._wire_closed,
        )
        try:
            begin = await self._begin
        except BaseException:
            await self.close()
            raise
        logger.debug("session %s is open", self.id)
        if ignored := options.not_understood(begin.configuration or {}):
            logger.warning("the server did not take: %s", ", ".join(ignored))

    # ---- out ----

    @property
    def writable(self) -> bool:
        """Whether the socket takes more audio now."""
        return self._wire.writable

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
        """End the session: the last turn and Termination come by `on_event` first.

        A server that still has audio to work through may take its time, as long as it
        tells turns: after `timeout` seconds without any this closes all the same and
        returns None.
        """
        self._wire.send_text(TERMINATE)
        told = -1
        while not self._over.done() and self._turn_messages > told:
            told = self._turn_messages
            await asyncio.wait([self._over], timeout=timeout)
        self._closing = True
        await self._wire.close()
        return self._termination

    async def close(self) -> None:
        """End the session without waiting for its last turn."""
        self._closing = True
        self._wire.send_text(TERMINATE)
        await self._wire.close()

    # ---- in ----

    def _receive(self, text: bytes) -> None:
        try:
            event = messages.decode(text)
        except MessageError as exc:
            self.malformed_messages += 1
            logger.warning("a message could not be read: %s", exc)
            return
        if not self._begin.done():
            self._receive_first(event)
            return
        if isinstance(event, messages.Error):
            self._last_error = event
        elif isinstance(event, Termination):
            self._termination = event
        elif isinstance(event, Turn):
            self._turn_messages += 1
        messages.retime(event, self.clock.to_stream_ms)
        self._on_event(event)
        if self._termination is not None and not self._over.done():
            self._over.set_result(None)

    def _receive_first(self, event: Event) -> None:
        if isinstance(event, Begin):
            self.id = event.id
            self.expires_at = event.expires_at
            self.configuration = event.configuration or {}
            self._is_open = True
            self._begin.set_result(event)
            self._on_event(event)
        elif isinstance(event, messages.Error):
            self._last_error = event

    def _wire_closed(self, code: int, reason: str) -> None:
        error = self._why_closed(code, reason)
        if not self._over.done():
            self._over.set_result(None)
        if self._is_open:
            logger.debug("session %s closed with code %d", self.id, code)
            self._on_closed(error)
        elif error is not None and not self._begin.done():
            self._begin.set_exception(error)

    def _why_closed(self, code: int, reason: str) -> SessionError | None:
        if self._closing or self._termination is not None:
            return None
        text = reason
        if self._last_error is not None:
            text = self._last_error.error
            if code in (1000, ABNORMAL) and self._last_error.error_code is not None:
                code = self._last_error.error_code
        return closed_error(code, self._credentials.redact(text)[:300])


_BY_CODE: dict[int, type[SessionError]] = {
    1000: EndedError,
    1008: RefusedError,
    1009: RejectedError,
    3006: RejectedError,
    3007: TooFastError,
    3008: ExpiredError,
    3009: BusyError,
    4001: RefusedError,
    4002: RefusedError,
    4003: RefusedError,
    4008: ExpiredError,
    4010: EndedError,
    4029: TooFastError,
    4031: EndedError,
    4102: BusyError,
}


def closed_error(code: int, text: str) -> SessionError:
    """The error for a websocket that was closed with `code`.

    By AssemblyAI's table of v3 codes and the one of v2, which its SDK still carries.
    1008 is told for a bad key and for too many sessions, 3006 for bad input and for
    inactivity: there the text decides.
    """
    kind = _BY_CODE.get(code)
    if kind is None:
        kind = RejectedError if 4000 <= code < 4200 else DroppedError
    words = text.lower()
    if code == 1008 and ("too many" in words or "concurrent" in words):
        kind = BusyError
    elif code == 3006 and "inactiv" in words:
        kind = EndedError
    said = f": {text}" if text else ""
    return kind(f"the server closed the session with code {code}{said}", code=code)
