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
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension

ROOT = Path(__file__).parents[1]
FLAGS = ["-O2", "-Wall", "-Wextra", "-Wconversion"]
OURS = re.compile(r"(\S*/)?_\w+\.(pyx|pxd|pxi):.* (warning|error): ")


def main() -> int:
    (extension,) = cythonize(
        [Extension("aai_stream._core", ["src/_core.pyx"])],
        include_path=["src"],
        build_dir="build/warnings",
        emit_linenums=True,
        quiet=True,
    )
    compiled = subprocess.run(
        [
            *("gcc", *FLAGS, f"-I{sysconfig.get_path('include')}"),
            *("-c", extension.sources[0], "-o", "/dev/null"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    found = [line for line in compiled.stderr.splitlines() if OURS.match(line)]
    print(*found, f"{len(found)} warnings on lines of ours", sep="\n")
    return 1 if found else compiled.returncode


if __name__ == "__main__":
    sys.exit(main())
