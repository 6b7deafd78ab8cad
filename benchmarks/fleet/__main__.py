"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from .outcome import BUDGETS, Setting, table
from .plot import plot
from .simulation import simulate


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet")
    helps = {
        "streams": "streams, one in each process",
        "hosts": "hosts that they are on",
        "outage": "seconds for which the region is gone",
        "per-minute": "new sessions that the account may open a minute",
        "replay": "seconds of audio that a stream keeps (replay_seconds)",
        "max-retries": "attempts of a stream (for ever unless given)",
        "patience": "seconds that it waits while it is refused as too many",
        "seed": "of all that is drawn",
    }
    for name, text in helps.items():
        default = getattr(Setting, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw it, too")
    options = vars(parser.parse_args())
    path = options.pop("plot")
    setting = Setting(**options)
    outcomes = [simulate(setting, budget) for budget in BUDGETS]
    print(table(outcomes))
    if path is not None:
        plot(setting, outcomes, path)


if __name__ == "__main__":
    main()
