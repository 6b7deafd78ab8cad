"""Close frames that both libraries take for broken: their reason is not UTF-8.

A server that cuts a long reason at 123 bytes may cut a letter in two. The code still
says whether to try again, so it is read from the bytes that the libraries received.
Those that came in one read with the answer to the handshake are out of reach.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from . import ABNORMAL

if TYPE_CHECKING:
    from typing_extensions import Buffer

CLOSE_FRAME = 0x88
"""The first byte of a close frame (RFC 6455, 5.2)."""

KEPT_BYTES = 1024
"""More than the longest close frame, 127 bytes: others may follow it in one read."""


class LastBytes:
    """The last bytes that a peer sent."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, data: bytes | memoryview) -> None:
        """The peer sent `data`."""
        self._bytes = (self._bytes + data[-KEPT_BYTES:])[-KEPT_BYTES:]

    def unreadable_close(self) -> tuple[int, str]:
        """The code of a close frame whose reason is not UTF-8, and what can be read
        of the reason; 1006 if there is no such frame."""
        start = -1
        while (start := self._bytes.find(CLOSE_FRAME, start + 1)) >= 0:
            size = self._bytes[start + 1 : start + 2]
            payload = self._bytes[start + 2 : start + 2 + int.from_bytes(size, "big")]
            code, reason = int.from_bytes(payload[:2], "big"), payload[2:]
            if len(payload) == size[0] and 1000 <= code < 5000 and not _is_text(reason):
                return code, reason.decode(errors="replace")
        return ABNORMAL, ""


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class OverheardProtocol(asyncio.BufferedProtocol):
    """picows's protocol; what it receives is also `received`."""

    def __init__(self, protocol: asyncio.BufferedProtocol, received: LastBytes) -> None:
        self._protocol = protocol
        self._received = received
        self._buffer = memoryview(b"")
        self.connection_lost = protocol.connection_lost  # type: ignore[method-assign]
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> Buffer:
        self._buffer = memoryview(self._protocol.get_buffer(sizehint))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._received.add(self._buffer[:nbytes])
        self._protocol.buffer_updated(nbytes)


class OverheardParser:
    """aiohttp's parser; what it is fed is also `received`."""

    def __init__(self, parser: Any, received: LastBytes) -> None:
        self._parser = parser
        self._received = received
        self.feed_eof = parser.feed_eof

    def feed_data(self, data: bytes) -> Any:
        self._received.add(data)
        return self._parser.feed_data(data)
