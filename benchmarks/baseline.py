"""Instructions of a frame as they were when somebody last looked, in baseline.json.

    python -m benchmarks.baseline

counts anew and keeps that, for the Python that runs it. A count is the same on every
machine that runs the same code. So each Python's counts say what they were made with,
and where anything of that is different, there is nothing to compare with.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

from benchmarks.callgrind import compiler, count
from benchmarks.paths import PATHS

FILE = Path(__file__).with_suffix(".json")
PYTHON = "{}.{}".format(*sys.version_info)
PACKAGES = {package for path in PATHS.values() for package in path.packages}
REMAKE = "`make rebase` makes one"


class Baseline(TypedDict):
    """What one Python takes."""

    made_with: dict[str, str]
    instructions: dict[str, float]


class Unknown(Exception):
    """There is nothing to compare with."""


def read() -> dict[str, Baseline]:
    """The baselines, by Python version."""
    baselines: dict[str, Baseline] = json.loads(FILE.read_text())
    return baselines


def known(name: str, baselines: dict[str, Baseline], here: dict[str, str]) -> float:
    """Instructions that path `name` took with what is `here`, or raises `Unknown`."""
    baseline = baselines.get(PYTHON)
    if baseline is None:
        raise Unknown(f"no baseline for Python {PYTHON}; {REMAKE}")
    elsewhere = PACKAGES.difference(PATHS[name].packages)
    for what, ours in here.items():
        theirs = baseline["made_with"].get(what)
        if what not in elsewhere and ours != theirs:
            raise Unknown(f"no baseline for {what} {ours!r}, only {theirs!r}; {REMAKE}")
    return baseline["instructions"][name]


def made_with() -> dict[str, str]:
    """All that decides on a count but our own code: packages and what lies below."""
    return {
        "python": sys.version,  # which names the very build
        "processor": processor(),
        "libc": " ".join(platform.libc_ver()),
        "compiler": first_line(compiler()[0], "--version"),
        "CFLAGS": os.environ.get("CFLAGS", ""),
        "valgrind": first_line("valgrind", "--version"),
        **{package: version(package) for package in sorted({"cython", *PACKAGES})},
    }


def processor() -> str:
    """As far as valgrind shows it: one with AVX2 is like another."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return platform.machine() + (" with AVX2" if "avx2" in flags else "")


def first_line(*command: str) -> str:
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return out.splitlines()[0]


def main() -> None:
    """Keep what is counted now."""
    counted = count()
    instructions = {name: round(counted[name], 1) for name in PATHS}
    baselines = read()
    baselines[PYTHON] = Baseline(made_with=made_with(), instructions=instructions)
    text = json.dumps(dict(sorted(baselines.items())), indent=2)
    FILE.write_text(text + "\n")
    for name, number in instructions.items():
        print(f"{number:12,.0f} {name}")


if __name__ == "__main__":
    main()
