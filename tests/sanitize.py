"""Run the core's tests with AddressSanitizer and UndefinedBehaviorSanitizer.

    python tests/sanitize.py [pytest arguments]

Builds the library a second time under build/sanitize and tests that. Needs gcc.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "sanitize"
LIBRARY = BUILD / "lib"
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all"


def run(*command: str, **environment: str) -> None:
    environment = {**os.environ, **environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, timeout=600)
    if done.returncode != 0:
        sys.exit(done.returncode)


def runtime(name: str) -> str:
    command = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.strip()


def main(arguments: list[str]) -> None:
    run(
        *(sys.executable, "setup.py", "-q", "build"),
        *("--build-base", str(BUILD), "--build-lib", str(LIBRARY)),
        CFLAGS=f"-g -fno-omit-frame-pointer -fno-wrapv {FLAGS}",
        LDFLAGS=FLAGS,
    )
    sanitized = {
        # libstdc++ must be there before AddressSanitizer looks for its `throw`.
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libstdc++.so')}",
        # Python never frees all it has; leaks are counted by the tests themselves.
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # Python's own arenas would hide small overruns
        "PYTHONPATH": str(LIBRARY),
    }
    check = f"import aai_stream._core as core; assert {str(LIBRARY)!r} in core.__file__"
    run(sys.executable, "-c", check, **sanitized)
    tests = [str(path) for path in sorted((ROOT / "tests").glob("test_core_*.py"))]
    # Capturing file descriptors would swallow the sanitizers' reports.
    pytest = (sys.executable, "-m", "pytest", "-q", "--capture=sys")
    run(*pytest, *tests, *arguments, **sanitized)


if __name__ == "__main__":
    main(sys.argv[1:])
