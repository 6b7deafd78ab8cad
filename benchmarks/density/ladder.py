"""More and more streams in one process."""

from __future__ import annotations

from aai_stream.load.clients import Setting
from aai_stream.load.ramp import Step

from .clients import PLUGINS
from .results import Results, Row
from .spread import Spread
from .turns import (
    OURS,
    THEIRS,
    UNIVERSAL_STREAMING,
    Bench,
    is_trusty,
    missing_ms,
    net_us,
)

LADDER = 25, 50, 100, 200, 300, 400
LADDER_ROUNDS = 3
MOST_MISSING_MS = 100.0
"""A chunk that isn't full, what a resampler holds, and a little: nothing is late."""


def ladder(bench: Bench, results: Results) -> None:
    """More and more streams at 24 kHz: CPU, lag, and whether all audio gets out."""
    by_streams: dict[int, list[dict[str, Step]]] = {}
    late: dict[tuple[int, str], int] = {}
    with bench.hosts(PLUGINS, 24_000, model=UNIVERSAL_STREAMING) as hosts:
        for streams in map(bench.streams, LADDER):
            rounds = hosts.rounds(
                streams, min(bench.rounds, LADDER_ROUNDS), bench.seconds
            )
            by_streams[streams] = rounds
            for name in (OURS, THEIRS):
                steps = [each[name] for each in rounds]
                late[streams, name] = max(
                    _late_streams(step, hosts.setting) for step in steps
                )
                results.ladder.append(
                    {
                        "streams": streams,
                        "client": name,
                        "us": Spread.of(net_us(each, name) for each in rounds),
                        "lag_p99_ms": Spread.of(step.lag_p99_ms for step in steps),
                        "core": Spread.of(step.cpu for step in steps),
                        "late_streams": late[streams, name],
                        "trusty": is_trusty(steps),
                    }
                )
    for number, streams in (("6a", 200), ("6b", 400)):
        _ladder_row(results, number, bench.streams(streams), by_streams, late)


def _late_streams(step: Step, setting: Setting) -> int:
    missing = missing_ms(step.ran, step, setting)
    return sum(ms > MOST_MISSING_MS for ms in missing)


def _ladder_row(
    results: Results,
    number: str,
    streams: int,
    by_streams: dict[int, list[dict[str, Step]]],
    late: dict[tuple[int, str], int],
) -> None:
    rounds = by_streams[streams]
    lag = {
        name: Spread.of(each[name].lag_p99_ms for each in rounds)
        for name in (OURS, THEIRS)
    }
    dropped = sum(
        stats.dropped_samples
        for each in rounds
        for stats in each[OURS].ran.stats.values()
        if stats is not None
    )
    ours_late, theirs_late = late[streams, OURS], late[streams, THEIRS]
    results.rows.append(
        Row(
            number,
            f"lag of the event loop, p99, {streams} streams, 24 kHz",
            "ms",
            lag[OURS],
            lag[THEIRS],
            None,
            "at most 20 ms, every chunk on the wire",
            lag[OURS].median <= 20 and not ours_late and not dropped,
            is_trusty([each[OURS] for each in rounds]),
            [
                f"streams whose audio was late: ours {ours_late}, theirs {theirs_late}",
                f"samples dropped: {dropped}",
            ],
        )
    )
