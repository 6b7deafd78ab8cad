"""How many new sessions a minute this process asks for, over all of its streams.

AssemblyAI counts new sessions a minute and refuses what is over an account's limit.
A hundred streams that lose their server at once would be over it at once.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

from .addresses import is_loopback
from .errors import OptionError

SESSIONS_PER_MINUTE = 100
"""The least limit of a paid account."""


class ConnectLimiter:
    """A token bucket with jitter: half a minute's sessions at once, then the rest.

    Half is the bucket's size and half its flow, so that no minute sees more than
    `per_minute` sessions. Those that wait go in the order in which they came, in each
    event loop. Raises `OptionError` unless `per_minute` is at least 1.
    """

    def __init__(
        self,
        per_minute: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not isinstance(per_minute, (int, float)) or not per_minute >= 1:
            raise OptionError(
                f"sessions_per_minute must be at least 1, not {per_minute!r}"
            )
        self._interval = 120 / per_minute
        self._burst_seconds = max(0.0, 60 - self._interval)
        self._clock = clock
        self._jitter = jitter
        self._spent = -math.inf  # the moment at which all admitted are paid for
        self._lock = threading.Lock()  # loops in several threads may share a limiter
        self._lines = WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]()

    async def admit(self) -> None:
        """Wait until one more session may be opened."""
        async with self._line():  # behind those who came before
            wait = self._reserve()
            try:
                if wait:
                    await asyncio.sleep(wait)
            except asyncio.CancelledError:
                with self._lock:  # the next one may have the place
                    self._spent -= self._interval
                raise

    def _line(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        with self._lock:
            return self._lines.setdefault(loop, asyncio.Lock())

    def _reserve(self) -> float:
        with self._lock:
            now = self._clock()
            wait = max(0.0, self._spent - now - self._burst_seconds)
            self._spent = max(now, self._spent) + self._interval
        # A jitter longer than the burst would bring those before and behind it too
        # close together.
        longest = min(self._interval, self._burst_seconds)
        return wait and wait + self._jitter() * longest


_limiters: dict[tuple[str, str, float], ConnectLimiter] = {}


def shared_limiter(
    host: str, account: str, per_minute: float | None
) -> ConnectLimiter | None:
    """The limiter of all streams to `host` for `account`, an opaque name.

    `per_minute` is `SESSIONS_PER_MINUTE` if None, but on loopback, where no account is
    at risk; `math.inf` is no limit at all.
    """
    if per_minute is None:
        per_minute = math.inf if is_loopback(host) else SESSIONS_PER_MINUTE
    if per_minute == math.inf:
        return None
    limiter = ConnectLimiter(per_minute)
    return _limiters.setdefault((host, account, per_minute), limiter)
