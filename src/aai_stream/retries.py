"""When a lost session is tried again, and when that is given up."""

from __future__ import annotations

import random
from collections.abc import Callable

from .errors import (
    AaiStreamError,
    BusyError,
    ExpiredError,
    SessionError,
    TransientError,
)

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 10.0
"""Bounds of the backoff: waits are drawn evenly from 0 to a limit, which doubles from
the one to the other ("full jitter")."""

FIRST_BUSY_SECONDS = 2.0
LONGEST_BUSY_SECONDS = 30.0
"""The same while the account has too many sessions, on top of what the server asks."""

LONGEST_RETRY_AFTER = 60.0
"""A server that asks for more is asked again after this."""

PROGRESS_SECONDS = 10.0
"""A session that lasted this long, or covered audio with a final turn, got on."""

ABNORMAL = 1006


class BusyWaits:
    """Waits while the account has too many sessions, for `patience` seconds in all.

    That is no failure to be counted: other sessions end, and then there is a place.
    """

    def __init__(
        self, patience: float, *, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._patience = patience
        self._draw = draw
        self._since: float | None = None
        self._waits = 0

    def over(self) -> None:
        """A session got on with its work; the next time begins anew."""
        self._since = None
        self._waits = 0

    def delay(self, failure: AaiStreamError, now: float) -> float | None:
        """Seconds to wait before the next attempt; None if `failure` is another, or has
        lasted too long. `now` is in seconds, by any clock that goes steadily."""
        if not isinstance(failure, BusyError):
            return None
        if self._since is None:
            self._since = now
        if now - self._since >= self._patience:
            return None
        limit = min(LONGEST_BUSY_SECONDS, FIRST_BUSY_SECONDS * 2**self._waits)
        self._waits += 1
        return asked_for(failure) + self._draw(0, limit)


def asked_for(failure: AaiStreamError) -> float:
    """How many seconds the server asked us to wait, within reason."""
    if isinstance(failure, TransientError) and failure.retry_after is not None:
        return min(failure.retry_after, LONGEST_RETRY_AFTER)
    return 0.0


class Retries:
    """Counts failures without progress: at most `most` of them are tried again.

    Too many sessions are none, for `patience` seconds; see `BusyWaits`.
    """

    def __init__(
        self,
        most: int,
        *,
        patience: float = 0.0,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._most = most
        self._draw = draw
        self._busy = BusyWaits(patience, draw=draw)
        self._failures = 0

    def progress(self) -> None:
        """A session got on with its work: failures begin to count anew."""
        self._failures = 0
        self._busy.over()

    def limit(self, most: int) -> None:
        """From here on no more than `most` failures are tried again."""
        self._most = min(self._most, self._failures + most)

    def delay(self, failure: SessionError, now: float) -> float:
        """Seconds to wait before the next attempt; `now` is as for `BusyWaits`.

        Raises `failure` if it may not be tried again, and an error of its type that
        says so if too many were.
        """
        if not isinstance(failure, TransientError):
            raise failure
        if self._most and (wait := self._busy.delay(failure, now)) is not None:
            return wait
        if self._failures >= self._most:
            if self._failures == 0:
                raise failure
            text = f"gave up after {self._failures + 1} attempts without progress"
            raise type(failure)(f"{text}; the last: {failure}", code=failure.code)
        attempt, self._failures = self._failures, self._failures + 1
        at_once = failure.code == ABNORMAL or isinstance(failure, ExpiredError)
        if attempt == 0 and at_once:
            return asked_for(failure) + self._draw(0, 0.1)
        limit = min(LONGEST_SECONDS, FIRST_SECONDS * 2**attempt)
        return asked_for(failure) + self._draw(0, limit)
