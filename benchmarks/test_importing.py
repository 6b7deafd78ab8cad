"""What importing the plugin adds to importing LiveKit, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from typing import Any

MOST_MS = 50.0
PROGRAM = """
import time
import livekit.agents
begin = time.process_time()
import aai_stream.livekit
print((time.process_time() - begin) * 1000)
"""


def test_importing_the_plugin(benchmark: Any) -> None:
    """In CPU time; the first round, which is not counted, compiles the modules."""
    added_ms: list[float] = []
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}

    def run() -> None:
        program = [sys.executable, "-c", PROGRAM]
        out = subprocess.check_output(program, env=environment)
        added_ms.append(float(out))

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    benchmark.extra_info["added_ms"] = median(added_ms[1:])
    assert median(added_ms[1:]) <= MOST_MS
