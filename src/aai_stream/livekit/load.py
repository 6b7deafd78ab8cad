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

from ..connection.addresses import DEFAULT_URL, host_of
from ..connection.connector import Connector
from ..connection.credentials import Credentials
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


def load_fnc(
    *,
    max_sessions: int | None = None,
    budget: str | None = None,
    api_key: str | None = None,
    base_url: str = DEFAULT_URL,
    most_lag_ms: float = MOST_LAG_MS,
) -> Callable[[], float]:
    """What tells LiveKit how full a worker is, from 0 to 1.

    The highest of the CPU used, the memory used, how late threads are woken, as a share
    of `most_lag_ms`, and the account's sessions in use, as a share of `max_sessions`.
    In a container the first two are of what it may use. With LiveKit's threshold of 0.7
    a worker takes no more calls while 0.3 of the sessions are left for those it has,
    and for other workers.

    Args:
        max_sessions: sessions that the account may have at once; without it they are
            not looked at. They are those of all processes that share the account's
            limits, see docs/fleet.md.
        budget: as for `STT`.
        api_key: as for `STT`.
        base_url: as for `STT`.
        most_lag_ms: a host that wakes threads so late is full.

    Raises:
        OptionError: a number, URL or key won't do.
        MissingExtraError: `budget` needs the package redis.
    """
    if not isinstance(most_lag_ms, (int, float)) or not most_lag_ms > 0:
        raise OptionError(f"most_lag_ms must be above 0, not {most_lag_ms!r}")
    host = _Host()
    if max_sessions is None:
        return lambda: load_of(host.samples(), most_lag_ms)
    account = Connector(
        Credentials(api_key, host=host_of(base_url)),
        base_url,
        max_sessions=max_sessions,
        budget=budget,
    )

    def load() -> float:
        sessions = account.sessions_in_use() / max_sessions
        return min(1.0, max(load_of(host.samples(), most_lag_ms), sessions))

    return load


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
