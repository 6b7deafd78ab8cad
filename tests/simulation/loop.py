"""An event loop whose time is virtual: it passes only where everybody waits."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Awaitable, Generator, Mapping
from typing import Any, TypeVar
from unittest import mock

from aai_stream.telemetry.reporter import Reporter

T = TypeVar("T")

MOST_TURNS = 10_000
"""Of the loop, in a millisecond."""


class Stuck(Exception):
    """Everybody waits, and nothing will ever happen; or time doesn't pass."""


class _NoWaiting(selectors.BaseSelector):
    """Reports no sockets, and lets time pass instead of waiting for any."""

    def __init__(self) -> None:
        self._keys: dict[Any, selectors.SelectorKey] = {}
        self.now = 0.0
        self._counts_from = 0.0
        self._turns = 0

    def register(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[fileobj] = selectors.SelectorKey(fileobj, fd, events, data)
        return self._keys[fileobj]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("everybody waits for ever")
        # A clock that stands is none; and what is due is not a rounding error away.
        self.now = math.nextafter(self.now + max(0.0, timeout), math.inf)
        self._turns += 1
        if self.now > self._counts_from + 0.001:
            self._counts_from, self._turns = self.now, 0
        elif self._turns > MOST_TURNS:
            raise Stuck(f"the loop turns, but time doesn't pass at {self.now}")
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs hours in a moment. There is no I/O on it."""

    def __init__(self) -> None:
        self._clock = _NoWaiting()
        super().__init__(self._clock)
        self._clock_resolution = 0.0  # nothing is due before its time

    def time(self) -> float:
        return self._clock.now

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """As ever; no stream is sampled every second, or else nobody would ever wait
        for ever, nor shown to `aai-stream top`."""
        with mock.patch.object(Reporter, "begin"):
            return super().run_until_complete(future)
