"""When a lost session is tried again, and when that is given up."""

from __future__ import annotations

import random
from collections.abc import Callable

from .errors import BusyError, ExpiredError, SessionError, TransientError

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 10.0
"""Bounds of the backoff: waits are drawn evenly from 0 to a limit, which doubles from
the one to the other ("full jitter")."""

BUSY_SECONDS = 10.0
"""The least wait when the account has too many sessions, unless the server says."""

LONGEST_RETRY_AFTER = 60.0
"""A server that asks for more is asked again after this."""

PROGRESS_SECONDS = 10.0
"""A session that lasted this long, or covered audio with a final turn, got on."""

ABNORMAL = 1006


class Retries:
    """Counts failures without progress: at most `most` of them are tried again."""

    def __init__(
        self, most: int, *, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._most = most
        self._draw = draw
        self._failures = 0

    def progress(self) -> None:
        """A session got on with its work: failures begin to count anew."""
        self._failures = 0

    def limit(self, most: int) -> None:
        """From here on no more than `most` failures are tried again."""
        self._most = min(self._most, self._failures + most)

    def delay(self, failure: SessionError) -> float:
        """Seconds to wait before the next attempt.

        Raises `failure` if it may not be tried again, and an error of its type that
        says so if too many were.
        """
        if not isinstance(failure, TransientError):
            raise failure
        if self._failures >= self._most:
            if self._failures == 0:
                raise failure
            text = f"gave up after {self._failures + 1} attempts without progress"
            raise type(failure)(f"{text}; the last: {failure}", code=failure.code)
        attempt, self._failures = self._failures, self._failures + 1
        at_once = failure.code == ABNORMAL or isinstance(failure, ExpiredError)
        if attempt == 0 and at_once:
            return self._draw(0, 0.1)
        limit = min(LONGEST_SECONDS, FIRST_SECONDS * 2**attempt)
        if failure.retry_after is not None:
            wait = min(failure.retry_after, LONGEST_RETRY_AFTER)
            return wait + self._draw(0, limit)
        if isinstance(failure, BusyError):
            return BUSY_SECONDS + self._draw(0, 2 * BUSY_SECONDS)
        return self._draw(0, limit)
