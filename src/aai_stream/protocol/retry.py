"""Which failure is tried again, after how long, and when that is given up."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import (
    BusyError,
    ExpiredError,
    RefusedError,
    SessionError,
    TransientError,
)
from .events import Retry

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 10.0
"""Bounds of the backoff: waits are drawn evenly from 0 to a limit, which doubles from
the first to the longest ("full jitter")."""

FIRST_BUSY_SECONDS = 2.0
LONGEST_BUSY_SECONDS = 30.0
"""The same while the account has too many sessions, on top of what the server asks."""

LONGEST_RETRY_AFTER = 60.0
"""A server that asks for more is asked again after this."""

PROGRESS_SECONDS = 10.0
"""A session that lasted this long, or covered audio with a final turn, got on."""

ABNORMAL = 1006
"""The code of a connection that ended without a close frame (RFC 6455, 7.1.5)."""

CANCELLED = 3005

CANCELLED_SOON_SECONDS = 15.0
"""A session that lasts longer is cancelled for another reason; 5 s have been seen."""

MOST_CANCELLED = 3
"""So many sessions in a row, cancelled soon, are taken for a refusal."""


class Retries:
    """Counts failures without progress: at most `most` of them are tried again.

    Too many sessions on the account are no failure to be counted: other sessions end,
    and then there is a place. They are waited for, for `patience` seconds in all.
    `draw` gives a random number between its two arguments. `interval` gives the seconds
    to wait after the first, second, … failure; None for the backoff.

    Attributes:
        gave_up: too many failures in a row were tried again.
    """

    def __init__(
        self,
        most: int,
        *,
        patience: float,
        draw: Callable[[float, float], float],
        interval: Callable[[int], float] | None = None,
    ) -> None:
        self._most = most
        self._patience = patience
        self._draw = draw
        self._interval = interval
        self.gave_up = False
        self._failures = 0
        self._busy_until = math.inf  # a place is waited for
        self._busy_waits = 0
        self._cancelled = 0  # sessions in a row, soon after they began

    @property
    def may_try(self) -> bool:
        """Whether anything is ever tried again."""
        return self._most > 0

    def progress(self) -> None:
        """A session got on with its work: failures begin to count anew."""
        self._failures = 0
        self._busy_until = math.inf
        self._busy_waits = 0

    def limit(self, most: int) -> None:
        """From here on, try no more than `most` failures again."""
        self._most = min(self._most, self._failures + most)

    def judge(
        self, failure: SessionError, *, model: str, seconds: float, told_turn: bool
    ) -> SessionError:
        """What a session ended with, given that it did so with `failure`.

        An account that may not use a model gets a Begin all the same, and 3005 some
        seconds later; trying again would go on for ever. 3005 is also what any failure
        of the server's looks like, so it takes `MOST_CANCELLED` sessions in a row that
        told no turn. `seconds` is how long this one lasted from its Begin.
        """
        is_soon = seconds <= CANCELLED_SOON_SECONDS
        if failure.code != CANCELLED or told_turn or not is_soon:
            self._cancelled = 0
            return failure
        self._cancelled += 1
        if self._cancelled < MOST_CANCELLED:
            return failure
        return RefusedError(
            f"no session with the model {model} lasts: the server has cancelled "
            f"{self._cancelled} in a row soon after Begin, as it does where the "
            f"account may not use that model; the last: {failure}",
            code=CANCELLED,
        )

    def plan(self, failure: Exception, now: float) -> Retry | Exception:
        """When to try again after `failure`, or the error that ends the stream."""
        if not isinstance(failure, TransientError):
            return failure
        asked = min(failure.retry_after or 0.0, LONGEST_RETRY_AFTER)
        if self._waits_for_a_place(failure, now):
            limit = _limit(FIRST_BUSY_SECONDS, LONGEST_BUSY_SECONDS, self._busy_waits)
            self._busy_waits += 1
            return Retry(failure, asked + self._draw(0, limit), counts=False)
        if self._failures >= self._most:
            return self._given_up(failure)
        attempt, self._failures = self._failures, self._failures + 1
        if self._interval is not None:
            return Retry(failure, max(asked, self._interval(attempt)), counts=True)
        limit = _limit(FIRST_SECONDS, LONGEST_SECONDS, attempt)
        if not attempt and (
            failure.code == ABNORMAL or isinstance(failure, ExpiredError)
        ):
            limit = 0.1
        return Retry(failure, asked + self._draw(0, limit), counts=True)

    def _waits_for_a_place(self, failure: TransientError, now: float) -> bool:
        if not self._most or not isinstance(failure, BusyError):
            return False
        self._busy_until = min(self._busy_until, now + self._patience)
        return now < self._busy_until

    def _given_up(self, failure: TransientError) -> SessionError:
        if not self._failures:
            return failure
        self.gave_up = True
        return type(failure)(
            f"gave up after {self._failures + 1} attempts without progress; the last: "
            f"{failure}",
            code=failure.code,
        )


def _limit(first: float, longest: float, waits: int) -> float:
    """The longest next wait, after so many."""
    return min(longest, first * 2.0 ** min(waits, 64))  # or else it overflows
