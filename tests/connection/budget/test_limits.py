"""What an account may, as numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aai_stream.connection.budget.limits import Limits
from aai_stream.errors import OptionError

MINUTE = Limits(60)


@pytest.mark.parametrize(
    ("limits", "begun", "held", "free"),
    [
        pytest.param(MINUTE, 0, 0, 60, id="a minute's at once"),
        pytest.param(MINUTE, 58, 58, 2, id="what is left of it"),
        pytest.param(MINUTE, 60, 0, 0, id="all are gone"),
        pytest.param(MINUTE, 70, 0, 0, id="more, after a change"),
        pytest.param(Limits(), 10**9, 1000, math.inf, id="no limit"),
        pytest.param(Limits(60, 12), 0, 10, 2, id="sessions at once"),
        pytest.param(Limits(60, 12), 0, 12, 0, id="as many as may be"),
        pytest.param(Limits(60, 12), 0, 15, 0, id="more at once, after a change"),
        pytest.param(Limits(60, 12), 59, 10, 1, id="the lesser of the two"),
        pytest.param(Limits(1), 0, 0, 1, id="one a minute"),
        pytest.param(Limits(1), 1, 0, 0, id="and no other"),
        pytest.param(Limits(2.5), 0, 0, 2, id="a part of a session is none"),
    ],
)
def test_how_many_may_go(limits: Limits, begun: int, held: int, free: float) -> None:
    assert limits.free(begun, held) == free


@pytest.mark.parametrize(
    ("limits", "ranks", "begun", "held", "expected"),
    [
        pytest.param(MINUTE, [], 60, 0, (0, 0), id="nobody asks"),
        pytest.param(MINUTE, [0, 1], 0, 0, (2, 0), id="all go"),
        pytest.param(MINUTE, [0, 1], 60, 0, (0, 1), id="the first, when one leaves"),
        pytest.param(MINUTE, [5, 7], 60, 0, (0, 6), id="the sixth, when six have"),
        pytest.param(MINUTE, [0, 3], 59, 0, (1, 3), id="others are first"),
        pytest.param(MINUTE, [1], 59, 0, (0, 1), id="the one place is another's"),
        pytest.param(MINUTE, [64], 3, 0, (0, 8), id="more than there are"),
        pytest.param(MINUTE, [0], 70, 0, (0, 11), id="more began, before a change"),
        pytest.param(Limits(max_sessions=3), [0, 1], 0, 2, (1, math.inf), id="full"),
        pytest.param(Limits(60, 3), [1, 2], 60, 0, (0, 2), id="both limits"),
        pytest.param(Limits(60, 3), [3], 60, 0, (0, math.inf), id="by sessions"),
    ],
)
def test_who_goes_and_what_the_next_waits_for(
    limits: Limits,
    ranks: list[int],
    begun: int,
    held: int,
    expected: tuple[int, float],
) -> None:
    assert limits.decide(ranks, begun, held) == expected


@pytest.mark.parametrize(
    ("limits", "parts", "share"),
    [
        (Limits(100, 50), 4, Limits(25, 12)),
        (Limits(100, 50), 1, Limits(100, 50)),
        (Limits(100, 50), 1000, Limits(1, 1)),
        (Limits(100), 3, Limits(100 / 3)),
        (Limits(max_sessions=5), 2, Limits(max_sessions=2)),
    ],
)
def test_a_share_has_at_least_one(limits: Limits, parts: int, share: Limits) -> None:
    assert limits.share(parts) == share


@pytest.mark.parametrize("bad", [0, 0.5, -1, -math.inf, math.nan, "9", None, True, []])
def test_a_rate_that_is_none(bad: Any) -> None:
    with pytest.raises(OptionError, match="sessions_per_minute must be at least 1"):
        Limits(bad)


@pytest.mark.parametrize("bad", [0, 2.5, -1, math.nan, "9", None, True, []])
def test_sessions_at_once_that_are_none(bad: Any) -> None:
    with pytest.raises(OptionError, match="max_sessions must be a whole number"):
        Limits(max_sessions=bad)
