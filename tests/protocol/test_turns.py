"""Turns in their order, each final once, whatever order they came in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream.messages import Turn, Word
from aai_stream.protocol.events import LostTurn
from aai_stream.protocol.turns import MISSING_SECONDS, MOST_OPEN, Turns

SENT_MS = 60_000


def turn(
    order: int,
    text: str = "",
    *,
    ended: bool = False,
    formatted: bool = False,
    is_final: bool = False,
    start: int | None = None,
) -> Turn:
    """A turn of words of 100 ms; by itself it starts at `order` seconds."""
    begin = 1000 * order if start is None else start
    words = [
        Word(text=word, start=begin + 100 * i, end=begin + 100 * i + 100)
        for i, word in enumerate(text.split())
    ]
    return Turn(
        turn_order=order,
        transcript=text,
        words=words,
        end_of_turn=ended,
        turn_is_formatted=formatted,
        is_final=is_final,
    )


def final(order: int, text: str) -> Turn:
    return turn(order, text, ended=True, is_final=True)


def raw(order: int, text: str) -> Turn:
    """A turn that has ended and is still to be told formatted."""
    return turn(order, text, ended=True)


def formatted(order: int, text: str) -> Turn:
    return turn(order, text, ended=True, formatted=True, is_final=True)


def told(turns: Turns, *came: Turn) -> list[Turn]:
    """What is passed on of `came`, one after the other."""
    return [passed for one in came for passed in turns.take(one, 0)]


ORDERLY = [
    turn(0, "one"),
    turn(0, "one two"),
    final(0, "one two"),
    turn(1, "three"),
    final(1, "three"),
]


def test_a_conversation_as_it_should_be() -> None:
    turns = Turns()
    assert turns.is_idle
    assert told(turns, *ORDERLY[:2]) == ORDERLY[:2]
    assert not turns.is_idle
    assert turns.unfinished == (0, 200)
    assert told(turns, ORDERLY[2]) == [ORDERLY[2]]
    assert turns.is_idle
    assert turns.unfinished is None
    assert told(turns, *ORDERLY[3:]) == ORDERLY[3:]
    assert turns.deadline == math.inf


@pytest.mark.parametrize(
    ("came", "passed"),
    [
        pytest.param(
            [final(0, "one"), final(0, "one")], [final(0, "one")], id="a final twice"
        ),
        pytest.param(
            [final(0, "one"), final(1, "two"), final(0, "one")],
            [final(0, "one"), final(1, "two")],
            id="a final twice, late",
        ),
        pytest.param(
            [final(0, "one two"), turn(0, "one"), turn(0, "one two")],
            [final(0, "one two")],
            id="partials behind their final",
        ),
        pytest.param(
            [turn(0, "one"), turn(0, "one")],
            [turn(0, "one"), turn(0, "one")],
            id="partials may repeat themselves",
        ),
        pytest.param(
            [final(0, "one"), final(0, "One.")],
            [final(0, "one"), final(0, "One.")],
            id="a final that was corrected",
        ),
        pytest.param(
            [final(0, "one"), turn(0, "one two"), final(0, "one two")],
            [final(0, "one"), turn(0, "one two"), final(0, "one two")],
            id="a turn that goes on behind its final",
        ),
        pytest.param(
            [turn(0, "one"), turn(1, "two"), final(1, "two"), final(0, "one")],
            [turn(0, "one"), turn(1, "two"), final(0, "one"), final(1, "two")],
            id="finals the wrong way round",
        ),
        pytest.param(
            [
                turn(0, "one"),
                final(2, "three"),
                final(1, "two"),
                final(1, "two"),
                final(0, "one"),
            ],
            [turn(0, "one"), final(0, "one"), final(1, "two"), final(2, "three")],
            id="three finals backwards",
        ),
        pytest.param(
            [final(0, ""), final(0, ""), final(1, "")],
            [final(0, ""), final(1, "")],
            id="finals without words",
        ),
        pytest.param(
            [turn(0), final(1, "two")],
            [turn(0), final(1, "two")],
            id="a partial without words holds nobody up",
        ),
        pytest.param(
            [final(3, "four"), final(7, "eight")],
            [final(3, "four"), final(7, "eight")],
            id="numbers may be left out",
        ),
    ],
)
def test_what_is_passed_on(came: list[Turn], passed: list[Turn]) -> None:
    assert told(Turns(), *came) == passed


# ---- giving up ----


def give_up(turns: Turns) -> list[Turn | LostTurn]:
    """What is told when later turns have waited long enough."""
    return turns.check(MISSING_SECONDS, SENT_MS)


def test_giving_up_tells_what_is_missing_and_lets_the_others_go() -> None:
    turns = Turns()
    told(turns, turn(0, "one two"), turn(1, "three"))
    assert told(turns, final(2, "four"), turn(3, "five")) == [turn(3, "five")]
    assert turns.deadline == MISSING_SECONDS
    assert not turns.is_idle
    # Both are in there, and nothing tells where the one ends.
    lost = LostTurn(0, 2000, words=(0, 1100))
    assert give_up(turns) == [lost, final(2, "four")]
    assert turns.deadline == math.inf
    assert turns.unfinished == (3000, 3100)  # and may still be ended
    assert told(turns, final(3, "five")) == [final(3, "five")]
    assert turns.is_idle


def test_giving_up_at_the_end_tells_all_that_is_open() -> None:
    turns = Turns()
    told(turns, final(0, "one"), turn(1, "two"), turn(2, "three four"))
    lost = LostTurn(100, SENT_MS, words=(1000, 2200))
    assert turns.finish(0, SENT_MS) == [lost]
    assert turns.is_idle


def test_turns_that_others_part_are_lost_apart() -> None:
    turns = Turns()
    told(turns, turn(0, "one"), turn(2, "three"), final(1, "two"), final(3, "four"))
    assert give_up(turns) == [
        LostTurn(0, 1000, (0, 100)),
        LostTurn(1100, 3000, (2000, 2100)),
        final(1, "two"),
        final(3, "four"),
    ]


def test_a_turn_that_waits_to_be_formatted_parts_them_too() -> None:
    turns = Turns()
    told(turns, turn(0, "one"), turn(2, "three"), formatted(3, "Four."), raw(1, "two"))
    assert give_up(turns) == [
        LostTurn(0, 1000, (0, 100)),
        LostTurn(1100, 3000, (2000, 2100)),
    ]


def test_giving_up_when_nothing_is_missing() -> None:
    turns = Turns()
    assert give_up(turns) == []
    told(turns, *ORDERLY)
    assert give_up(turns) == []


def test_a_final_that_was_given_up_and_comes_all_the_same() -> None:
    """Better late and out of order than never."""
    turns = Turns()
    told(turns, turn(0, "one"), final(1, "two"))
    give_up(turns)
    assert told(turns, final(0, "one"), final(0, "one")) == [final(0, "one")]


def test_of_many_open_turns_the_newest_are_remembered() -> None:
    turns = Turns()
    told(turns, *(turn(order, "x") for order in range(1000)))
    oldest = 1000 * (1000 - MOST_OPEN)
    lost = LostTurn(0, 1_000_000, words=(oldest, 999_100))
    assert turns.finish(0, 1_000_000) == [lost]


# ---- anything ----


@pytest.mark.parametrize("partials_late", [False, True])
@given(data=st.data())
def test_any_disorder_is_put_right(partials_late: bool, data: st.DataObject) -> None:
    """Turns that began in order, their finals in any order, anything repeated."""
    count = data.draw(st.integers(1, 8))
    came = [turn(order, f"w{order}") for order in range(count)]
    finals = data.draw(st.permutations(range(count)))
    came += [final(order, f"w{order} x") for order in finals]
    for message in data.draw(st.lists(st.sampled_from(came), max_size=8)):
        first, last = came.index(message), len(came)
        if not partials_late and not message.end_of_turn:
            last = came.index(final(message.turn_order, f"w{message.turn_order} x"))
        came.insert(data.draw(st.integers(first + 1, last)), message)
    missing = data.draw(st.sets(st.integers(0, count - 1)))
    came = [t for t in came if not (t.end_of_turn and t.turn_order in missing)]

    turns = Turns()
    passed: list[Turn] = []
    lost: list[LostTurn] = []
    # At the end the missing turns are given up that no later final waits for.
    for one in told(turns, *came) + give_up(turns) + turns.finish(0, SENT_MS):
        if isinstance(one, Turn):
            passed.append(one)
        else:
            lost.append(one)
    ended = [t.turn_order for t in passed if t.end_of_turn]
    assert ended == [order for order in range(count) if order not in missing]
    for order in missing:
        first, last = 1000 * order, 1000 * order + 100
        (gone,) = (t for t in lost if t.start <= first and last <= t.end)
        assert gone.words is not None
        assert gone.words[0] <= first
        assert last <= gone.words[1]
    assert turns.is_idle
    for order in ended:  # nothing of a turn is told behind its final
        mine = [t for t in passed if t.turn_order == order]
        assert [t.end_of_turn for t in mine].index(True) == len(mine) - 1


def test_a_long_conversation_is_not_remembered_for_ever() -> None:
    turns = Turns()
    for order in range(1000):
        told(turns, turn(order, "x"), final(order, "x"))
    assert told(turns, final(999, "x")) == []
    assert told(turns, final(900, "x")) == [final(900, "x")]
