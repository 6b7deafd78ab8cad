"""The scripted engine says what its script says, when the audio has come that far."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream.emulator.engines.capture import read_capture
from aai_stream.emulator.engines.engine import (
    Finished,
    Heard,
    HeardWord,
    Hypothesis,
    Recognizer,
    Silence,
    SpeechStarted,
    TurnSettings,
)
from aai_stream.emulator.engines.script import Said, ScriptEngine, play, say
from aai_stream.emulator.server import Emulator
from aai_stream.errors import OptionError
from tests.emulator.helpers import connection

RATE = 16_000
SETTINGS = TurnSettings(min_silence_ms=300, max_silence_ms=1000)


class Ear:
    """A recogniser on `script` and what it has told."""

    def __init__(
        self, *script: list[Said], settings: TurnSettings = SETTINGS, rate: int = RATE
    ) -> None:
        self.told: list[Heard] = []
        self.rate = rate
        engine = ScriptEngine(script)
        self.ear: Recognizer = engine.open(rate, settings, self.told.append)

    async def hear(self, ms: int, chunk_ms: int = 50) -> list[Heard]:
        """What is told while `ms` of audio come."""
        before = len(self.told)
        for start in range(0, ms, chunk_ms):
            length = min(chunk_ms, ms - start)
            await self.ear.hear(bytes(2 * (self.rate * length // 1000)))
        return self.told[before:]


def texts(told: list[Heard]) -> list[tuple[str, int, bool]]:
    """Each hypothesis: its words, when it came, whether the turn ended."""
    return [
        (" ".join(w.text for w in h.words), h.heard_ms, h.end_of_turn)
        for h in told
        if isinstance(h, Hypothesis)
    ]


def test_say_spaces_words_evenly() -> None:
    one, two = say("one two", at_ms=100, speaker="B", confidence=0.5)
    assert one == Said(100, 350, HeardWord("one", 100, 350, 0.5, "B"), True, False)
    assert two == Said(350, 600, HeardWord("two", 350, 600, 0.5, "B"), False, True)


def test_say_takes_pauses_and_times() -> None:
    said = say("one", 400, "two", at_ms=0, ms_per_word=100)
    assert [(s.start_ms, s.end_ms) for s in said] == [(0, 100), (500, 600)]
    said = say("one two", at_ms=0, times_ms=[(5, 6), (8, 9)])
    assert [(s.start_ms, s.end_ms) for s in said] == [(5, 6), (8, 9)]


def test_scripts_are_in_order() -> None:
    with pytest.raises(ValueError, match="order"):
        ScriptEngine([say("b", at_ms=500), say("a", at_ms=0)])


async def test_words_come_as_they_are_reached() -> None:
    ear = Ear(say("one two", at_ms=200))
    assert await ear.hear(150) == []
    assert await ear.hear(50) == [SpeechStarted(200)]
    assert texts(await ear.hear(200)) == []
    assert texts(await ear.hear(50)) == [("one", 450, False)]
    assert texts(await ear.hear(250)) == [("one two", 700, False)]
    assert texts(await ear.hear(250)) == []
    assert texts(await ear.hear(50)) == [("one two", 1000, True)]


async def test_turns_end_after_the_shortest_silence() -> None:
    ear = Ear(say("one", at_ms=0), say("two", at_ms=2000))
    told = await ear.hear(4000)
    ends = [h for h in told if isinstance(h, Hypothesis) and h.end_of_turn]
    assert texts(list(ends)) == [("one", 550, True), ("two", 2550, True)]
    assert [e.end_of_turn_confidence for e in ends] == [1.0, 1.0]


async def test_a_turn_ends_when_the_next_begins() -> None:
    ear = Ear(say("one", at_ms=0), say("two", at_ms=300))
    assert texts(await ear.hear(900)) == [
        ("one", 250, False),
        ("one", 300, True),
        ("two", 550, False),
        ("two", 850, True),
    ]


async def test_a_pause_holds_the_turn_open_and_confidence_climbs() -> None:
    ear = Ear(say("one", 800, "two", at_ms=0))
    told = [h for h in await ear.hear(2000) if isinstance(h, Hypothesis)]
    assert texts(list(told)) == [
        ("one", 250, False),
        ("one", 550, False),
        ("one", 750, False),
        ("one", 950, False),
        ("one two", 1300, False),
        ("one two", 1600, True),
    ]
    assert [h.pause for h in told] == [False, True, False, False, False, False]
    confidences = [h.end_of_turn_confidence for h in told]
    assert confidences == [0.0, 0.3, 0.5, 0.7, 0.0, 1.0]


async def test_a_pause_longer_than_the_longest_silence_ends_the_turn() -> None:
    ear = Ear(say("one", 2000, "two", at_ms=0))
    ends = [t for t in texts(await ear.hear(4000)) if t[2]]
    assert ends == [("one", 1250, True), ("two", 2800, True)]
    started = [t.at_ms for t in ear.told if isinstance(t, SpeechStarted)]
    assert started == [0, 2250]


async def test_settings_may_change_while_a_turn_is_open() -> None:
    ear = Ear(say("one", at_ms=0))
    await ear.hear(500)
    ear.ear.configure(TurnSettings(1000, 1000))
    assert await ear.hear(700) == []
    ear.ear.configure(TurnSettings(50, 50))
    # It would have ended at 300 ms, had it been known then.
    assert texts(await ear.hear(50)) == [("one", 1200, True)]


async def test_force_ends_the_turn_between_words() -> None:
    ear = Ear(say("one two three", at_ms=0))
    await ear.hear(600)
    ear.ear.force_endpoint()
    assert texts(ear.told)[-1] == ("one two", 600, True)
    ear.ear.force_endpoint()
    assert texts(await ear.hear(1000)) == [("three", 750, False), ("three", 1050, True)]


async def test_force_without_a_word_does_nothing() -> None:
    ear = Ear(say("one", at_ms=100))
    for _ in range(2):
        ear.ear.force_endpoint()
        await ear.hear(200)
    assert texts(ear.told) == [("one", 350, False)]


async def test_finish_ends_the_open_turn() -> None:
    ear = Ear(say("one two", at_ms=0))
    await ear.hear(300)
    ear.ear.finish()
    assert texts(ear.told) == [("one", 250, False), ("one", 300, True)]
    assert ear.told[-1] == Finished()


async def test_finish_with_nothing_open_just_finishes() -> None:
    ear = Ear()
    ear.ear.finish()
    assert ear.told == [Finished()]


async def test_empty_turns() -> None:
    ear = Ear(say(at_ms=100, ms_per_word=100))
    assert await ear.hear(600) == [SpeechStarted(100), Hypothesis((), 500, True, 1.0)]


async def test_silence_is_told_about_every_second_outside_turns() -> None:
    ear = Ear(say("one", at_ms=2300))
    told = [t for t in await ear.hear(5000) if isinstance(t, Silence)]
    assert told == [Silence(s, s + 1000) for s in (0, 1000, 2850, 3850)]


async def test_every_session_hears_the_same() -> None:
    script = [say("one two", at_ms=0), say("three", at_ms=1500, speaker="B")]
    first, second = Ear(*script), Ear(*script, rate=8000)
    assert await first.hear(3000) == await second.hear(3000)


@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 3)), max_size=5),
    st.lists(st.integers(1, 700), min_size=1, max_size=30),
    st.integers(50, 500),
    st.integers(0, 500),
)
async def test_chunking_changes_nothing(
    gaps: list[tuple[int, int]], chunks: list[int], shortest: int, more: int
) -> None:
    script = []
    now = 0
    for gap, count in gaps:
        script.append(say("word " * count, gap, "last", at_ms=now + gap))
        now = script[-1][-1].end_ms + gap
    settings = TurnSettings(shortest, shortest + more)
    whole, cut = Ear(*script, settings=settings), Ear(*script, settings=settings)
    for chunk in chunks:
        await cut.hear(chunk, chunk_ms=chunk)
    await whole.hear(sum(chunks), chunk_ms=sum(chunks))
    assert cut.told == whole.told


# ---- raw messages ----


TURN = {"type": "Turn", "turn_order": 0, "transcript": "as it was", "new_field": [1]}


async def test_raw_messages_are_told_at_their_places() -> None:
    engine = ScriptEngine(
        [
            say("one", at_ms=0),
            play({"type": "Unheard", "of": 1}, at_ms=900),
            play(TURN, at_ms=2000),
        ]
    )
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.audio(800)
        await client.settle()
        await client.audio(100)
        assert await client.until("Unheard") == {"type": "Unheard", "of": 1}
        *told, termination = await client.transcribe(200)
        assert told == [TURN]  # what is left is told at Terminate
        assert termination["type"] == "Termination"


def test_a_capture_is_a_script() -> None:
    lines: list[str | bytes] = [
        '{"audio_ms": 0, "message": {"type": "Begin", "id": "x"}}\n',
        "\n",
        b'{"audio_ms": 900, "message": {"type": "Turn", "turn_order": 0}}\n',
        '{"audio_ms": 950, "message": {"type": "Termination"}}',
    ]
    assert read_capture(lines) == [play({"type": "Turn", "turn_order": 0}, at_ms=900)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 2 of the capture"),
        ('{"audio_ms": 1}', "missing required field `message`"),
        ('{"audio_ms": 20, "message": {}}', "a message has a type"),
        ('{"audio_ms": 9, "message": {"type": "Turn"}}', "9 ms come after 10 ms"),
        ('{"at": 20, "message": {"type": "Turn"}}', "unknown field `at`"),
    ],
)
def test_a_capture_that_is_none(line: str, why: str) -> None:
    good = '{"audio_ms": 10, "message": {"type": "Turn"}}'
    with pytest.raises(OptionError, match=re.escape(why)):
        read_capture([good, line])
