"""The results as JSON, as a table, and as a plot."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .results import Results, Row
from .spread import Spread

PACKAGES = ("aai-stream", "livekit-plugins-assemblyai", "livekit-agents", "assemblyai")


def save(path: Path, results: Results, floor: dict[str, float], rounds: int) -> None:
    """Write everything to `path`."""
    measured = {
        "python": platform.python_version(),
        "processor": _processor(),
        "packages": {name: version(name) for name in PACKAGES},
        "rounds": rounds,
        **asdict(results),
        "floor_us": floor,
    }
    path.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote."""
    measured: dict[str, Any] = json.loads(path.read_text())
    return measured


def markdown(measured: dict[str, Any]) -> str:
    """All of it, for the docs."""
    lines = [
        "| | | ours | theirs | times less | goal | |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [_row(row) for row in measured["rows"]]
    lines += [_table_line(row) for row in rows]
    lines += ["", "Median (least to most) of the rounds."]
    lines += [
        f"Row {row.number}, {row.title}: {'; '.join(row.remarks)}."
        for row in rows
        if row.remarks
    ]
    if measured["ladder"]:
        lines += ["", *_ladder_lines(measured["ladder"])]
    if measured["floor_us"]:
        lines += ["", "| alone, CPU | µs |", "|---|---|"]
        lines += [f"| {what} | {us:.1f} |" for what, us in measured["floor_us"].items()]
    packages = ", ".join(f"{k} {v}" for k, v in measured["packages"].items())
    lines += [
        "",
        f"Python {measured['python']}, {measured['processor']}; {packages}.",
    ]
    return "\n".join(lines)


def _row(saved: dict[str, Any]) -> Row:
    spreads = {
        name: saved[name] and Spread(**saved[name])
        for name in ("ours", "theirs", "ratio")
    }
    return Row(**{**saved, **spreads})


def _table_line(row: Row) -> str:
    verdict = "met" if row.met else "not met"
    if not row.trusty:
        verdict = "invalid: the server was late"
    cells = [
        row.number,
        row.title,
        f"{row.ours} {row.unit}",
        f"{row.theirs} {row.unit}" if row.theirs else "",
        str(row.ratio or ""),
        row.goal,
        verdict,
    ]
    return f"| {' | '.join(cells)} |"


def _ladder_lines(ladder: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| streams, 24 kHz | | core | CPU per stream and 50 ms | loop lag p99 "
        "| streams late |",
        "|---|---|---|---|---|---|",
    ]
    for step in ladder:
        core, us, lag = (Spread(**step[name]) for name in ("core", "us", "lag_p99_ms"))
        mark = "" if step["trusty"] else " (server late)"
        lines.append(
            f"| {step['streams']} | {step['client']} | {100 * core.median:.0f} % "
            f"| {us} µs | {lag} ms{mark} | {step['late_streams']} |"
        )
    return lines
