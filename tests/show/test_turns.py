from __future__ import annotations

from typing import Any

import pytest

from aai_stream.errors import InputError
from aai_stream.recorder.format import Entries, Pushed, Told
from aai_stream.show.clock import Clock
from aai_stream.show.turns import Gap, Heard, heard
from tests.show.calls import BEGAN, RATE, SENTENCES, entries


def told(made: list[Entries]) -> Heard:
    return heard(made, Clock(made, RATE, BEGAN))


def test_every_word_is_there_once() -> None:
    """The sentence that the reset cut is told by two sessions."""
    found = told(entries())
    assert [[word.text for word in turn.words] for turn in found.turns] == [
        [text for text, _, _ in words] for words in SENTENCES
    ]
    assert all(turn.is_final for turn in found.turns)
    assert [turn.number for turn in found.turns] == [0, 1, 2, 3]
    assert found.turns[2].words[0].start == 8560 + 1500


def test_what_was_told_before_is_kept() -> None:
    third = told(entries()).turns[2]
    assert [telling.text for telling in third.told] == [
        "Is there anything",
        "Is there anything available",
        "Is there anything available on Wednesday afternoon?",
    ]
    assert third.text == third.told[-1].text


def test_a_final_is_as_late_as_its_last_word_was_pushed_before() -> None:
    """Of the first turn: 3090 ms, in the push that ends at 3100."""
    latencies = [turn.latency for turn in told(entries()).turns]
    assert latencies == pytest.approx([0.591, 0.571, 2.059, 0.511], abs=0.001)


def test_gaps_and_starts_of_speech() -> None:
    found = told(entries())
    skipped, lost = found.gaps
    assert skipped == Gap(skipped.at, False, 9_300, 9_800)
    why = "the stream was closed before it was transcribed"
    assert lost == Gap(lost.at, True, 17_800, 18_200, why)
    assert found.speech == [2210, 6000, 10_060, 10_060, 14_180]


def turn(**fields: Any) -> Told:
    return Told(unix=BEGAN + 2, stream_ms=0, message={"type": "Turn", **fields})


def test_a_turn_without_words_is_none() -> None:
    assert told([turn(turn_order=0, is_final=True)]).turns == []


def test_a_transcript_left_empty_is_made_of_words() -> None:
    (found,) = told([turn(words=[{"text": "so"}, {"text": "far"}])]).turns
    assert (found.text, found.is_final, found.latency) == ("so far", False, None)


def test_a_final_without_a_push_has_no_latency() -> None:
    (found,) = told([turn(words=[{"text": "so", "end": 9}], is_final=True)]).turns
    assert found.latency is None


def test_a_word_beyond_the_audio_counts_from_the_last_push() -> None:
    push = Pushed(unix=BEGAN + 1, stream_ms=0, pushes=[(RATE, 0)])
    word = {"text": "so", "end": 5000}
    (found,) = told([push, turn(words=[word], is_final=True)]).turns
    assert found.latency == pytest.approx(1.0)


def test_who_spoke_is_told() -> None:
    (found,) = told([turn(transcript="Hi.", speaker_label="A")]).turns
    assert found.speaker == "A"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"type": "Turn", "words": 7}, "a Turn of the call can't be read"),
        ({"type": "AudioLost"}, "an? AudioLost of the call can't be read"),
        ({"type": "SpeechStarted", "timestamp": "x"}, "SpeechStarted"),
    ],
)
def test_what_makes_no_sense_is_told(message: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        told([Told(unix=BEGAN, stream_ms=0, message=message)])
