"""When a lost session is tried again, and when that is given up."""

from __future__ import annotations

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
from aai_stream.protocol.retry import LONGEST_RETRY_AFTER, BusyWaits, Retries

BACKOFF = [(0, 0.5), (0, 1), (0, 2), (0, 4), (0, 8), (0, 10), (0, 10)]
AT_ONCE = [(0, 0.1), *BACKOFF[1:]]


def bounds(failures: list[TransientError]) -> list[tuple[float, float]]:
    """The shortest and the longest wait after each of `failures`, in a row."""
    low, high = (
        Retries(len(failures), draw=lambda a, b, end=end: (a, b)[end])  # type: ignore[misc]
        for end in (0, 1)
    )
    return [(low.delay(failure, 0), high.delay(failure, 0)) for failure in failures]


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
    drawn = Retries(len(failures))
    for failure, (low, high) in zip(failures, bounds(failures), strict=True):
        assert 0 <= low < high
        assert low <= drawn.delay(failure, 0) <= high
        assert low >= min(failure.retry_after or 0, LONGEST_RETRY_AFTER)


@pytest.mark.parametrize("most", [1, 2, 10])
def test_it_gives_up_and_says_so(most: int) -> None:
    retries = Retries(most)
    failure = DroppedError("overloaded", code=503, retry_after=1)
    for _ in range(most):
        retries.delay(failure, 0)
    for _ in "12":  # asking again changes nothing
        with pytest.raises(DroppedError) as caught:
            retries.delay(failure, 0)
        assert str(caught.value) == (
            f"gave up after {most + 1} attempts without progress; the last: overloaded"
        )
        assert caught.value.code == 503


def test_it_gives_up_with_the_last_failure_s_type() -> None:
    retries = Retries(1)
    retries.delay(DroppedError("cut", code=1006), 0)
    with pytest.raises(TimedOutError, match=r"gave up after 2 .* no Begin"):
        retries.delay(TimedOutError("no Begin"), 0)


def test_progress_restores_all() -> None:
    cut = DroppedError("cut", code=1006)
    retries = Retries(2, draw=lambda low, high: high)
    waits = []
    for _ in range(5):
        waits += [retries.delay(cut, 0), retries.delay(cut, 0)]
        retries.progress()
    assert waits == [0.1, 1] * 5


def test_none_at_all() -> None:
    failure = DroppedError("cut", code=1006)
    with pytest.raises(DroppedError) as caught:
        Retries(0).delay(failure, 0)
    assert caught.value is failure


@pytest.mark.parametrize(
    "kind", [EndedError, RefusedError, RejectedError, UntrustedError, SessionError]
)
def test_what_is_final_is_raised_as_it_is(kind: type[SessionError]) -> None:
    retries = Retries(1, draw=lambda low, high: high)
    failure = kind("no", code=1008)
    for _ in "12":
        with pytest.raises(kind) as caught:
            retries.delay(failure, 0)
        assert caught.value is failure
    assert retries.delay(TimedOutError("no Begin"), 0) == 0.5  # it used up nothing
    with pytest.raises(kind) as caught:
        retries.delay(failure, 0)
    assert caught.value is failure


def test_a_limit_counts_from_where_it_is_set() -> None:
    retries = Retries(30)
    for _ in range(7):
        retries.delay(DroppedError("cut"), 0)
    retries.limit(2)
    retries.delay(DroppedError("cut"), 0)
    retries.delay(DroppedError("cut"), 0)
    with pytest.raises(DroppedError, match="gave up after 10 attempts"):
        retries.delay(DroppedError("cut"), 0)


def test_a_limit_gives_no_more_than_there_was() -> None:
    retries = Retries(1)
    retries.limit(5)
    retries.delay(DroppedError("cut"), 0)
    with pytest.raises(DroppedError, match="gave up after 2 attempts"):
        retries.delay(DroppedError("cut"), 0)


BUSY = BusyError("too many", code=1008)
FULL_JITTER = [(0, 2), (0, 4), (0, 8), (0, 16), (0, 30), (0, 30)]


def test_too_many_sessions_are_waited_out_and_not_counted() -> None:
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    retries = Retries(1, patience=120, draw=draw)
    assert [retries.delay(BUSY, now) for now in range(6)] == [2, 4, 8, 16, 30, 30]
    assert drawn == FULL_JITTER
    retries.delay(DroppedError("cut"), 6)  # the one failure that may be
    with pytest.raises(DroppedError):
        retries.delay(DroppedError("cut"), 7)


def test_patience_with_too_many_sessions_has_an_end() -> None:
    retries = Retries(1, patience=120, draw=lambda low, high: high)
    assert retries.delay(BUSY, 1000) == 2
    assert retries.delay(BUSY, 1119.9) == 4
    assert retries.delay(BUSY, 1120) == 0.5  # counted, from here on
    with pytest.raises(BusyError, match="gave up after 2 attempts"):
        retries.delay(BUSY, 1121)


def test_progress_restores_patience() -> None:
    retries = Retries(1, patience=120, draw=lambda low, high: high)
    assert retries.delay(BUSY, 0) == 2
    retries.progress()
    assert retries.delay(BUSY, 500) == 2


def test_who_may_not_try_again_does_not_wait_either() -> None:
    with pytest.raises(BusyError):
        Retries(0, patience=120).delay(BUSY, 0)


def test_what_the_server_asks_for_comes_on_top() -> None:
    asked = BusyError("too many", code=429, retry_after=3)
    busy = BusyWaits(120, draw=lambda low, high: high)
    assert [busy.delay(asked, 0), busy.delay(asked, 1)] == [5, 7]
    assert busy.delay(DroppedError("cut"), 2) is None
