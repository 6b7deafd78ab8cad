"""How long audio takes from a push to the server."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from aai_stream.load.clients import Setting
from aai_stream.load.lag import percentile
from aai_stream.load.ramp import Step

BYTES_PER_MS = 32
"""Of what is sent."""
WARM_PUSHES = 10


@dataclass(frozen=True)
class Latencies:
    """Of one run, over all chunks of all streams, in ms.

    `path` counts from the push that filled a chunk, the last one before it came: the
    way through the client. `sound` counts from the push of the last sample that the
    chunk stands for, n ms of audio after the first: what a resampler holds back makes
    a chunk wait for the next push.
    """

    path_p50_ms: float
    path_p99_ms: float
    sound_p50_ms: float
    sound_p99_ms: float


def latencies(step: Step, setting: Setting) -> Latencies:
    """Of a run that was recorded on both sides, which share CLOCK_MONOTONIC."""
    pairs = [pair for name in step.ran.pushed for pair in _of(name, step, setting)]
    path, sound = zip(*pairs, strict=True)
    return Latencies(
        percentile(path, 50),
        percentile(path, 99),
        percentile(sound, 50),
        percentile(sound, 99),
    )


def _of(session: str, step: Step, setting: Setting) -> Iterator[tuple[float, float]]:
    pushed = step.ran.pushed[session]
    before = step.ran.pushes[session] - len(pushed)  # pushes of earlier runs
    arrivals = step.server.arrivals[session]
    for heard, came in zip(arrivals[::2], arrivals[1::2], strict=True):
        last = bisect_right(pushed, came) - 1
        whole = math.ceil(heard / BYTES_PER_MS / setting.frame_ms) - 1 - before
        if last >= WARM_PUSHES and whole >= 0:
            yield 1000 * (came - pushed[last]), 1000 * (came - pushed[whole])
