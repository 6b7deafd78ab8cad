"""What the load server says is a talk that v3 could have told."""

from __future__ import annotations

from aai_stream.load import talk
from aai_stream.messages import SpeechStarted, Turn, decode


def test_two_turns_word_by_word() -> None:
    told = [
        [decode(text) for text in talk.said(step, from_ms=500)]
        for step in range(2 * talk.STEPS)
    ]
    for step, messages in enumerate(told):
        number, within = divmod(step, talk.STEPS)
        *before, turn = messages
        assert [type(message) for message in before] == [SpeechStarted] * (not within)
        assert isinstance(turn, Turn)
        assert turn.turn_order == number
        assert turn.end_of_turn == (within == talk.STEPS - 1)
        assert [word.text for word in turn.words] == talk.WORDS[: within + 1]
        assert turn.transcript == " ".join(talk.WORDS[: within + 1])
        now = 500 + (step + 1) * talk.STEP_MS
        times = [ms for word in turn.words for ms in (word.start, word.end)]
        assert times == sorted(times)
        assert times[-1] <= now
        assert times[0] == 510 + number * talk.STEPS * talk.STEP_MS


def test_nothing_before_it_begins() -> None:
    assert talk.said(-1) == []
