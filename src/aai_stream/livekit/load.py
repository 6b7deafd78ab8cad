"""How full a worker is: a `load_fnc` for LiveKit's `AgentServer`.

from aai_stream.livekit.load import load_fnc

server = AgentServer(load_fnc=load_fnc(max_sessions=500))
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from livekit.agents.utils.hw import get_cpu_monitor

from ..errors import OptionError

MOST_LAG_MS = 100.0
"""A host that wakes a thread so late makes callers wait."""

SAMPLE_SECONDS = 0.5
SAMPLES = 5
"""Of which the load is made, so that one moment doesn't decide: as LiveKit's own."""

_CGROUP = Path("/sys/fs/cgroup")


class Sample(NamedTuple):
    """What a host was doing for a moment; shares are from 0 to 1."""

    cpu: float
    memory: float
    late_ms: float
    """How much later than it asked for a thread was woken; event loops are as late."""


def load_fnc(*, most_lag_ms: float = MOST_LAG_MS) -> Callable[[], float]:
    """What tells LiveKit how full this host is, from 0 to 1.

    The highest of the CPU used, the memory used, and how late threads are woken, as a
    share of `most_lag_ms`. In a container the first two are of what it may use.

    Raises `OptionError` for a `most_lag_ms` that is not above 0.
    """
    if not isinstance(most_lag_ms, (int, float)) or not most_lag_ms > 0:
        raise OptionError(f"most_lag_ms must be above 0, not {most_lag_ms!r}")
    host = _Host()
    return lambda: load_of(host.samples(), most_lag_ms)


def load_of(samples: list[Sample], most_lag_ms: float) -> float:
    """From the last samples, 0 without any."""
    if not samples:
        return 0.0
    cpu = sum(sample.cpu for sample in samples) / len(samples)
    late_ms = sorted(sample.late_ms for sample in samples)[len(samples) // 2]
    return min(1.0, max(cpu, samples[-1].memory, late_ms / most_lag_ms))


def memory_share(cgroup: Path = _CGROUP) -> float:
    """How much is used of the memory that this process may use, caches left out."""
    share = float(psutil.virtual_memory().percent) / 100
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        if limit == "max":
            return share
        used = int((cgroup / "memory.current").read_text())
        stat = dict(map(str.split, (cgroup / "memory.stat").read_text().splitlines()))
    except OSError:  # no container, or one of another kind
        return share
    return max(share, (used - int(stat.get("inactive_file", 0))) / int(limit))


class _Host:
    """Samples this host in a thread, from the first question on."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def samples(self) -> list[Sample]:
        """The last ones, the oldest first."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="aai-stream load", daemon=True
                )
                self._thread.start()
        return list(self._samples)

    def _run(self) -> None:
        monitor: Any = get_cpu_monitor()
        while True:
            began = time.monotonic()
            cpu = monitor.cpu_percent(interval=SAMPLE_SECONDS)
            late_ms = 1000 * (time.monotonic() - began - SAMPLE_SECONDS)
            self._samples.append(Sample(cpu, memory_share(), max(0.0, late_ms)))
