"""A thread that works when it is woken, and again when its work says so."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable


class Pump:
    """Calls `work`, which may block, off every event loop: soon after each `wake`, and
    so many seconds after it as it returned. One thread does so, from the first `wake`
    on and as long as the process lives."""

    def __init__(self, work: Callable[[], float]) -> None:
        self._work = work
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def wake(self) -> None:
        """Have it work. May be called in any thread."""
        self._awake.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="aai-stream budget", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        wait = math.inf
        while True:
            self._awake.wait(None if wait == math.inf else wait)
            self._awake.clear()
            wait = self._work()
