"""Event by event, ours says what the published plugin says, but for what the table of
differences in docs/livekit.md tells.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.livekit import scripts
from tests.livekit.scripts import Script, final, script, started, words
from tests.livekit.side_by_side import (
    OFFICIAL,
    OURS,
    Told,
    play,
    with_ends_of_speech,
    with_usage_to_the_end,
)

FORMATTED: dict[str, Any] = {
    "format_turns": True,
    "model": "universal-streaming-english",
}
FORMATS: list[dict[str, Any]] = [{}, {"format_turns": False}, FORMATTED]


def formats(*names: str) -> list[Any]:
    """Each of the scripts in each format, but for what differs: `unformatted`. Only
    Universal-Streaming models format: `model-family`."""
    return [
        pytest.param(name, options, id=f"{name}-{options}")
        for name in names
        for options in FORMATS
        if not (options.get("format_turns") and name in scripts.UNFORMATTED)
    ]


async def side_by_side(played: Script, **options: Any) -> list[Told]:
    """Play it to both; gives what was told, which was the same but for what only ours
    tells: usage since the last turn, and an end for every start of speech.
    """
    official = await play(OFFICIAL, played, **options)
    ours = await play(OURS, played, **options)
    expected = with_usage_to_the_end(official.events, played)
    assert ours.events == with_ends_of_speech(expected)
    assert ours.connection.chunks == official.connection.chunks
    assert ours.connection.texts == official.connection.texts
    return ours.events


@pytest.mark.parametrize("offset", [0.0, 12.5])
@pytest.mark.parametrize(("name", "options"), formats(*scripts.USUAL))
async def test_the_same(name: str, options: dict[str, Any], offset: float) -> None:
    await side_by_side(scripts.USUAL[name], offset=offset, **options)


@pytest.mark.parametrize("name", ["pauses", "formatted", "multilingual", "speakers"])
async def test_the_same_with_an_older_model(name: str) -> None:
    model = "universal-streaming-multilingual"
    await side_by_side(scripts.USUAL[name], model=model, speaker_labels=True)


async def test_the_same_when_both_ends_come_at_once() -> None:
    await side_by_side(scripts.FORMATTED_AT_ONCE, **FORMATTED)


@pytest.mark.parametrize(("name", "options"), formats(*scripts.ODD))
async def test_the_same_when_it_is_odd(name: str, options: dict[str, Any]) -> None:
    await side_by_side(scripts.ODD[name], offset=12.5, **options)


async def test_fractions_of_a_millisecond_are_rounded() -> None:
    """Which is no difference that a caller could see."""

    def told(onset: float, start: float, end: float) -> Script:
        (word,) = words("Hi")
        word |= {"start": start, "end": end}
        return script(started() | {"timestamp": onset}, final("Hi", words=[word]))

    rounded = await play(OURS, told(250.5, 200.25, 450.75))
    assert rounded.events == (await play(OFFICIAL, told(250, 200, 451))).events


@pytest.mark.parametrize("name", scripts.BAD)
async def test_what_the_published_plugin_loses(name: str) -> None:
    """Ours tells as little of the bad message, and all that comes after it."""
    played = scripts.BAD[name]
    events = await side_by_side(played)
    assert [event["type"] for event in events].count("final_transcript") == 1


async def test_what_is_compared() -> None:
    """Two scripts that differ in one detail are told apart."""
    plain = await play(OFFICIAL, script(started(), final("Hi there.")))
    for other in (
        script(started(201), final("Hi there.")),
        script(final("Hi there."), started()),
        script(started(), final("Hi there.", 201)),
        script(started(), final("Hi there!")),
        script(started(), final("Hi there.", utterance="Hi there!")),
        script(started(), final("Hi there.", language_code="es")),
        script(started(), final("Hi there.", speaker_label="A")),
        script(started(), final("Hi there.", end_of_turn_confidence=0.5)),
        script(started(), final("Hi there.", words=words("Hi there.", confidence=0.5))),
        script(started(), [final("Hi there."), final("Hi there.")]),
        script(started(), final("Hi there."), tail_ms=50, after_terminate=[final("")]),
    ):
        assert (await play(OFFICIAL, other)).events != plain.events
    again = await play(OFFICIAL, script(started(), final("Hi there.")))
    assert again.events == plain.events
    moved = await play(OFFICIAL, script(started(), final("Hi there.")), offset=1.0)
    assert moved.events != plain.events
