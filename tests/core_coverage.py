"""Which lines of the core its own tests run.

    python tests/core_coverage.py [pytest arguments]

Builds the library a second time, under build/coverage/core and with Cython's line
tracing, and tests that: tracing makes it ten times as slow. Fails below `fail_under`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "coverage" / "core"
SETTINGS = BUILD / "coverage.ini"

# Definitions are no lines of functions. Those that an included file has would count as
# missed: when the module is loaded, they are reported as lines of _core.pyx.
CONFIGURATION = r"""
[run]
plugins = Cython.Coverage
source = src
parallel = true
patch = subprocess

[report]
include = src/_core.pyx, src/*.pxi
precision = 1
show_missing = true
fail_under = 95
exclude_lines =
    ^(cdef|cpdef|def|class)\s
    ^\s+(def|cpdef|cdef)\s[^=]*\(
"""


def run(*command: str | Path, **environment: str) -> None:
    """In `BUILD`; ends this program if it fails."""
    environment = {**os.environ, **environment}
    done = subprocess.run(command, cwd=BUILD, env=environment, timeout=900)
    if done.returncode != 0:
        sys.exit(done.returncode)


def build() -> None:
    """A copy of the library whose core says which lines it runs."""
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    ignored = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "src", BUILD / "src", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, BUILD)
    core = BUILD / "src" / "_core.pyx"
    source = core.read_text()
    assert source.startswith("# cython: ")
    core.write_text(source.replace("# cython: ", "# cython: linetrace=True, ", 1))
    run(
        *(sys.executable, "setup.py", "-q", "build_ext", "--inplace"),
        CFLAGS="-DCYTHON_TRACE=1 -DCYTHON_TRACE_NOGIL=1",
    )
    # Coverage's plugin reads the generated C, and looks for it beside the source.
    shutil.move(BUILD / "build" / "src" / "_core.c", BUILD / "src")


def main(arguments: list[str]) -> None:
    """Build, test, report."""
    build()
    SETTINGS.write_text(CONFIGURATION)
    traced = {"PYTHONPATH": f"{BUILD / 'src'}{os.pathsep}{ROOT}"}
    check = f"import aai_stream._core as core; assert {str(BUILD)!r} in core.__file__"
    run(sys.executable, "-c", check, **traced)
    tests = sorted((ROOT / "tests").glob("test_core_*.py"))
    coverage = (sys.executable, "-m", "coverage")
    settings = f"--rcfile={SETTINGS}"
    pytest = ("-m", "pytest", "-q", "--numprocesses=2", f"--rootdir={ROOT}")
    # Tracing lets other threads in where the core never does.
    but = ("-k", "not test_another_thread_may_take_at_any_time")
    run(*coverage, "run", settings, *pytest, *but, *tests, *arguments, **traced)
    run(*coverage, "combine", "--quiet", settings)
    run(*coverage, "report", settings)


if __name__ == "__main__":
    main(sys.argv[1:])
