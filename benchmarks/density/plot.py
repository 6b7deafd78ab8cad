"""CPU and lag against the number of streams, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .turns import OURS, THEIRS

LABELS = {OURS: "aai_stream.livekit", THEIRS: "livekit-plugins-assemblyai"}
COLOURS = {OURS: "#0969da", THEIRS: "#bc4c00"}


def plot(measured: dict[str, Any], path: Path) -> None:
    """Draw the ladder. Needs matplotlib."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "density"  # the same file for the same run
    figure = Figure(figsize=(9, 3.6), layout="constrained", facecolor="white")
    cpu, lag = figure.subplots(1, 2)
    for client, label in LABELS.items():
        steps = [step for step in measured["ladder"] if step["client"] == client]
        for axes, name in ((cpu, "us"), (lag, "lag_p99_ms")):
            axes.plot(
                [step["streams"] for step in steps],
                [step[name]["median"] for step in steps],
                marker="o",
                color=COLOURS[client],
                label=label,
            )
            axes.fill_between(
                [step["streams"] for step in steps],
                [step[name]["low"] for step in steps],
                [step[name]["high"] for step in steps],
                color=COLOURS[client],
                alpha=0.15,
                linewidth=0,
            )
    cpu.set(ylabel="CPU per stream and 50 ms, µs", ylim=(0, None))
    lag.set(ylabel="event loop late by, p99, ms", yscale="log")
    lag.axhline(20, color="#57606a", linewidth=1, linestyle="--")
    for axes in (cpu, lag):
        axes.set(xlabel="streams on one core, 24 kHz, TLS")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#d0d7de", linewidth=0.5)
    cpu.legend(frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})
