"""What the query and UpdateConfiguration ask for, understood or refused."""

from __future__ import annotations

import pytest

from aai_stream.emulator.engine import (
    TurnSettings,
)
from aai_stream.emulator.server import Emulator
from tests.emulator.helpers import (
    PuppetEngine,
    connection,
    raw_connection,
)

ENGLISH = "universal-streaming-english"


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ({"speechModel": "x"}, 1, "no parameter 'speechModel'"),
        ({"format_turns": "True"}, 2, "format_turns does not work with"),
        ({"speech_model": ENGLISH, "prompt": "x"}, 2, "prompt does not work with"),
    ],
)
async def test_what_is_ignored_is_complained_about(
    engine: PuppetEngine, query: dict[str, str], code: int, text: str
) -> None:
    async with (
        Emulator(engine) as emulator,
        connection(emulator, query) as client,
    ):
        warning = await client.receive()
        assert warning["type"] == "Warning"
        assert warning["warning_code"] == code
        assert text in warning["warning"]


async def test_off_is_not_complained_about(engine: PuppetEngine) -> None:
    async with (
        Emulator(engine) as emulator,
        connection(
            emulator, speech_model=ENGLISH, language_detection="false"
        ) as client,
    ):
        assert [m["type"] for m in await client.transcribe(0)] == ["Termination"]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"sample_rate": 7000}, "sample_rate must be from 8000"),
        ({"sample_rate": "x"}, "sample_rate must be a whole number"),
        ({"encoding": "flac"}, "encoding must be one of"),
        ({"encoding": "opus"}, "encoding opus can't be decoded by this"),
        ({"session_heartbeat": "yes"}, "session_heartbeat must be true or false"),
        ({"vad_threshold": "1.5"}, "vad_threshold must be from 0 to 1"),
        ({"agent_context": "x" * 1751}, "at most 1750"),
        ({"inactivity_timeout": 4}, "inactivity_timeout must be from 5"),
    ],
)
async def test_bad_parameters_end_the_session_before_it_begins(
    engine: PuppetEngine, query: dict[str, object], text: str
) -> None:
    async with (
        Emulator(engine) as emulator,
        raw_connection(emulator, query) as client,
    ):
        error = await client.error()
        assert error["error_code"] == 3006
        assert text in error["error"]
        assert engine.puppets == []


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        ({}, 128, 1280),
        ({"mode": "min_latency"}, 128, 640),
        ({"mode": "max_accuracy"}, 512, 2560),
        ({"mode": "of-tomorrow"}, 128, 1280),
        ({"speech_model": "universal-4-u3"}, 400, 1280),
        ({"speech_model": ENGLISH}, 400, 1280),
        ({"speech_model": "u3-rt-pro", "min_turn_silence": 300}, 300, 1280),
        ({"max_turn_silence": 300}, 128, 300),
        ({"min_turn_silence": 100, "max_turn_silence": 100}, 100, 100),
        ({"min_turn_silence": 2000}, 2000, 2000),
        ({"min_turn_silence": 0, "max_turn_silence": 99_999}, 50, 10_000),
        ({"min_end_of_turn_silence_when_confident": 300}, 300, 1280),
        (
            {"speech_model": ENGLISH, "end_of_turn_confidence_threshold": 1},
            1280,
            1280,
        ),
        (
            {"speech_model": ENGLISH, "end_of_turn_confidence_threshold": 0},
            400,
            400,
        ),
    ],
)
async def test_silences_by_model_and_mode(
    engine: PuppetEngine, query: dict[str, object], low: int, high: int
) -> None:
    async with Emulator(engine) as emulator, connection(emulator, query):
        assert engine.puppets[0].settings == TurnSettings(low, high)


@pytest.mark.parametrize("order", [1, -1])
async def test_todays_name_wins(engine: PuppetEngine, order: int) -> None:
    both = [("min_end_of_turn_silence_when_confident", 300), ("min_turn_silence", 200)]
    async with (
        Emulator(engine) as emulator,
        connection(emulator, dict(both[::order])),
    ):
        assert engine.puppets[0].settings.min_silence_ms == 200
