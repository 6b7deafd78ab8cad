"""A v3 server that costs as little CPU as possible, to measure clients against.

That is why there is another one beside `aai_stream.emulator`, which would be full with
a tenth of the streams that a client can carry. This one reads the frames' headers,
counts the audio, and sends a Turn for every 250 ms of it, as the session's model would.
It doesn't know fragments, compression or errors of the client, and closes the
connection on any other message.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import struct
from array import array
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from ..models import DEFAULT_MODEL
from . import talk

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_BINARY, _TEXT, _CLOSE, _PING, _PONG = 2, 1, 8, 9, 10


@dataclass
class Heard:
    """What came of one session's audio."""

    bytes: int = 0
    arrivals: array[float] = field(default_factory=lambda: array("d"))
    """While the server records: bytes so far, and when (CLOCK_MONOTONIC, s), in turns.
    """


class LoadServer:
    """Serves any number of sessions on a port of loopback.

    The talk of a session begins with its audio, or, with `spread`, up to a turn later,
    so that not all are at the same word.

    Attributes:
        url: where, once it is started.
        heard: by session id.
        recording: whether arrivals are noted.
    """

    def __init__(
        self, tls: ssl.SSLContext | None = None, *, spread: bool = True
    ) -> None:
        self.url = ""
        self.heard: dict[str, Heard] = {}
        self.recording = False
        self._tls = tls
        self._spread = spread
        self._server: asyncio.Server | None = None
        self._open = set[_Connection]()

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls, backlog=1024
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'wss' if self._tls else 'ws'}://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Drop every connection."""
        assert self._server is not None
        self._server.close()
        for connection in list(self._open):
            connection.abort()
        await self._server.wait_closed()


class _Connection(asyncio.Protocol):
    def __init__(self, server: LoadServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._transport: asyncio.Transport
        self._heard = Heard()
        self._step_bytes = 0  # of audio, between two Turns; 0 before the handshake
        self._due = 0  # bytes at which the next Turn is
        self._talk = talk.UNIVERSAL_3
        self._step = 0
        self._from_ms = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._open.discard(self)

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if not self._step_bytes:
            head, separator, data = data.partition(b"\r\n\r\n")
            if not separator:
                self._rest = head
                return
            self._shake_hands(head)
        self._rest = self._read_frames(data)

    def _shake_hands(self, head: bytes) -> None:
        request, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        key = headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        query = parse_qs(urlsplit(request.split()[1]).query)
        rate = int(query.get("sample_rate", ["16000"])[0])
        self._step_bytes = self._due = 2 * rate * talk.STEP_MS // 1000
        model = query.get("speech_model", [DEFAULT_MODEL])[0]
        self._talk = talk.talk_of(model)
        number = len(self._server.heard)
        self._server.heard[f"session-{number}"] = self._heard
        if self._server._spread:
            self._step = -(number % self._talk.steps)
            self._from_ms = -self._step * talk.STEP_MS
        self._send(talk.begin(f"session-{number}", model))

    def _read_frames(self, data: bytes) -> bytes:
        """Take all whole frames; gives what is left."""
        at, end = 0, len(data)
        while end - at >= 6:
            length, body = data[at + 1] & 127, at + 6
            if length == 126:
                length, body = data[at + 2] << 8 | data[at + 3], at + 8
            elif length == 127:
                length, body = int.from_bytes(data[at + 2 : at + 10], "big"), at + 14
            if body + length > end:
                break
            kind = data[at] & 127
            if kind == _BINARY:
                self._take_audio(length)
            else:
                self._take_other(kind, data[body - 4 : body], data[body:][:length])
            at = body + length
        return data[at:]

    def _take_audio(self, length: int) -> None:
        heard = self._heard
        heard.bytes += length
        if self._server.recording:
            heard.arrivals.extend((heard.bytes, self._loop.time()))
        while heard.bytes >= self._due:
            self._due += self._step_bytes
            for message in self._talk.said(self._step, self._from_ms):
                self._send(message)
            self._step += 1

    def _take_other(self, kind: int, mask: bytes, masked: bytes) -> None:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))
        if kind == _PING:
            self._send(payload, _PONG)
        elif kind == _TEXT and b'"Terminate"' in payload:
            seconds = self._heard.bytes / self._step_bytes * talk.STEP_MS / 1000
            self._send(talk.termination(seconds))
            self._send(struct.pack("!H", 1000), _CLOSE)
        elif kind == _CLOSE:
            self._send(payload, _CLOSE)
            self._transport.close()
        elif kind not in (_TEXT, _PONG):
            self._transport.close()

    def _send(self, payload: bytes, kind: int = _TEXT) -> None:
        length = len(payload)
        head = bytes((128 | kind, min(length, 126)))
        if length >= 126:
            head += struct.pack("!H", length)
        self._transport.write(head + payload)
