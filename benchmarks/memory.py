"""What an outage of all streams takes: rings that fill up together, and empty again.

    python -m benchmarks.memory

Each row is a process of its own, since memory that was used once stays warm. Rings hold
16 kHz PCM, written in frames of 50 ms. Linux only: memory is what the kernel says.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from pathlib import Path

from aai_stream._core import AudioRing, held_memory, limit_memory

RATE = 16_000
FRAME = os.urandom(2 * RATE // 20)
REPLAY_SECONDS = 120
OUTAGE_SECONDS = 130
ROWS = [(200, math.inf), (200, 512), (1000, 512)]
"""Rings and MB."""


def resident_mb() -> float:
    """The process's memory, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(count: int, bound_mb: float) -> list[str]:
    """The row of `count` rings, under a bound or none."""
    limit_memory(round(min(bound_mb, 1e12) * 1e6))
    rings = [AudioRing(RATE, replay_seconds=REPLAY_SECONDS) for _ in range(count)]
    before, most = resident_mb(), 0.0
    seconds_taken = []
    for _ in range(OUTAGE_SECONDS):
        begin = time.process_time()
        for _ in range(20):
            for ring in rings:
                ring.write(FRAME, RATE)
        seconds_taken.append(time.process_time() - begin)
        most = max(most, resident_mb())
    kept = sorted((ring.written - ring.acked) / RATE for ring in rings)
    full, held = resident_mb(), held_memory() / 1e6
    for ring in rings:
        while (chunk := ring.next_chunk()) is not None:
            ring.ack(chunk.start)
        ring.flush()
        ring.ack(ring.sent)
    return [
        str(count),
        "none" if bound_mb == math.inf else f"{bound_mb:g} MB",
        f"{kept[0]:.0f} to {kept[-1]:.0f} s",
        f"{held:.0f} MB",
        f"{full - before:.0f} MB",
        f"{most - before:.0f} MB",
        f"{resident_mb() - before:.0f} MB",
        f"{100 * sum(seconds_taken) / OUTAGE_SECONDS:.1f} %",
        f"{100 * max(seconds_taken):.0f} %",
    ]


def main() -> None:
    """Print the table, or one row of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", nargs=2, type=float, help="rings and MB, in here")
    row = parser.parse_args().row
    if row is not None:
        print("|", " | ".join(measure(int(row[0]), row[1])), "|")
        return
    print(
        "| streams | bound | audio kept of each | of rings | resident | at most "
        "| after it | of a core | in the worst second |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for count, bound_mb in ROWS:
        command = [sys.executable, "-m", "benchmarks.memory", "--row"]
        subprocess.run([*command, str(count), str(bound_mb)], check=True)


if __name__ == "__main__":
    main()
