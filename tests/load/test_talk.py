"""What the load server says is a talk that v3 could have told."""

from __future__ import annotations

import pytest

from aai_stream.load.talk import (
    STEP_MS,
    UNIVERSAL_3,
    UNIVERSAL_STREAMING,
    Talk,
    talk_of,
)
from aai_stream.messages import SpeechStarted, Turn, decode

TALKS = pytest.mark.parametrize("talk", [UNIVERSAL_3, UNIVERSAL_STREAMING])


@TALKS
def test_two_turns_word_by_word(talk: Talk) -> None:
    told = [
        [decode(text) for text in talk.said(step, from_ms=500)]
        for step in range(2 * talk.steps)
    ]
    for step, messages in enumerate(told):
        number, within = divmod(step, talk.steps)
        *before, turn = messages
        opens = talk is UNIVERSAL_3 and not within
        assert [type(message) for message in before] == [SpeechStarted] * opens
        assert isinstance(turn, Turn)
        assert turn.turn_order == number
        assert turn.end_of_turn == (within == talk.steps - 1)
        assert [word.text for word in turn.words] == talk.words[: within + 1]
        now = 500 + (step + 1) * STEP_MS
        times = [ms for word in turn.words for ms in (word.start, word.end)]
        assert times == sorted(times)
        assert times[-1] <= now
        assert times[0] == 510 + number * talk.steps * STEP_MS


def test_universal_3_tells_partial_words_and_a_final_turn() -> None:
    for step in range(UNIVERSAL_3.steps):
        turn = decode(UNIVERSAL_3.said(step)[-1])
        assert isinstance(turn, Turn)
        final = step == UNIVERSAL_3.steps - 1
        assert turn.transcript == " ".join(UNIVERSAL_3.words[: step + 1])
        assert {word.word_is_final for word in turn.words} == {final}
        assert turn.utterance == (turn.transcript if final else "")


def test_universal_streaming_has_final_words_before_its_turn_ends() -> None:
    assert len(UNIVERSAL_STREAMING.words) == 12
    for step in range(UNIVERSAL_STREAMING.steps):
        turn = decode(UNIVERSAL_STREAMING.said(step)[-1])
        assert isinstance(turn, Turn)
        assert turn.transcript == " ".join(UNIVERSAL_STREAMING.words[:step])
        finals = [word.word_is_final for word in turn.words]
        assert finals == [place < step for place in range(len(turn.words))]


@TALKS
def test_nothing_before_it_begins(talk: Talk) -> None:
    assert talk.said(-1) == []


def test_models_talk_as_their_family_does() -> None:
    assert talk_of("universal-3-5-pro") is UNIVERSAL_3
    assert talk_of("universal-streaming-multilingual") is UNIVERSAL_STREAMING
