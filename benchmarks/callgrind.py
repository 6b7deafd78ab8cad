"""Instructions of a frame, counted by valgrind's callgrind.

Unlike times they are the same however fast or busy the machine is. All paths are
counted in one process, which starts slowly and is instrumented only for what counts.

What is left to chance is where memory lies. `malloc` takes more or fewer steps with
what happens to be free, 2 % of a frame, and is not counted. Copies and lookups by
address take part of a per cent: the heap is changed between several counts, of which
the least is told, and nothing comes from the environment that could move it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from benchmarks.paths import PATHS, WASTEFUL, repeat

HEAPS = 4
FRAMES = 100
WARM_FRAMES = 100
"""By then the interpreter has specialised its bytecode, and caches are full."""

SOURCE = Path(__file__).with_suffix(".c")
HEADER = "valgrind/callgrind.h"
KEPT = {"PYTHONPATH", "LD_LIBRARY_PATH"} & os.environ.keys()
ENVIRONMENT = {
    **{name: os.environ[name] for name in KEPT},
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's threads would spin, and be counted
}
OPTIONS = [
    *("--tool=callgrind", "--vgdb=no", "--instr-atstart=no"),
    *(f"--toggle-collect={name}" for name in ("malloc", "calloc", "realloc", "free")),
    "--collect-atstart=yes",  # behind the others, which change it
]


class Missing(Exception):
    """This machine can't count instructions."""


def compiler() -> list[str]:
    """The C compiler's command, the core's."""
    return (os.environ.get("CC") or sysconfig.get_config_var("CC")).split()


def count() -> dict[str, float]:
    """Instructions of one frame on each path. Raises `Missing`."""
    if (valgrind := shutil.which("valgrind")) is None:
        raise Missing("valgrind is not installed")
    with tempfile.TemporaryDirectory() as directory:
        library = compile_switch(directory)
        command = [
            *(valgrind, *OPTIONS, f"--callgrind-out-file={directory}/out"),
            *(sys.executable, "-m", "benchmarks.callgrind", library),
        ]
        done = subprocess.run(
            command,
            cwd=SOURCE.parents[1],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode < 0:
            raise Missing(f"valgrind died of signal {-done.returncode}")
        if done.returncode != 0:
            raise RuntimeError(f"counting failed:\n{done.stdout}{done.stderr}")
        dumps = [read_dump(path) for path in Path(directory).glob("out.*")]
    least: dict[str, float] = {}
    for name, counted in dumps:
        least[name] = min(counted, least.get(name, counted))
    return least


def compile_switch(directory: str) -> str:
    """The library that turns counting on and off."""
    library = f"{directory}/switch.so"
    command = [*compiler(), "-shared", "-fPIC", "-O", str(SOURCE), "-o", library]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if HEADER in done.stderr:
        raise Missing(f"{HEADER} is not installed")
    if done.returncode != 0:
        raise RuntimeError(f"{SOURCE.name} can't be compiled:\n{done.stderr}")
    return library


def read_dump(path: Path) -> tuple[str, float]:
    """A path's name, and the instructions of one frame on it."""
    text = path.read_text()
    name = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
    total = re.search(r"^totals: (\d+)$", text, re.MULTILINE)
    assert name is not None
    assert total is not None
    return name[1], int(total[1]) / FRAMES


def run(library: str) -> None:
    """The process that is counted."""
    switch = ctypes.CDLL(library)
    rng = random.Random(1)
    ballast: list[bytes] = []
    gc.disable()
    for _ in range(HEAPS):
        for name, path in {**PATHS, **WASTEFUL}.items():
            with path.open() as frame:
                repeat(frame, WARM_FRAMES)
                switch.begin()
                repeat(frame, FRAMES)
                switch.end(name.encode())
        ballast += [bytes(rng.randrange(1000, 20_000)) for _ in range(500)]


if __name__ == "__main__":
    run(sys.argv[1])
