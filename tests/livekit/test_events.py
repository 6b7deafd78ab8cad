"""Turns translated one after the other are as each would be alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aai_stream.livekit.events import TurnTranslator
from aai_stream.messages import Turn, Word

words = st.builds(
    Word,
    text=st.sampled_from(["so", "So", "so."]),
    start=st.integers(0, 2).map(lambda n: 1000 * n),
    end=st.integers(3, 4).map(lambda n: 1000 * n),
    confidence=st.sampled_from([0.5, 1.0]),
    word_is_final=st.booleans(),
    speaker=st.sampled_from([None, "A"]),
)
turns = st.builds(
    Turn,
    words=st.lists(words, max_size=4),
    transcript=st.just("x"),
    turn_order=st.just(0),
)


def told(translator: TurnTranslator, turn: Turn, offset: float) -> list[object]:
    return [
        (data.text, data.start_time, data.end_time, data.confidence, spoken)
        for event in translator.events(turn, offset)
        for data in event.alternatives
        for spoken in [[(str(w), vars(w)) for w in data.words or ()]]
    ]


@given(st.lists(st.tuples(turns, st.sampled_from([0.0, 2.5])), max_size=6))
def test_what_came_before_changes_nothing(said: list[tuple[Turn, float]]) -> None:
    translator = TurnTranslator()
    for turn, offset in said:
        expected = told(TurnTranslator(), turn, offset)
        assert told(translator, turn, offset) == expected


def test_words_that_are_the_same_are_made_once() -> None:
    translator = TurnTranslator()
    so = Word(text="so", end=100)
    first = translator.events(Turn(words=[so]), 0.0)[0]
    grown = Turn(
        words=[Word(text="so", end=100), Word(text="what", start=200, end=300)]
    )
    then = translator.events(grown, 0.0)[0]
    assert first.alternatives[0].words is not None
    assert then.alternatives[0].words is not None
    assert then.alternatives[0].words[0] is first.alternatives[0].words[0]
    assert then.alternatives[0].words is not first.alternatives[0].words


def test_a_word_that_became_final_is_told_as_it_was() -> None:
    translator = TurnTranslator()
    first = translator.events(Turn(words=[Word(text="so", end=100)]), 0.0)[0]
    final = Word(text="so", end=100, word_is_final=True)
    then = translator.events(Turn(words=[final]), 0.0)[0]
    assert first.alternatives[0].words is not None
    assert then.alternatives[0].words is not None
    assert then.alternatives[0].words[0] is first.alternatives[0].words[0]
