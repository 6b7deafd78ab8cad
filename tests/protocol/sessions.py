"""One session by hand: what its server says goes in, and time when a test says so."""

from __future__ import annotations

import json
from typing import Any

from typing_extensions import Self

from aai_stream._core import AudioRing
from aai_stream.options import Options
from aai_stream.protocol.events import Note, Tells
from aai_stream.protocol.session import Session, State
from tests.servers import BEGIN

KEY = "key-that-nobody-may-see"
NOW = 1000.0
UNIX = 1_700_000_000.0
"""The time of day, in unix seconds, when the steady clock says `NOW`."""


class Life:
    """A session, what time it is for it, and what it was said to tell.

    It has a connection, and `begin_seconds` to begin; None: it is still to connect.
    """

    def __init__(self, *, begin_seconds: float | None = 20.0, **options: Any) -> None:
        self.now = NOW
        self.session = Session(
            Options(options),
            16_000,
            now=NOW,
            unix_offset=UNIX - NOW,
            redact=lambda text: text.replace(KEY, "***"),
        )
        self.ring = AudioRing()
        if begin_seconds is not None:
            self.session.handshake()
            self.session.connected(NOW, begin_seconds)

    @classmethod
    def begun(cls, *, configuration: Any = None, **options: Any) -> Self:
        """A session that is open."""
        life = cls(**options)
        life.say({**BEGIN, "configuration": configuration})
        assert life.session.state is State.OPEN
        return life

    def say(self, *messages: Any) -> list[Tells]:
        """The server says these, str as it is and everything else as JSON; returns
        what they tell."""
        told: list[Tells] = []
        for message in messages:
            assert not self.is_over, "nobody listens any more"
            text = message if isinstance(message, str) else json.dumps(message)
            told += self.session.receive(text.encode(), self.now)
        return told

    def hear(self, ms: int) -> None:
        """The server is sent audio."""
        self.ring.write(bytes(32 * ms), 16_000)
        for chunk in self.ring.flush():
            self.session.timeline.sent(chunk, self.now)

    def run(self, seconds: float) -> list[Tells]:
        """Let time pass, and have the session checked whenever that is due; returns
        what it tells."""
        end = self.now + seconds
        told: list[Tells] = []
        while not self.is_over and self.session.deadline <= end:
            self.now = max(self.now, self.session.deadline)
            told += self.session.check(self.now)
            is_done = self.is_over or self.session.deadline > self.now
            assert is_done, "it would be checked for ever"
        self.now = end
        return told

    def jump(self, seconds: float) -> list[Tells]:
        """Let time pass while nobody can look; then have the session checked."""
        self.now += seconds
        return self.session.check(self.now)

    def close(self, code: int, reason: str = "") -> None:
        """The server closes the connection."""
        self.session.closed(code, reason)

    @property
    def is_over(self) -> bool:
        return self.session.state is State.OVER

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Messages that the server is sent now."""
        return [json.loads(text) for text in self.session.texts()]


def messages_of(told: list[Tells]) -> list[Any]:
    """What isn't for the log."""
    return [event for event in told if not isinstance(event, Note)]


def notes_of(told: list[Tells], level: int = 0) -> list[str]:
    """What is for the log, of that level at least."""
    return [e.text for e in told if isinstance(e, Note) and e.level >= level]


def names_of(told: list[Tells]) -> list[str]:
    """The types of what isn't for the log."""
    return [type(event).__name__ for event in messages_of(told)]
