"""When a lost session is tried again, and when that is given up."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream.errors import (
    BusyError,
    DroppedError,
    EndedError,
    ExpiredError,
    RefusedError,
    RejectedError,
    SessionError,
    TimedOutError,
    TooFastError,
    TransientError,
    UnreachableError,
    UntrustedError,
)
from aai_stream.protocol.events import Retry
from aai_stream.protocol.retry import (
    CANCELLED_SOON_SECONDS,
    LONGEST_RETRY_AFTER,
    Retries,
)


def longest(low: float, high: float) -> float:
    """Draws the longest wait there may be."""
    return high


def retries(
    most: int,
    *,
    patience: float = 0,
    draw: Callable[[float, float], float] = longest,
    interval: Callable[[int], float] | None = None,
) -> Retries:
    return Retries(most, patience=patience, draw=draw, interval=interval)


def delay(
    of: Retries, failure: Exception, now: float = 0, *, counts: bool = True
) -> float:
    """How long `failure` has to wait, which is tried again."""
    plan = of.plan(failure, now)
    assert isinstance(plan, Retry)
    assert plan.failure is failure
    assert plan.counts is counts
    return plan.seconds


def error(of: Retries, failure: Exception, now: float = 0) -> Exception:
    """What ends the stream after `failure`."""
    plan = of.plan(failure, now)
    assert isinstance(plan, Exception)
    return plan


BACKOFF = [(0, 0.5), (0, 1), (0, 2), (0, 4), (0, 8), (0, 10), (0, 10)]
AT_ONCE = [(0, 0.1), *BACKOFF[1:]]


def bounds(failures: list[TransientError]) -> list[tuple[float, float]]:
    """The shortest and the longest wait after each of `failures`, in a row."""
    low, high = retries(len(failures), draw=min), retries(len(failures), draw=max)
    return [(delay(low, failure), delay(high, failure)) for failure in failures]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (DroppedError("cut", code=1006), AT_ONCE),
        (ExpiredError("3 h are over", code=3008), AT_ONCE),
        (ExpiredError("v2's code", code=4008), AT_ONCE),
        (DroppedError("failed", code=3005), BACKOFF),
        (DroppedError("blocked", code=1013), BACKOFF),
        (UnreachableError("refused"), BACKOFF),
        (TimedOutError("no Begin"), BACKOFF),
        (TooFastError("3007", code=3007), BACKOFF),
        (BusyError("too many", code=3009), BACKOFF),
        (
            BusyError("too many", code=429, retry_after=3),
            [(3 + low, 3 + high) for low, high in BACKOFF],
        ),
        (
            DroppedError("overloaded", code=503, retry_after=42),
            [(42 + low, 42 + high) for low, high in BACKOFF],
        ),
        (
            DroppedError("in an hour", code=503, retry_after=3600),
            [
                (LONGEST_RETRY_AFTER + low, LONGEST_RETRY_AFTER + high)
                for low, high in BACKOFF
            ],
        ),
        (DroppedError("back at once", code=503, retry_after=0), BACKOFF),
        (
            ExpiredError("in a while", code=3008, retry_after=5),
            [(5 + low, 5 + high) for low, high in AT_ONCE],
        ),
    ],
    ids=str,
)
def test_how_long_it_waits(
    failure: TransientError, expected: list[tuple[float, float]]
) -> None:
    assert bounds([failure] * 7) == expected


def test_only_the_first_cut_is_mended_at_once() -> None:
    cut = DroppedError("cut", code=1006)
    assert bounds([TimedOutError("no Begin"), cut]) == [(0, 0.5), (0, 1)]


# Only an answer by HTTP says when to come back.
closed = st.builds(
    lambda kind, code: kind("x", code=code),
    st.sampled_from([BusyError, DroppedError, ExpiredError, TooFastError]),
    st.sampled_from([None, 1006, 3005, 3008]),
)
answered = st.builds(
    lambda kind, wait: kind("x", code=503, retry_after=wait),
    st.sampled_from([BusyError, DroppedError, TimedOutError]),
    st.none() | st.floats(0, 100),
)


@given(st.lists(closed | answered, min_size=1, max_size=12))
def test_waits_are_drawn_from_all_of_it(failures: list[TransientError]) -> None:
    drawn = retries(len(failures), draw=random.Random(1).uniform)
    for failure, (low, high) in zip(failures, bounds(failures), strict=True):
        assert 0 <= low < high
        assert low <= delay(drawn, failure) <= high
        assert low >= min(failure.retry_after or 0, LONGEST_RETRY_AFTER)


@pytest.mark.parametrize(
    ("failure", "longest"), [(DroppedError("cut"), 10), (BusyError("too many"), 30)]
)
def test_it_may_go_on_for_days(failure: TransientError, longest: float) -> None:
    many = retries(10_000, patience=math.inf)
    plans = [many.plan(failure, now) for now in range(10_000)]
    assert all(isinstance(plan, Retry) for plan in plans)
    assert max(plan.seconds for plan in plans if isinstance(plan, Retry)) == longest


@pytest.mark.parametrize("most", [1, 2, 10])
def test_it_gives_up_and_says_so(most: int) -> None:
    some = retries(most)
    failure = DroppedError("overloaded", code=503, retry_after=1)
    for _ in range(most):
        delay(some, failure)
    assert not some.gave_up
    for _ in "12":  # asking again changes nothing
        given_up = error(some, failure)
        assert type(given_up) is DroppedError
        assert str(given_up) == (
            f"gave up after {most + 1} attempts without progress; the last: overloaded"
        )
        assert given_up.code == 503
        assert some.gave_up


def test_it_gives_up_with_the_last_failure_s_type() -> None:
    one = retries(1)
    delay(one, DroppedError("cut", code=1006))
    given_up = error(one, TimedOutError("no Begin"))
    assert type(given_up) is TimedOutError
    assert str(given_up) == (
        "gave up after 2 attempts without progress; the last: no Begin"
    )


def test_progress_restores_all() -> None:
    cut = DroppedError("cut", code=1006)
    two = retries(2)
    waits = []
    for _ in range(5):
        waits += [delay(two, cut), delay(two, cut)]
        two.progress()
    assert waits == [0.1, 1] * 5


def test_none_at_all() -> None:
    none = retries(0)
    failure = DroppedError("cut", code=1006)
    assert error(none, failure) is failure
    assert not none.gave_up  # it never tried
    assert not none.may_try
    assert retries(1).may_try


FINAL = [EndedError, RefusedError, RejectedError, UntrustedError, SessionError]


@pytest.mark.parametrize("kind", FINAL)
def test_what_is_final_is_told_as_it_is(kind: type[SessionError]) -> None:
    one = retries(1)
    failure = kind("no", code=1008)
    for _ in "12":
        assert error(one, failure) is failure
    assert delay(one, TimedOutError("no Begin")) == 0.5  # it used up nothing
    assert error(one, failure) is failure
    assert not one.gave_up


def test_and_so_is_what_has_nothing_to_do_with_a_session() -> None:
    failure = OSError("of a token source")
    assert error(retries(1), failure) is failure


def test_a_limit_counts_from_where_it_is_set() -> None:
    cut = DroppedError("cut")
    many = retries(30)
    for _ in range(7):
        delay(many, cut)
    many.limit(2)
    delay(many, cut)
    delay(many, cut)
    given_up = error(many, cut)
    assert type(given_up) is DroppedError
    assert str(given_up).startswith("gave up after 10 attempts")


def test_a_limit_gives_no_more_than_there_was() -> None:
    one = retries(1)
    one.limit(5)
    delay(one, DroppedError("cut"))
    given_up = error(one, DroppedError("cut"))
    assert str(given_up).startswith("gave up after 2 attempts")


# ---- waits that somebody else has chosen ----


def test_an_interval_is_waited_for_instead_of_the_backoff() -> None:
    asked: list[int] = []

    def interval(attempt: int) -> float:
        asked.append(attempt)
        return 7.0

    some = retries(4, interval=interval)
    cut = DroppedError("cut", code=1006)
    overloaded = DroppedError("overloaded", code=503, retry_after=9)
    soon = DroppedError("overloaded", code=503, retry_after=5)
    waits = [delay(some, failure) for failure in (cut, overloaded, soon, cut)]
    assert waits == [7, 9, 7, 7]  # or what the server asks, if that is longer
    assert asked == [0, 1, 2, 3]
    assert str(error(some, cut)).startswith("gave up after 5 attempts")
    some.progress()
    delay(some, cut)
    assert asked == [0, 1, 2, 3, 0]


def test_a_place_is_waited_for_in_its_own_way() -> None:
    some = retries(1, patience=120, interval=lambda attempt: 7.0)
    assert delay(some, BUSY, counts=False) == 2
    assert delay(some, BUSY, 120) == 7


# ---- too many sessions ----

BUSY = BusyError("too many", code=1008)
FULL_JITTER = [(0, 2), (0, 4), (0, 8), (0, 16), (0, 30), (0, 30)]


def test_too_many_sessions_are_waited_out_and_not_counted() -> None:
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    one = retries(1, patience=120, draw=draw)
    waits = [delay(one, BUSY, now, counts=False) for now in range(6)]
    assert waits == [2, 4, 8, 16, 30, 30]
    assert drawn == FULL_JITTER
    delay(one, DroppedError("cut"), 6)  # the one failure that may be
    assert type(error(one, DroppedError("cut"), 7)) is DroppedError


def test_patience_with_too_many_sessions_has_an_end() -> None:
    one = retries(1, patience=120)
    assert delay(one, BUSY, 1000, counts=False) == 2
    assert delay(one, BUSY, 1119.9, counts=False) == 4
    assert delay(one, BUSY, 1120) == 0.5  # counted, from here on
    given_up = error(one, BUSY, 1121)
    assert type(given_up) is BusyError
    assert str(given_up).startswith("gave up after 2 attempts")
    assert one.gave_up


def test_progress_restores_patience() -> None:
    one = retries(1, patience=120)
    assert delay(one, BUSY, 0, counts=False) == 2
    one.progress()
    assert delay(one, BUSY, 500, counts=False) == 2


def test_who_may_not_try_again_does_not_wait_either() -> None:
    assert error(retries(0, patience=120), BUSY) is BUSY


def test_what_the_server_asks_for_comes_on_top() -> None:
    asked = BusyError("too many", code=429, retry_after=3)
    one = retries(1, patience=120)
    waits = [delay(one, asked, now, counts=False) for now in (0, 1)]
    assert waits == [5, 7]
    assert delay(one, DroppedError("cut"), 2) == 0.5  # which is no such wait


# ---- a model that the account may not use ----

CANCELLED = DroppedError("Session Cancelled: An error occurred", code=3005)
MODEL = "universal-3-7-pro"

Lost = tuple[SessionError, float, bool]
"""What a session ended with, how long it lasted, whether it told a turn."""
SOON: Lost = (CANCELLED, 5.0, False)


def judged(sessions: Sequence[Lost]) -> list[SessionError]:
    some = retries(30)
    return [
        some.judge(failure, model=MODEL, seconds=seconds, told_turn=told_turn)
        for failure, seconds, told_turn in sessions
    ]


@pytest.mark.parametrize(
    "other",
    [
        (DroppedError("the line", code=1006), 5.0, False),
        (EndedError("of inactivity", code=3006), 5.0, False),
        (CANCELLED, CANCELLED_SOON_SECONDS + 1, False),
        (CANCELLED, 5.0, True),
    ],
)
def test_what_else_ends_a_session_counts_for_nothing(other: Lost) -> None:
    assert judged([SOON, SOON, other, SOON, SOON]) == [
        *(CANCELLED, CANCELLED, other[0], CANCELLED, CANCELLED)
    ]


def test_the_third_in_a_row_is_final() -> None:
    sessions = [SOON, (CANCELLED, CANCELLED_SOON_SECONDS, False), SOON]
    *before, at_last = judged(sessions)
    assert all(failure is CANCELLED for failure in before)
    assert type(at_last) is RefusedError
    assert not at_last.retryable
    assert at_last.code == 3005
    assert MODEL in str(at_last)
    assert "account" in str(at_last)
    assert "Session Cancelled" in str(at_last)
    assert error(retries(30), at_last) is at_last
