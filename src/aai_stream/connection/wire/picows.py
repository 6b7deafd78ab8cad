"""A wire on picows: its handshake and its parser, and frames of our own.

picows masks what a client sends with C's `rand`, which anybody can foresee, so all that
is sent goes through a `FrameWriter` to the transport below.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import socket
import ssl
import tempfile
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import aiohappyeyeballs
import picows

from ..._core import FrameWriter
from ...errors import SessionError, UnreachableError
from ...timeouts import timeout
from .. import wire
from ..failures import connect_failure, http_failure
from ..watchdog import Watchdog
from . import ABNORMAL, Owner, hand_over
from .closing import LastBytes, OverheardProtocol
from .inherited import keep_from_forks

# Opcodes (RFC 6455, 5.2).
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

READ_BUFFER_BYTES = 4096
"""What a connection reads into; it grows for longer messages."""

TLS_BUFFER_BYTES = 16 * 1024 + 1024
"""What a connection receives encrypted at a time, and sends: the longest record of TLS
(RFC 8446, 5.2) with room to spare. By itself aiofastnet takes sixteen times that."""

HAPPY_EYEBALLS_SECONDS = 0.25
"""How long the next address waits for the one before it (RFC 8305)."""

# Not to be had by name, so that no configuration makes it speak: picows logs whole
# handshakes, and with them keys.
_SILENT = logging.Logger("aai_stream.picows", logging.CRITICAL + 1)


async def open_wire(
    url: str,
    headers: Mapping[str, str],
    owner: Owner,
    *,
    dead_after: float | None = None,
) -> PicowsWire:
    """Connect as `OpenWire` says.

    With `dead_after` the peer is pinged when it is silent, and the connection counts
    as lost (1006) when it has been silent for so many seconds.
    """
    parts = urlsplit(url)
    is_tls = parts.scheme == "wss"
    host, port = parts.hostname or "", parts.port or (443 if is_tls else 80)
    opened = PicowsWire(owner, dead_after)
    try:
        sock = opened.socket = await _connect(host, port)
        context = tls_context() if is_tls else None
        await _shake_hands(url, headers, sock, context, opened)
        return opened
    except Exception as exc:
        failure = _describe(exc, f"{host}:{port}")
    # Outside of the except block: what was caught holds what the server answered, and
    # must not become the context of what is raised.
    raise failure


@functools.cache
def tls_context() -> ssl.SSLContext:
    """This process's, which trusts whom the machine trusts. Reading their certificates
    takes some 10 ms, so it is done once, by the first who needs it."""
    return ssl.create_default_context()


async def _connect(host: str, port: int) -> socket.socket:
    tcp = socket.SOCK_STREAM
    try:
        # What is an address already needs no thread to wait for a name server.
        numeric = socket.AI_NUMERICHOST
        addresses = socket.getaddrinfo(host, port, type=tcp, flags=numeric)
    except socket.gaierror:
        addresses = []
    if not addresses:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(host, port, type=tcp)
    return await aiohappyeyeballs.start_connection(
        addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_SECONDS
    )


async def _shake_hands(
    url: str,
    headers: Mapping[str, str],
    sock: socket.socket,
    context: ssl.SSLContext | None,
    opened: PicowsWire,
) -> None:
    """Bring up TLS and the websocket; or let go of the socket and raise."""
    fast = _may_use_aiofastnet(context)
    buffers: dict[str, Any] = {}
    if fast and context is not None:
        buffers["ssl_incoming_bio_size"] = TLS_BUFFER_BYTES
        buffers["ssl_outgoing_bio_size"] = TLS_BUFFER_BYTES
    try:
        _, listener = await picows.ws_connect(
            lambda: opened,
            url,
            ssl_context=context,
            websocket_handshake_timeout=None,  # the caller has one
            logger_name=_SILENT,
            enable_auto_pong=False,  # it would be masked by `rand`, too
            max_frame_size=wire.MAX_MESSAGE_BYTES,
            extra_headers=headers,
            # Nobody has said that speech may go elsewhere, nor without TLS.
            max_redirects=0,
            read_buffer_init_size=READ_BUFFER_BYTES,
            socket_factory=lambda _: sock,
            # A quarter off the cost of a TLS write, and four fifths off a connection's
            # memory.
            use_aiofastnet=fast,
            **buffers,
        )
        if listener is None:
            raise UnreachableError("the server hung up on the handshake")
    except BaseException:
        # picows leaves its transport open when cancelled. This closes it.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        raise


def _may_use_aiofastnet(context: ssl.SSLContext | None) -> bool:
    """It crashes where OpenSSL's keys are logged (SSLKEYLOGFILE), and gets nowhere with
    TLS where no temporary file can be made: it writes the server's certificate there.
    """
    if context is None:
        return True
    return context.keylog_filename is None and _has_temporary_directory()


def _has_temporary_directory() -> bool:
    try:
        tempfile.gettempdir()
    except OSError:
        return False
    return True


class PicowsWire(picows.WSListener):
    """See `aai_stream.connection.wire.Wire`."""

    def __init__(self, owner: Owner, dead_after: float | None) -> None:
        self.socket: socket.socket | None = None  # once it is connected
        self.frames = FrameWriter()  # open while the connection takes what is sent
        self._owner = owner
        self._dead_after = dead_after
        self._watchdog: Watchdog | None = None
        self._unfinished: int | None = None  # the opcode of a fragmented message
        self._fragments = bytearray()  # what there is of it
        self._received = LastBytes()
        self._is_told = False  # that it is closed
        self._connection: picows.WSTransport  # once open
        self._transport: asyncio.Transport  # likewise, what lies below it
        self._is_inherited = False  # by a fork, which this is
        keep_from_forks(self)

    @property
    def silent_seconds(self) -> float:
        return 0.0 if self._watchdog is None else self._watchdog.silent_seconds

    async def close(self) -> None:
        self._say_goodbye(1000)
        try:
            # Why it broke, if it did, was told by `on_closed`.
            if not self._is_inherited:
                with contextlib.suppress(Exception):
                    async with timeout(wire.CLOSE_SECONDS):
                        await self._connection.wait_disconnected()
        finally:
            # A peer that reads no more would keep the socket open for ever.
            self._transport.abort()
            self._tell(ABNORMAL, "")

    def _say_goodbye(self, code: int) -> None:
        self.frames.send(CLOSE, code.to_bytes(2, "big"))
        self.frames.is_open = False

    def _tell(self, code: int, reason: str) -> None:
        self.frames.is_open = False
        if self._watchdog is not None:
            self._watchdog.stop()
        if not self._is_told:
            self._is_told = True
            self._owner.closed(code, reason)

    def _give_up(self) -> None:
        self._transport.abort()
        self._tell_broken()

    def _tell_broken(self) -> None:
        if self._has_refused_text:
            self._tell(*self._received.unreadable_close())
        else:
            self._tell(ABNORMAL, "")

    @property
    def _has_refused_text(self) -> bool:
        """Whether picows has answered a close frame whose reason is not UTF-8: it
        checks no other text."""
        handshake = self._connection.close_handshake
        answer = handshake.sent.code if handshake and handshake.sent else None
        return bool(answer == picows.WSCloseCode.INVALID_TEXT)

    # ---- see `Inheritable` ----

    def fileno(self) -> int:
        return -1 if self.socket is None else self.socket.fileno()

    def disown(self) -> None:
        self._is_inherited = self._is_told = True
        self.frames.is_open = False
        if self._watchdog is not None:
            self._watchdog.stop()

    # ---- picows calls these ----

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._connection = transport
        self._transport = transport.underlying_transport
        protocol = cast(asyncio.BufferedProtocol, self._transport.get_protocol())
        self._transport.set_protocol(OverheardProtocol(protocol, self._received))
        self._transport.set_write_buffer_limits(
            wire.HIGH_WATER_BYTES, wire.LOW_WATER_BYTES
        )
        self.frames.open(self._transport.write)
        if self._dead_after is not None:
            self._watchdog = Watchdog(
                self._dead_after, self._give_up, ask=lambda: self.frames.send(PING, b"")
            )

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._tell_broken()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if self._is_told:
            return
        if self._watchdog is not None:
            self._watchdog.heard()
        opcode = frame.msg_type.value
        if opcode == CLOSE and self._has_refused_text:
            self._give_up()  # this is what the peer says to that answer
        elif opcode == CLOSE:
            self._receive_close(frame.get_payload_as_bytes())
        elif opcode == PING:
            # Without room, one who doesn't read could fill our memory.
            if self.frames.has_room:
                self.frames.send(PONG, frame.get_payload_as_bytes())
        elif opcode != PONG and self.frames.is_open:
            self._receive_data(opcode, frame)
        if transport.is_close_frame_sent:
            # By picows, which looks one frame ahead, has found fault with that, and
            # would yet read on.
            self._give_up()

    def pause_writing(self) -> None:
        self.frames.pause()

    def resume_writing(self) -> None:
        self.frames.resume()

    def _receive_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if payload else ABNORMAL
        self._say_goodbye(1000)
        self._transport.close()
        self._tell(code, payload[2:].decode())

    def _receive_data(self, opcode: int, frame: picows.WSFrame) -> None:
        begins = opcode != CONTINUATION
        is_odd = frame.rsv1 or frame.rsv2 or frame.rsv3
        if is_odd or begins is not (self._unfinished is None):
            self._fail(1002)
        elif frame.payload_size > wire.MAX_MESSAGE_BYTES:
            self._fail(1009)
        elif not (begins and frame.fin):
            self._receive_fragment(opcode, frame)
        elif opcode == TEXT:
            hand_over(frame.get_payload_as_bytes(), self._owner)

    def _receive_fragment(self, opcode: int, frame: picows.WSFrame) -> None:
        if self._unfinished is None:
            self._unfinished = opcode
        self._fragments += frame.get_payload_as_bytes()
        if len(self._fragments) > wire.MAX_MESSAGE_BYTES:
            self._fail(1009)
        elif frame.fin:
            text, self._fragments = bytes(self._fragments), bytearray()
            opcode, self._unfinished = self._unfinished, None
            if opcode == TEXT:
                hand_over(text, self._owner)

    def _fail(self, code: int) -> None:
        """The peer broke the protocol; `code` says how."""
        self._say_goodbye(code)
        self._transport.close()
        self._tell(ABNORMAL, "")


def _describe(exc: Exception, where: str) -> SessionError:
    """The error of ours that says what `exc` says, without URL, headers or key."""
    if isinstance(exc, SessionError):
        return exc
    if isinstance(exc, picows.WSHandshakeError):
        return _describe_answer(exc.raw_header or b"")
    if isinstance(exc, OSError):
        return connect_failure(exc, where)
    return UnreachableError(
        f"the connection broke while opening ({type(exc).__name__})"
    )


def _describe_answer(header: bytes) -> SessionError:
    """By the server's own words: picows knows standard statuses and HTTP/1.1 only."""
    status_line, *lines = header.decode("latin-1").split("\r\n")
    status = re.match(r"HTTP/1\.\d (\d{3})\b", status_line)
    if status is None or status[1] == "101":
        return UnreachableError("the server's answer is no websocket's")
    fields = (line.partition(":") for line in lines)
    return http_failure(
        int(status[1]), {name.title(): value.strip() for name, _, value in fields}
    )
