"""Hypotheses as Turn messages, in both families' styles."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream.emulator.engines.engine import HeardWord, Hypothesis
from aai_stream.emulator.server.guesses import MOVED_MS
from aai_stream.emulator.server.turns import (
    WORD_IS_FINAL_AFTER_MS,
    Style,
    TurnTeller,
    format_words,
)

U3 = Style(universal_3=True, steady_partials=True)
GUESSING = Style(universal_3=True)
US = Style(universal_3=False, language_code=None)


def words(text: str, *, at_ms: int = 0, speakers: str = "") -> tuple[HeardWord, ...]:
    """Words of 100 ms each; `speakers` has a letter for each of them, or none."""
    return tuple(
        HeardWord(
            word,
            at_ms + 100 * i,
            at_ms + 100 * (i + 1),
            0.5,
            speakers[i] if speakers else None,
        )
        for i, word in enumerate(text.split())
    )


def partial(text: str, heard_ms: int = 0, confidence: float = 0.0) -> Hypothesis:
    return Hypothesis(words(text), heard_ms, False, confidence)


def pause(text: str) -> Hypothesis:
    return Hypothesis(words(text), 0, False, 0.2, pause=True)


def end(text: str) -> Hypothesis:
    return Hypothesis(words(text), 0, True, 1.0)


def told(teller: TurnTeller, *hypotheses: Hypothesis) -> list[dict[str, Any]]:
    return [m for h in hypotheses for m in teller.hypothesis(h)]


def final_words(turn: dict[str, Any]) -> list[str]:
    return [w["text"] for w in turn["words"] if w["word_is_final"]]


# Universal-3


def test_universal_3_has_all_fields() -> None:
    teller = TurnTeller(U3)
    teller.speech_started(40)
    assert told(teller, partial("hi"), end("hi there")) == [
        {"type": "SpeechStarted", "timestamp": 40, "confidence": 0.5},
        {
            "type": "Turn",
            "turn_order": 0,
            "turn_is_formatted": False,
            "end_of_turn": False,
            "transcript": "hi",
            "end_of_turn_confidence": 0.0,
            "words": [
                {
                    "start": 0,
                    "end": 100,
                    "text": "hi",
                    "confidence": 0.5,
                    "word_is_final": False,
                }
            ],
            "utterance": "",
        },
        {
            "type": "Turn",
            "turn_order": 0,
            "turn_is_formatted": True,
            "end_of_turn": True,
            "transcript": "Hi there.",
            "end_of_turn_confidence": 1.0,
            "words": [
                {
                    "start": 0,
                    "end": 100,
                    "text": "Hi",
                    "confidence": 0.5,
                    "word_is_final": True,
                },
                {
                    "start": 100,
                    "end": 200,
                    "text": "there.",
                    "confidence": 0.5,
                    "word_is_final": True,
                },
            ],
            "utterance": "Hi there.",
            "language_code": "en",
        },
    ]


def test_speech_started_comes_once_and_only_with_a_turn() -> None:
    teller = TurnTeller(U3)
    teller.speech_started(40)
    assert told(teller, Hypothesis((), 50, False, 0.0)) == []
    kinds = [m["type"] for m in told(teller, partial("a"), partial("a b"), end("a b"))]
    assert kinds == ["SpeechStarted", "Turn", "Turn", "Turn"]
    teller.speech_started(900)
    started, turn = told(teller, end("c"))
    assert started["timestamp"] == 900
    assert turn["turn_order"] == 1


def test_universal_3_partials_have_no_utterance_even_at_a_pause() -> None:
    (turn,) = told(TurnTeller(U3), pause("a b"))
    assert turn["utterance"] == ""
    assert final_words(turn) == []


def test_universal_3_words_stay_open_however_old() -> None:
    (turn,) = told(TurnTeller(U3), partial("a b", heard_ms=60_000))
    assert final_words(turn) == []


def test_the_same_is_not_told_twice() -> None:
    teller = TurnTeller(U3)
    climb = [partial("a", confidence=c) for c in (0.0, 0.0, 0.5)]
    confidences = [m["end_of_turn_confidence"] for m in told(teller, *climb)]
    assert confidences == [0.0, 0.5]


def test_format_turns_means_nothing_to_universal_3() -> None:
    teller = TurnTeller(Style(universal_3=True, format_turns=True))
    assert len(told(teller, end("a"))) == 1


def test_an_empty_turn_is_told() -> None:
    teller = TurnTeller(U3)
    teller.speech_started(0)
    started, turn = told(teller, end(""))
    assert started["confidence"] == 0.0
    assert (turn["transcript"], turn["words"], turn["end_of_turn"]) == ("", [], True)


# Universal-Streaming


def test_words_become_final_as_audio_goes_by() -> None:
    teller = TurnTeller(US)
    teller.speech_started(0)
    sure = WORD_IS_FINAL_AFTER_MS
    turns = told(
        teller,
        partial("a b c", heard_ms=99 + sure),
        partial("a b c", heard_ms=100 + sure),
        partial("a b c", heard_ms=300 + sure),
    )
    assert [final_words(t) for t in turns] == [[], ["a"], ["a", "b", "c"]]
    assert [t["transcript"] for t in turns] == ["", "a", "a b c"]
    assert {t["type"] for t in turns} == {"Turn"}  # no SpeechStarted


def test_utterances_fill_at_a_pause_and_at_the_end() -> None:
    turns = told(
        TurnTeller(US), partial("a b"), pause("a b"), partial("a b c d"), end("a b c d")
    )
    assert [t["utterance"] for t in turns] == ["", "a b", "", "c d"]
    assert [t["end_of_turn"] for t in turns] == [False, False, False, True]
    assert turns[1]["transcript"] == "a b"
    assert turns[3]["transcript"] == "a b c d"


def test_formatting_adds_a_second_final() -> None:
    teller = TurnTeller(Style(universal_3=False, format_turns=True, language_code=None))
    plain, formatted, after = told(teller, end("how are you"), end("i'm fine"))[:3]
    assert (plain["turn_order"], formatted["turn_order"]) == (0, 0)
    assert plain["end_of_turn"] is formatted["end_of_turn"] is True
    assert (plain["turn_is_formatted"], formatted["turn_is_formatted"]) == (False, True)
    assert (plain["transcript"], plain["utterance"]) == ("how are you", "how are you")
    assert (formatted["transcript"], formatted["utterance"]) == ("How are you?", "")
    assert [w["text"] for w in formatted["words"]] == ["How", "are", "you?"]
    assert (after["turn_order"], after["transcript"]) == (1, "i'm fine")


def test_told_words_stay_when_the_engine_changes_its_mind() -> None:
    teller = TurnTeller(US)
    told(teller, pause("recognise speech"))
    changed = words("wreck a nice beach", at_ms=-100) + words("today", at_ms=400)
    (turn,) = told(teller, Hypothesis(changed, 0, True, 1.0))
    # What ends in the second half of the told words is theirs, what comes after is new.
    assert turn["transcript"] == "recognise speech beach today"
    assert [w["start"] for w in turn["words"]] == [0, 100, 200, 400]


def test_told_words_keep_their_times() -> None:
    teller = TurnTeller(US)
    told(teller, pause("a"))
    moved = (HeardWord("a", 0, 150, 0.9), HeardWord("b", 80, 90, 0.9))
    (turn,) = told(teller, Hypothesis(moved, 0, False, 0.0))
    assert [(w["start"], w["end"]) for w in turn["words"]] == [(0, 100), (100, 100)]
    assert turn["words"][0]["confidence"] == 0.5


# Both


@pytest.mark.parametrize("style", [U3, US])
def test_speakers_are_told_on_request_only(style: Style) -> None:
    heard = Hypothesis(words("a b c", speakers="ABB"), 0, True, 1.0)
    (plain,) = told(TurnTeller(style), heard)
    assert "speaker_label" not in plain
    assert all("speaker" not in word for word in plain["words"])
    labelled = TurnTeller(Style(universal_3=style.universal_3, speaker_labels=True))
    (turn,) = told(labelled, heard)
    assert (turn["speaker_label"], turn["speaker_confidence"]) == ("B", 0.95)
    assert [w["speaker"] for w in turn["words"]] == ["A", "B", "B"]
    assert [w["speaker_confidence"] for w in turn["words"]] == [0.95] * 3
    (turn,) = told(labelled, end("nobody knows"))
    assert (turn["speaker_label"], turn["speaker_confidence"]) == ("PENDING", 0.0)
    assert turn["words"][0]["speaker"] == "PENDING"


def test_the_speaker_of_a_single_word_is_known_later() -> None:
    teller = TurnTeller(Style(speaker_labels=True))
    heard = Hypothesis(words("yes", speakers="B"), 0, True, 1.0)
    told(teller, end("nobody knows"))
    (turn,) = told(teller, heard)
    assert turn["speaker_label"] == turn["words"][0]["speaker"] == "PENDING"
    told(teller, Hypothesis(words("a b", speakers="AA"), 0, True, 1.0))
    (revision,) = teller.revision()
    assert revision["type"] == "SpeakerRevision"
    (changed,) = revision["revisions"]
    assert (changed["turn_order"], changed["speaker_label"]) == (1, "B")
    (word,) = changed["words"]
    assert (word["text"], word["speaker"], word["start"]) == ("Yes.", "B", 0)
    assert word["confidence"] == 0.006  # it was told with 0.5
    assert teller.revision() == []


# What is guessed


def test_partials_are_written_as_finals_are() -> None:
    (turn,) = told(TurnTeller(GUESSING), partial("how are you"))
    assert (turn["transcript"], turn["turn_is_formatted"]) == ("How are you?", True)
    assert [w["text"] for w in turn["words"]] == ["How", "are", "you?"]
    assert final_words(turn) == []
    assert turn["utterance"] == ""


def test_a_single_word_may_be_final_at_once() -> None:
    teller = TurnTeller(GUESSING)
    teller.speech_started(40)
    assert told(teller, partial("hi"), partial("hi", confidence=0.5)) == []
    started, turn = told(teller, end("hi"))
    assert started["type"] == "SpeechStarted"
    assert turn["end_of_turn"]


def test_partials_move_shrink_and_change() -> None:
    teller = TurnTeller(GUESSING)
    told(teller, end("before"))  # up to 100 ms
    text, at = "a word or another", 1300
    climb = [Hypothesis(words(text, at_ms=at), 0, i == 4, i / 10) for i in range(5)]
    *partials, final = told(teller, *climb)
    assert [turn["transcript"] for turn in partials] == [
        "A word or another.",
        "A word or another.",
        "A word or.",
        "A word or ano.",
    ]
    starts = [turn["words"][0]["start"] for turn in partials]
    assert starts == [at, at - MOVED_MS, at, at]
    assert final["transcript"] == "A word or another."
    assert final["words"][0]["start"] == at


def test_no_guess_is_before_the_last_final() -> None:
    teller = TurnTeller(GUESSING)
    told(teller, end("a b"))
    heard = [Hypothesis(words("c d", at_ms=210), 0, False, c) for c in (0.0, 0.1)]
    assert [t["words"][0]["start"] for t in told(teller, *heard)] == [210, 200]


# The end of a session


def test_universal_streaming_says_good_bye_with_an_empty_turn() -> None:
    teller = TurnTeller(US)
    told(teller, end("a"))
    (turn,) = teller.farewell()
    assert (turn["turn_order"], turn["transcript"], turn["words"]) == (1, "", [])
    assert turn["end_of_turn"]
    told(teller, partial("b"))
    assert teller.farewell() == []  # the turn that is open is ended
    assert TurnTeller(U3).farewell() == []


def test_language_is_told_at_the_end() -> None:
    teller = TurnTeller(Style(language_code="de", language_detection=True))
    first, last = told(teller, partial("ja ja"), end("ja ja"))
    assert "language_code" not in first
    assert last["language_code"] == "de"
    assert 0 < last["language_confidence"] <= 1


@pytest.mark.parametrize(
    ("plain", "formatted"),
    [
        ("", ""),
        ("hello world", "Hello world."),
        ("i think i'm right", "I think I'm right."),
        ("what is this", "What is this?"),
        ("Dr. Who", "Dr. Who."),
        ("stop!", "Stop!"),
        ("is it", "Is it?"),
        ("élan", "Élan."),
    ],
)
def test_formatting(plain: str, formatted: str) -> None:
    assert " ".join(format_words(plain.split())) == formatted


# Properties: whatever an engine says, these hold.

heard_words = st.lists(
    st.builds(
        lambda text, start, length: HeardWord(text, start, start + length, 0.5),
        st.sampled_from("abc"),
        st.integers(0, 3000),
        st.integers(0, 500),
    ),
    max_size=6,
).map(lambda ws: tuple(sorted(ws, key=lambda w: w.start_ms)))
hypotheses = st.lists(
    st.builds(
        Hypothesis,
        heard_words,
        st.integers(0, 4000),
        st.booleans(),
        st.floats(0, 1),
        st.booleans(),
    ),
    max_size=12,
)
styles = st.builds(Style, st.booleans(), st.booleans(), st.booleans())


@given(styles, hypotheses)
def test_turns_are_counted_without_gaps(style: Style, heard: list[Hypothesis]) -> None:
    turns = [m for m in told(TurnTeller(style), *heard) if m["type"] == "Turn"]
    order = 0
    for before, turn in zip([None, *turns], turns, strict=False):
        formatted = turn["turn_is_formatted"] and not style.universal_3
        if before is not None and before["end_of_turn"] and not formatted:
            order += 1
        assert turn["turn_order"] == order
    ends = sum(h.end_of_turn for h in heard)
    seconds = style.format_turns and not style.universal_3
    assert sum(t["end_of_turn"] for t in turns) == ends * (2 if seconds else 1)


@given(hypotheses)
def test_final_words_never_change(heard: list[Hypothesis]) -> None:
    known: list[dict[str, Any]] = []
    for turn in told(TurnTeller(US), *heard):
        final = [w for w in turn["words"] if w["word_is_final"]]
        assert turn["words"][: len(final)] == final  # a prefix of the words
        assert final[: len(known)] == known
        assert turn["transcript"] == " ".join(w["text"] for w in final)
        known = [] if turn["end_of_turn"] else final


@given(hypotheses)
def test_utterances_make_up_the_turn(heard: list[Hypothesis]) -> None:
    said: list[str] = []
    for turn in told(TurnTeller(US), *heard):
        said += turn["utterance"].split()
        if turn["end_of_turn"]:
            assert " ".join(said) == turn["transcript"]
            said = []


@given(styles, hypotheses)
def test_ends_are_all_final(style: Style, heard: list[Hypothesis]) -> None:
    for turn in told(TurnTeller(style), *heard):
        if turn["end_of_turn"]:
            assert all(word["word_is_final"] for word in turn["words"])
            texts = [word["text"] for word in turn["words"]]
            assert turn["transcript"] == " ".join(texts)
