"""How streams come back, and how often they ask, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .outcome import Outcome, Setting


def plot(setting: Setting, outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw how streams come back, and how often they ask, as SVG. Needs matplotlib."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "fleet"  # the same file for the same run
    figure = Figure(figsize=(9, 3.6), layout="constrained", facecolor="white")
    opened, connects = figure.subplots(1, 2)
    last = max(max(outcome.connects) for outcome in outcomes) + 20
    for outcome in outcomes:
        style: dict[str, Any] = {"color": outcome.budget.colour}
        moments = sorted(outcome.opened_at)
        counts = [*range(1, len(moments) + 1), len(moments)]
        opened.plot([*moments, last], counts, label=outcome.budget.name, **style)
        seconds = range(last)
        connects.plot(
            seconds, [max(outcome.connects[s], 0.5) for s in seconds], lw=1, **style
        )
    opened.set(ylabel="streams with a session", ylim=(0, None))
    opened.legend(frameon=False, title="budget")
    connects.set(ylabel="connects a second", yscale="log", ylim=(1, None))
    for axes in (opened, connects):
        axes.axvspan(0, setting.outage, color="#57606a", alpha=0.12, linewidth=0)
        axes.set(xlabel="seconds since the region was lost", xlim=(0, last))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#d0d7de", linewidth=0.5)
    figure.savefig(path, format="svg", metadata={"Date": None})
