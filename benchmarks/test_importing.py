"""What importing the plugin adds to importing LiveKit, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from typing import Any

MOST = 0.15
"""Of what LiveKit takes; three times what it is. Half of that is to read whom the
machine trusts, which no job has to do then."""
PROGRAM = """
import time
begin = time.process_time()
import livekit.agents
between = time.process_time()
import aai_stream.livekit
end = time.process_time()
print((end - between) * 1000, (end - between) / (between - begin))
"""


def test_importing_the_plugin(benchmark: Any) -> None:
    """In CPU time; the first round, which is not counted, compiles the modules."""
    added_ms: list[float] = []
    shares: list[float] = []
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}

    def run() -> None:
        program = [sys.executable, "-c", PROGRAM]
        out = subprocess.check_output(program, env=environment)
        ms, share = map(float, out.split())
        added_ms.append(ms)
        shares.append(share)

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    benchmark.extra_info["added_ms"] = median(added_ms[1:])
    assert median(shares[1:]) <= MOST
