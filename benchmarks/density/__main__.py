"""The command line; see the package."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from . import __doc__ as about
from .floor import floor
from .plot import plot
from .report import load, markdown, save
from .results import Results
from .rows import ROWS, beside_floor
from .turns import Bench

JSON = Path(__file__).parents[1] / "density.json"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default=",".join(ROWS), help="some of them")
    parser.add_argument("--pairs", type=int, default=7, help="rounds of each row")
    parser.add_argument("--seconds", type=float, default=2.25, help="of each turn")
    parser.add_argument("--jobs", type=int, default=40, help="of each kind, in row 9")
    parser.add_argument("--plain", action="store_true", help="row 9 without TLS")
    parser.add_argument(
        "--quick", action="store_true", help="try the harness; the figures mean nothing"
    )
    parser.add_argument("--markdown", action="store_true", help="measure nothing")
    parser.add_argument("--json", type=Path, default=JSON, help="where results are")
    parser.add_argument("--plot", type=Path, help="draw it, too: an SVG")
    asked = parser.parse_args()
    if not asked.markdown:
        measure(asked)
    measured = load(asked.json)
    print(markdown(measured))
    if asked.plot is not None:
        plot(measured, asked.plot)


def measure(asked: argparse.Namespace) -> None:
    """Measure what is asked for, and save it."""
    bench = Bench.of_this_machine(asked.pairs, asked.seconds, scale=1)
    if asked.quick:
        bench = Bench.of_this_machine(rounds=1, seconds=0.3, scale=0.04)
    bench = replace(bench, jobs=asked.jobs, jobs_tls=not asked.plain)
    results = Results()
    for name, measure_row in ROWS.items():
        if name in asked.rows.split(","):
            measure_row(bench, results)
            print(f"row {name} done", flush=True)
    alone = floor(bench)
    if (row := beside_floor(results, alone)) is not None:
        results.rows.append(row)
    save(asked.json, results, alone, bench.rounds)


if __name__ == "__main__":
    main()
