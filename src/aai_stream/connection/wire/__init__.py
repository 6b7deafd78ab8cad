"""Bytes on a websocket, behind one small protocol.

A wire sends at once: nothing is queued here, no task or future is made for a message.
What the operating system won't take yet waits in the transport's buffer. When that has
become too much, `frames.has_room` says so, and audio stays where it can be replayed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..._core import FrameWriter

logger = logging.getLogger("aai_stream")

ABNORMAL = 1006
"""The code of a connection that ended without a close frame (RFC 6455, 7.1.5)."""

HIGH_WATER_BYTES = 64 * 1024
LOW_WATER_BYTES = 32 * 1024
"""With so much in the transport's buffer (2 s at 16 kHz) audio stays in the ring, until
it is down to the other."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""A longer message ends the connection: no turn has that many words."""

CLOSE_SECONDS = 2.0
"""How long `close` waits for the peer's close frame."""


class Owner(Protocol):
    """Whom a wire tells what happens to it."""

    def received(self, text: bytes) -> None:
        """A text message came, in UTF-8."""

    def closed(self, code: int, reason: str) -> None:
        """The connection is closed; told once. `code` is the peer's, 1006 if it gave
        none, and `reason` its own words."""


class Wire(Protocol):
    """An open websocket."""

    @property
    def frames(self) -> FrameWriter:
        """Sends messages; has room while the transport's buffer takes more audio."""

    @property
    def silent_seconds(self) -> float:
        """How long there has been no sign of the peer; 0 where nobody watches."""

    async def close(self) -> None:
        """Say goodbye, wait a bounded time for the answer, let go of the socket.

        What still arrives is discarded; `Owner.closed` was called when this returns.
        """


class OpenWire(Protocol):
    """Opens a `Wire`; each implementation is a function of this shape."""

    async def __call__(
        self, url: str, headers: Mapping[str, str], owner: Owner
    ) -> Wire:
        """Connect; to give up, cancel. `owner` may be called before this returns, by a
        peer that speaks at once.

        Raises `SessionError` by type: refused, unreachable, timed out, ….
        """


def hand_over(text: bytes, owner: Owner) -> None:
    """Tell `owner`, whose failure must not end the connection."""
    try:
        owner.received(text)
    except Exception:
        # A fault of ours or of the caller's callback: the next message may do.
        logger.exception("a message could not be dealt with")
