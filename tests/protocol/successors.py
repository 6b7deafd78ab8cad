"""Calls whose session is about to be replaced."""

from __future__ import annotations

from tests.protocol.driver import RATE, UNIX, Call, Peer
from tests.talks import turn

LASTS = 600
"""Seconds until a session expires; its successor is opened a minute before."""


def with_successor(**options: object) -> tuple[Call, Peer, Peer]:
    """A call of a second whose first session, in which a turn is open, is about to
    expire; the next one is asked for, and not yet connected."""
    call = Call(**options)  # type: ignore[arg-type]
    first = call.open(expires_at=UNIX + round(call.now) + LASTS)
    call.push(RATE)
    first.say(turn(0, ("a", 0, 300)))
    return call, first, call.ask()


def ready(**options: object) -> tuple[Call, Peer, Peer]:
    """The same, where the next one is ready to take over."""
    call, first, second = with_successor(**options)
    second.connect().begin(id="session-2")
    return call, first, second
