"""Calls under virtual time: `python -m tests.simulation SEED…` holds some again and
says what happened; `--hours H` holds as many as last so long, over all cores.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count

from tests.simulation.world import Call, hold_call

BATCH = 50
"""Calls, for a process at a time."""


def main() -> int:
    """Returns 1 if anything is wrong."""
    parser = argparse.ArgumentParser("python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, metavar="SEED")
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--first", type=int, default=0, help="seed of the first call")
    asked = parser.parse_args()
    if not asked.hours:
        calls = [hold_call(seed) for seed in asked.seeds]
        print("\n\n".join(call.report() for call in calls))
        return int(any(call.problems for call in calls))
    return _hold_hours(asked.hours, asked.first)


def _hold_hours(hours: float, first: int) -> int:
    seconds = wrong = held = 0.0
    began = told = time.monotonic()
    for calls in _in_parallel(first):
        for call in calls:
            seconds += call.seconds
            held += 1
            if call.problems:
                wrong += 1
                print(call.report(), end="\n\n", flush=True)
        is_over = seconds >= hours * 3600
        if is_over or time.monotonic() - told >= 60:
            told = time.monotonic()
            print(
                f"{seconds / 3600:.0f} h of {held:.0f} calls in {told - began:.0f} s; "
                f"{wrong:.0f} of them went wrong",
                flush=True,
            )
        if is_over:
            break
    return int(wrong > 0)


def _in_parallel(first: int) -> Iterator[list[Call]]:
    """Calls from that seed on, without end."""
    gc.freeze()
    with ProcessPoolExecutor() as pool:
        starts = count(first, BATCH)
        waiting = 2 * (os.cpu_count() or 1)
        ahead = [pool.submit(hold_calls, next(starts)) for _ in range(waiting)]
        try:
            while True:
                done = ahead.pop(0).result()
                ahead.append(pool.submit(hold_calls, next(starts)))
                yield done
        finally:
            pool.shutdown(cancel_futures=True)


def hold_calls(first: int) -> list[Call]:
    """A batch. Of calls that went well there is no log."""
    calls = [hold_call(seed) for seed in range(first, first + BATCH)]
    for call in calls:
        if not call.problems:
            call.log.clear()
    return calls


if __name__ == "__main__":
    sys.exit(main())
