"""What a stream can say about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._core import held_memory

if TYPE_CHECKING:
    from .protocol.stream import StreamProtocol


@dataclass(frozen=True)
class StreamStats:
    """What a stream did so far. Samples are at the stream's rate."""

    written_samples: int
    """The caller's audio, after resampling."""
    sent_samples: int
    """How far into it the server has been sent."""
    acked_samples: int
    """How far it is covered by final turns, or was let go."""
    padded_samples: int
    """Silence added to short tails; on top of `sent_samples`."""
    forgotten_samples: int
    """Sent audio that was let go before a final turn covered it."""
    dropped_samples: int
    """Audio that could not be kept until it was sent: lost."""
    pending_ms: float
    """Audio held back by the resampler."""
    memory_bytes: int
    """The ring's memory."""
    process_memory_bytes: int
    """The memory of all streams' rings, in this process; see `replay_memory_mb`."""
    heard_seconds: float
    """Audio that the server was sent, padding included; what Termination counts."""
    turns: int
    """Turns that ended."""
    sessions: int
    """Sessions that were opened, one after the other."""
    waited_seconds: float
    """How long new sessions had to wait for others of the account; see
    `sessions_per_minute`."""
    parked_seconds: float
    """How long there was no session since nobody spoke; see `park_after`. So much is
    not billed."""
    malformed_messages: int
    """Messages of the server that could not be read."""
    unread_messages: int = 0
    """Remarks of the server that were left out because too many waited to be read."""


def stats_of(
    protocol: StreamProtocol, waited_seconds: float, now: float
) -> StreamStats:
    """What a stream did, which waited so long for other new sessions; `now` is what
    `protocol` is told."""
    ring, lineup = protocol.ring, protocol.lineup
    return StreamStats(
        written_samples=ring.written,
        sent_samples=ring.sent,
        acked_samples=ring.acked,
        padded_samples=ring.padded_samples,
        forgotten_samples=ring.forgotten_samples,
        dropped_samples=ring.dropped_samples,
        pending_ms=ring.pending_ms,
        memory_bytes=ring.memory_bytes,
        process_memory_bytes=held_memory(),
        heard_seconds=lineup.heard_samples / ring.sample_rate,
        turns=protocol.transcript.turns,
        sessions=lineup.count,
        waited_seconds=waited_seconds,
        parked_seconds=protocol.parking.seconds(now),
        malformed_messages=lineup.malformed_messages,
    )
