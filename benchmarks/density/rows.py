"""The rows of the table: each measures one promise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from statistics import median

from aai_stream.models import DEFAULT_MODEL

from .clients import PLUGINS, STREAMS
from .held import held_back_ms
from .jobs import jobs
from .ladder import ladder
from .latency import latencies
from .results import Results, Row
from .spread import Spread
from .turns import (
    HARNESS,
    OURS,
    THEIRS,
    UNIVERSAL_STREAMING,
    Bench,
    Make,
    is_trusty,
    net_us,
)

MEMORY_STREAMS = 20, 200
MEMORY_ROUNDS = 3


def cost(
    number: str,
    title: str,
    makes: dict[str, Make],
    sample_rate: int,
    frame_ms: int,
    model: str,
    goal: float,
    bench: Bench,
    results: Results,
) -> None:
    """CPU of 100 streams in real time."""
    with bench.hosts(makes, sample_rate, frame_ms, model) as hosts:
        rounds = hosts.rounds(bench.streams(100), bench.rounds, bench.seconds)
    ours = [net_us(steps, OURS) for steps in rounds]
    theirs = [net_us(steps, THEIRS) for steps in rounds]
    ratio = Spread.of(b / a for a, b in zip(ours, theirs, strict=True))
    harness = median(steps[HARNESS].us_per_frame for steps in rounds)
    results.rows.append(
        Row(
            number,
            title,
            "µs",
            Spread.of(ours),
            Spread.of(theirs),
            ratio,
            f"{goal:g} times less",
            ratio.median >= goal,
            is_trusty([step for steps in rounds for step in steps.values()]),
            [f"harness {harness * 50 / frame_ms:.1f} µs, subtracted"],
        )
    )


def memory(bench: Bench, results: Results) -> None:
    """Resident memory a stream, from 20 to 200 of them that have spoken."""
    few, many = map(bench.streams, MEMORY_STREAMS)
    slopes: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for _ in range(min(bench.rounds, MEMORY_ROUNDS)):
        for name, found in slopes.items():
            with bench.hosts({name: PLUGINS[name]}, 24_000) as hosts:
                host = hosts.hosts[name]
                resident = []
                for streams in (few, many):
                    host.connect(streams)
                    host.speak(bench.seconds)
                    resident.append(host.connect(streams))
                found.append((resident[1] - resident[0]) / (many - few) / 1024)
    ratio = Spread.of(b / a for a, b in zip(slopes[OURS], slopes[THEIRS], strict=True))
    results.rows.append(
        Row(
            "5",
            f"memory a stream, TLS, from {few} to {many} streams",
            "KB",
            Spread.of(slopes[OURS]),
            Spread.of(slopes[THEIRS]),
            ratio,
            "2 times less",
            ratio.median >= 2,
        )
    )


def latency(bench: Bench, results: Results) -> None:
    """From the push to the server, 200 streams."""
    _latency(bench, results, 24_000, DEFAULT_MODEL, "7a", "7b")
    _latency(bench, results, 16_000, UNIVERSAL_STREAMING, "7c", "7d")


def _latency(
    bench: Bench, results: Results, sample_rate: int, model: str, path: str, sound: str
) -> None:
    streams = bench.streams(200)
    makes = {name: PLUGINS[name] for name in (OURS, THEIRS)}
    with bench.hosts(makes, sample_rate, model=model) as hosts:
        rounds = hosts.rounds(streams, bench.rounds, bench.seconds, record=True)
    found = [
        {name: latencies(step, hosts.setting) for name, step in steps.items()}
        for steps in rounds
    ]
    trusty = is_trusty([step for steps in rounds for step in steps.values()])
    what = f"{sample_rate // 1000} kHz, {streams} streams"
    for number, title, p50, p99 in (
        (path, f"from push to server, {what}", "path_p50_ms", "path_p99_ms"),
        (sound, f"from a chunk's last sample, {what}", "sound_p50_ms", "sound_p99_ms"),
    ):
        medians, tails = (
            {
                name: Spread.of(getattr(each[name], figure) for each in found)
                for name in makes
            }
            for figure in (p50, p99)
        )
        ratio = Spread.of(
            getattr(each[THEIRS], p50) / getattr(each[OURS], p50) for each in found
        )
        results.rows += [
            Row(
                number,
                f"{title}, median",
                "ms",
                medians[OURS],
                medians[THEIRS],
                ratio,
                "3 times less",
                ratio.median >= 3,
                trusty,
            ),
            Row(
                number,
                f"{title}, p99",
                "ms",
                tails[OURS],
                tails[THEIRS],
                None,
                "at most 5 ms",
                tails[OURS].median <= 5,
                trusty,
            ),
        ]


def held(bench: Bench, results: Results) -> None:
    """Audio that a resampler keeps to itself."""
    for rate in (48_000, 24_000, 32_000, 8_000):
        ours, theirs = held_back_ms(rate)
        results.rows.append(
            Row(
                "8",
                f"audio held back by resampling, from {rate // 1000} kHz",
                "ms",
                ours,
                theirs,
                None,
                "at most 3 ms",
                ours.high <= 3,
            )
        )


COSTS = {
    "1": (
        "CPU per stream and 50 ms, LiveKit, 24 kHz in 50 ms",
        PLUGINS,
        24_000,
        50,
        DEFAULT_MODEL,
        3,
    ),
    "2": (
        "the same, 16 kHz in 50 ms",
        PLUGINS,
        16_000,
        50,
        UNIVERSAL_STREAMING,
        2,
    ),
    "3": (
        "the same, 48 kHz in 10 ms",
        PLUGINS,
        48_000,
        10,
        UNIVERSAL_STREAMING,
        5,
    ),
    "4": (
        "the same, `aai_stream.connect` beside the SDK, 16 kHz in 50 ms",
        STREAMS,
        16_000,
        50,
        DEFAULT_MODEL,
        4,
    ),
}
ROWS: dict[str, Callable[[Bench, Results], None]] = {
    **{
        number: functools.partial(cost, number, *what) for number, what in COSTS.items()
    },
    "5": memory,
    "6": ladder,
    "7": latency,
    "8": held,
    "9": jobs,
}
