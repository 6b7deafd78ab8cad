"""The rows of the table: each measures one promise."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import uvloop

from aai_stream.load.host import Run
from aai_stream.models import DEFAULT_MODEL

from .clients import PLUGINS, STREAMS
from .floor import RING, SEND, TURN
from .held import held_back_ms
from .jobs import jobs
from .ladder import ladder
from .latency import latencies
from .nothing import TURN_FRAMES
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


@dataclass(frozen=True)
class Load:
    """What 100 streams in a process push and hear."""

    title: str
    makes: dict[str, Make]
    sample_rate: int
    frame_ms: int
    model: str
    goal: float
    """How many times less CPU it shall take than with the published client."""
    uvloop_goal: float
    """The same under uvloop."""


def cost(
    number: str,
    load: Load,
    bench: Bench,
    results: Results,
) -> None:
    """CPU of 100 streams in real time."""
    _cost(number, load.title, load, load.goal, asyncio.run, bench, results)


def under_uvloop(bench: Bench, results: Results) -> None:
    """All costs once more, on another event loop."""
    for number, load in COSTS.items():
        title = f"row {number} under uvloop"
        goal = load.uvloop_goal
        _cost(f"{number}u", title, load, goal, uvloop.run, bench, results)


def _cost(
    number: str,
    title: str,
    load: Load,
    goal: float,
    run: Run,
    bench: Bench,
    results: Results,
) -> None:
    frame_ms = load.frame_ms
    with bench.hosts(load.makes, load.sample_rate, frame_ms, load.model, run) as hosts:
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
    "1": Load(
        "CPU per stream and 50 ms, LiveKit, 24 kHz in 50 ms",
        PLUGINS,
        24_000,
        50,
        DEFAULT_MODEL,
        goal=3,
        uvloop_goal=2,
    ),
    "2": Load(
        "the same, 16 kHz in 50 ms",
        PLUGINS,
        16_000,
        50,
        UNIVERSAL_STREAMING,
        goal=2,
        uvloop_goal=1.5,
    ),
    "3": Load(
        "the same, 48 kHz in 10 ms",
        PLUGINS,
        48_000,
        10,
        UNIVERSAL_STREAMING,
        goal=5,
        uvloop_goal=3,
    ),
    "4": Load(
        "the same, `aai_stream.connect` beside the SDK, 16 kHz in 50 ms",
        STREAMS,
        16_000,
        50,
        DEFAULT_MODEL,
        goal=4,
        uvloop_goal=3,
    ),
}


def beside_floor(results: Results, alone: Mapping[str, float]) -> Row | None:
    """The plugin's cost at 16 kHz beside what its parts cost alone; None without it."""
    plugin = next((row for row in results.rows if row.number == "2"), None)
    if plugin is None:
        return None
    least = alone[SEND] + alone[RING] + alone[TURN] / TURN_FRAMES
    ours = plugin.ours
    times = Spread(*(us / least for us in (ours.median, ours.low, ours.high)))
    return Row(
        "10",
        "row 2, in floors: a send, the ring, a fifth of a Turn",
        "times",
        times,
        None,
        None,
        "at most 1.5 times",
        times.median <= 1.5,
        plugin.trusty,
        [f"the floor is {least:.1f} µs"],
    )


ROWS: dict[str, Callable[[Bench, Results], None]] = {
    **{n: functools.partial(cost, n, load) for n, load in COSTS.items()},
    "u": under_uvloop,
    "5": memory,
    "6": ladder,
    "7": latency,
    "8": held,
    "9": jobs,
}
