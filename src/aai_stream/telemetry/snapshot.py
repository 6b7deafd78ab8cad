"""A process's streams at this moment, without a word of what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..protocol.stream import StreamState

if TYPE_CHECKING:
    from .reporter import Reporter


class StreamShown(msgspec.Struct, kw_only=True):
    """A stream. Seconds are of its audio, but for `age` and `turn`."""

    stream: str
    """Our name for it, as in the log."""
    state: str
    """`listening`, `catching up`, `connecting`, `waiting` to try again, `ending`."""
    model: str
    session: str | None
    region: str
    buffer_seconds: float
    """Kept, until a final turn covers it."""
    lag_seconds: float
    """Not sent yet."""
    age_seconds: float
    """Since the stream began."""
    turn_seconds: float | None
    """Since words were told last."""
    reconnects: int


class ProcessShown(msgspec.Struct, kw_only=True):
    """A process, or one of its event loops if several have streams."""

    pid: int
    program: str
    streams: list[StreamShown]
    answers: bool = True
    """Whether it did so in time."""


def shown(reporter: Reporter, now: float) -> StreamShown:
    """A stream, at `now` by its loop's clock."""
    protocol = reporter.protocol
    ring = protocol.ring
    session = protocol.session
    asked = protocol.options if session is None else session.options
    turn_at = reporter.turn_at
    return StreamShown(
        stream=reporter.name,
        state=_state(reporter),
        model=asked.model({}) if session is None else session.model,
        session=(protocol.session_id or "")[:100] or None,
        region=reporter.region,
        buffer_seconds=round((ring.written - ring.acked) / ring.sample_rate, 2),
        lag_seconds=round((ring.written - ring.sent) / ring.sample_rate, 2),
        age_seconds=round(now - reporter.began_at, 1),
        turn_seconds=None if turn_at is None else round(now - turn_at, 1),
        reconnects=reporter.retries,
    )


def _state(reporter: Reporter) -> str:
    protocol = reporter.protocol
    if protocol.lineup.is_open:
        if protocol.state is StreamState.ENDING:
            return "ending"
        return "catching up" if protocol.sending.has_backlog else "listening"
    return "waiting" if protocol.lineup.opening is None else "connecting"
