"""How many streams does this machine carry?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .clients import CHUNK_SAMPLES
from .host import Ran
from .lag import percentile
from .serving import ServerProcess, ServerReport


class Host(Protocol):
    """Streams that another process has, or a process each."""

    def connect(self, count: int) -> object:
        """Let there be so many."""

    def speak(self, seconds: float) -> Ran:
        """Let all speak for so long, in real time."""


@dataclass(frozen=True)
class Step:
    """So many streams, and how they did."""

    streams: int
    ran: Ran
    server: ServerReport
    cores: int = 1
    """For streams."""

    @property
    def cpu(self) -> float:
        """Share of the streams' cores."""
        return self.ran.window.cpu / self.cores

    @property
    def lag_p99_ms(self) -> float:
        """Of the streams' event loops."""
        return percentile(self.ran.window.late_ms, 99)

    @property
    def us_per_frame(self) -> float:
        """CPU for a frame of one stream, the making of the frame included."""
        return self.ran.window.us_per_frame

    @property
    def unsent_streams(self) -> int:
        """Streams of which the server has not got every full chunk."""
        return sum(
            stats is not None
            and (
                2 * stats.sent_samples != self.server.heard_bytes[session]
                or stats.written_samples - stats.sent_samples >= CHUNK_SAMPLES
                or stats.dropped_samples > 0
            )
            for session, stats in self.ran.stats.items()
        )


def measure(
    server: ServerProcess, host: Host, streams: int, seconds: float, cores: int
) -> Step:
    """`streams` of `host`'s, speaking for so long."""
    host.connect(streams)
    server.begin()
    ran = host.speak(seconds)
    return Step(streams, ran, server.report(), cores)


def ramp(
    server: ServerProcess,
    host: Host,
    *,
    step: int,
    most: int,
    seconds: float,
    cores: int = 1,
) -> Iterator[Step]:
    """`step` streams, twice as many, …, up to `most`, each number for `seconds`.

    They have so many `cores` to themselves.
    """
    for streams in range(step, most + 1, step):
        yield measure(server, host, streams, seconds, cores)
