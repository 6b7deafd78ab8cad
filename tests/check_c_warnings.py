"""Compile the core with gcc's strict warnings; fail if a line of ours earns one.

    python tests/check_c_warnings.py

Line directives in the generated C tell our lines from Cython's own boilerplate, whose
warnings are not ours.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLAGS = ["-O2", "-Wall", "-Wextra", "-Wconversion"]
OURS = re.compile(r"(\S*/)?_\w+\.(pyx|pxd|pxi):\d+.* (warning|error): ")


def compile_core(directory: str) -> list[str]:
    """What gcc has to say, line by line."""
    generated = f"{directory}/_core.c"
    with open(f"{directory}/_filters.h", "w") as header:
        filters = [sys.executable, "src/_filters.py"]
        subprocess.run(filters, cwd=ROOT, check=True, timeout=300, stdout=header)
    subprocess.run(
        [
            *(sys.executable, "-m", "cython", "--line-directives"),
            *("--module-name", "aai_stream._core", "--include-dir", "src"),
            *("src/_core.pyx", "-o", generated),
        ],
        cwd=ROOT,
        check=True,
        timeout=300,
    )
    headers = f"-I{directory}", f"-I{sysconfig.get_path('include')}"
    gcc = ["gcc", *FLAGS, *headers, "-c", generated, "-o", "/dev/null"]
    compiled = subprocess.run(
        gcc, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    return compiled.stderr.splitlines()


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        found = [line for line in compile_core(directory) if OURS.match(line)]
    print(*found, f"{len(found)} C warnings on lines of ours", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
