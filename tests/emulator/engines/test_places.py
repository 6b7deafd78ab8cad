"""Samples of a session and of its stream lead to each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aai_stream.emulator.engines.places import Places

PIECES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 100), st.integers(0, 30)),
    min_size=1,
    max_size=6,
)


def places(pieces: list[tuple[int, int, int]]) -> Places:
    """Pieces are: left out before, how long, padding behind."""
    made = Places()
    at = 1000
    for skipped, count, padding in pieces:
        made.add(at + skipped, count, padding)
        at += skipped + count
    return made


@given(PIECES, st.data())
def test_there_and_back(
    pieces: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    made = places(pieces)
    sample = data.draw(st.integers(0, made.samples - 1))
    assert made.sample(made.place(sample)) == sample


@given(PIECES, st.integers(1, 40))
def test_cutting_changes_nothing(pieces: list[tuple[int, int, int]], size: int) -> None:
    made, cut = places(pieces), Places()
    at = 1000
    for skipped, count, padding in pieces:
        at += skipped
        for start in range(0, count, size):
            length = min(size, count - start)
            is_last = start + size >= count
            cut.add(at + start, length, padding if is_last else 0)
        at += count
    assert (cut.samples, cut.begin, cut.end) == (made.samples, made.begin, made.end)
    for sample in range(made.samples):
        assert cut.place(sample) == made.place(sample)


def test_what_was_not_sent_is_where_the_audio_before_it_ended() -> None:
    made = places([(0, 100, 0), (50, 100, 0)])
    other = places([(0, 250, 0)])
    assert made.sample(other.place(120)) == 100
    assert made.sample(other.place(150)) == 100
    assert made.sample(other.place(170)) == 120


def test_it_holds_what_lies_between_its_ends() -> None:
    made = places([(0, 100, 20)])
    assert [made.holds(sample) for sample in (999, 1000, 1099, 1100)] == [
        False,
        True,
        True,
        False,
    ]
    assert not Places().holds(0)
