"""Which of the files of prometheus_client's multiprocess mode are a process's.

prometheus_client names them by process, and keeps those of processes that are over, as
what these counted still counts. A LiveKit worker has a process for each call, so each
call would leave three files for every scrape to read. Here a process goes on with the
files of one that is over: counters where that left them, gauges from nothing.
"""

from __future__ import annotations

import os
import re
from functools import cache
from itertools import count

from prometheus_client import values

from ..sharing import try_lock, unlock

_LOCKS = "aai-stream.locks"
_GAUGES_OF_THE_LIVING = re.compile(r"gauge_live\w+_stream(\d+)\.db")


@cache
def share() -> None:
    """Let metrics that begin to count from now on do so in such files, if it is that
    mode. Earlier, LiveKit's worker would empty the directory after they were opened."""
    if values.ValueClass is not values.MutexValue:
        values.ValueClass = values.MultiProcessValue(_name)  # type: ignore[no-untyped-call]


@cache
def _name() -> str:
    """What files of this process, and of no other that lives, are called by.

    Gauges of whoever died without a word go: nobody tells prometheus_client, LiveKit's
    worker neither.
    """
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    # Never closed: that would let go of the lock.
    locks = os.open(os.path.join(folder, _LOCKS), os.O_RDWR | os.O_CREAT, 0o600)
    ours = next(number for number in count() if try_lock(locks, number))
    for name in os.listdir(folder):
        if (gauges := _GAUGES_OF_THE_LIVING.fullmatch(name)) is None:
            continue
        number = int(gauges[1])
        if number == ours:
            os.unlink(os.path.join(folder, name))
        elif try_lock(locks, number):
            os.unlink(os.path.join(folder, name))
            unlock(locks, number)
    return f"stream{ours}"


os.register_at_fork(after_in_child=_name.cache_clear)
