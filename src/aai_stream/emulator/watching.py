"""What a server tells whoever watches it, such as the console.

A server that nobody watches has None in the place of a `Watch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .replies import Message


class Watch(Protocol):
    """Told of one connection, in the order in which things happen. It never waits."""

    def opened(self, options: Mapping[str, Any], sample_rate: int) -> None:
        """A session is open: what its handshake asked for, and samples a second."""

    def audio(self, pcm: bytes) -> None:
        """Audio has come, as mono PCM16."""

    def silence(self, start_ms: int, end_ms: int) -> None:
        """The engine heard nothing to transcribe there, in the session's time."""

    def said(self, text: str) -> None:
        """The client has sent this text."""

    def told(self, message: Message) -> None:
        """The client has been sent this, faults included."""

    def over(self, code: int | None, *, terminated: bool) -> None:
        """The connection is over.

        `code` is that of the close, of either side; None without one. `terminated`
        says whether the client asked for the end.
        """


class Watcher(Protocol):
    """Watches a server."""

    def connection(self, number: int) -> Watch:
        """The `number`-th connection gets a session."""
