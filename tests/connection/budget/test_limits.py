"""What an account may, as numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aai_stream.connection.budget.limits import Decision, Limits
from aai_stream.errors import OptionError

MINUTE = Limits(60)
"""30 at once, then one every 2 s."""


@pytest.mark.parametrize(
    ("limits", "spent", "held", "now", "free"),
    [
        pytest.param(MINUTE, 0, 0, 100, 30, id="half a minute's at once"),
        pytest.param(MINUTE, 160, 0, 100, 0, id="all are gone"),
        pytest.param(MINUTE, 160, 0, 101.9, 0, id="not yet"),
        pytest.param(MINUTE, 160, 0, 102, 1, id="one every 2 s"),
        pytest.param(MINUTE, 160, 0, 104, 2, id="two after 4 s"),
        pytest.param(MINUTE, 160, 0, 999, 30, id="never more than at first"),
        pytest.param(Limits(), 1e9, 1000, 0, math.inf, id="no limit"),
        pytest.param(Limits(60, 12), 0, 10, 100, 2, id="sessions at once"),
        pytest.param(Limits(60, 12), 0, 12, 100, 0, id="as many as may be"),
        pytest.param(Limits(60, 12), 0, 15, 100, 0, id="more, after a change"),
        pytest.param(Limits(60, 12), 160, 0, 100, 0, id="the lesser of the two"),
        pytest.param(Limits(1), 0, 0, 100, 1, id="one in two minutes"),
        pytest.param(Limits(1), 220, 0, 219, 0, id="and not before"),
    ],
)
def test_how_many_may_go(
    limits: Limits, spent: float, held: int, now: float, free: float
) -> None:
    assert limits.free(spent, held, now) == free


@pytest.mark.parametrize(
    ("limits", "ranks", "spent", "held", "expected"),
    [
        pytest.param(MINUTE, [], 160, 0, (0, 160, math.inf), id="nobody asks"),
        pytest.param(MINUTE, [0, 1], 0, 0, (2, 104, math.inf), id="all go"),
        pytest.param(MINUTE, [0, 1], 160, 0, (0, 160, 2), id="the first in 2 s"),
        pytest.param(MINUTE, [5, 7], 160, 0, (0, 160, 12), id="the sixth in 12 s"),
        pytest.param(MINUTE, [0, 3], 158, 0, (1, 160, 6), id="others are first"),
        pytest.param(MINUTE, [1], 158, 0, (0, 158, 2), id="it is another's"),
        pytest.param(
            Limits(max_sessions=3), [0, 1], 0, 2, (1, 100, math.inf), id="full"
        ),
        pytest.param(Limits(60, 3), [1, 2], 160, 0, (0, 160, 4), id="both limits"),
        pytest.param(Limits(60, 3), [3], 160, 0, (0, 160, math.inf), id="by sessions"),
    ],
)
def test_who_goes_and_when_the_next(
    limits: Limits,
    ranks: list[int],
    spent: float,
    held: int,
    expected: tuple[int, float, float],
) -> None:
    decision = limits.decide(ranks, spent, held, 100)
    assert decision == pytest.approx(Decision(*expected))


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
