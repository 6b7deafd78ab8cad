"""What the query and UpdateConfiguration ask for, understood or refused."""

from __future__ import annotations

import json

import pytest

from aai_stream.emulator.engines.engine import (
    TurnSettings,
)
from aai_stream.emulator.server import Emulator, Service
from tests.emulator.helpers import (
    PuppetEngine,
    connection,
    raw_connection,
)

ENGLISH = "universal-streaming-english"


@pytest.mark.parametrize(
    ("query", "logged"),
    [
        ({"speechModel": "x"}, "no parameter 'speechModel'"),
        ({"format_turns": "True"}, "format_turns does not work with"),
        ({"speech_model": ENGLISH, "prompt": "x"}, "prompt does not work with"),
        ({"speech_model": ENGLISH, "language_detection": "false"}, ""),
    ],
)
async def test_what_is_ignored_is_logged(
    engine: PuppetEngine,
    caplog: pytest.LogCaptureFixture,
    query: dict[str, str],
    logged: str,
) -> None:
    async with (
        Emulator(engine) as emulator,
        connection(emulator, query) as client,
    ):
        told = [m["type"] for m in await client.transcribe(0)]
        assert "Warning" not in told
    assert logged in caplog.text
    assert ("ignored" in caplog.text) == bool(logged)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (
            {"speech_model": "universal-9"},
            "User Input Validation Error: Invalid 'speech_model': Input should be 'u3-",
        ),
        (
            {"keyterms_prompt": json.dumps(["x"] * 101)},
            "Invalid 'keyterms_prompt': Value error, Max 100 items",
        ),
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
        assert engine.puppets[0].settings == TurnSettings(low, high, 60_000)


async def test_labelled_turns_are_short(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator, speaker_labels=True):
        assert engine.puppets[0].settings.longest_ms == 10_000


@pytest.mark.parametrize(
    ("query", "model"),
    [
        ({}, "universal-3-5-pro"),
        ({"language_code": "multi"}, "universal-streaming-multilingual"),
        ({"language_codes": '["de"]'}, "universal-3-5-pro"),
        ({"language_code": "multi", "speech_model": "u3-rt-pro"}, "u3-rt-pro"),
    ],
)
async def test_the_model_of_who_asks_for_none(
    engine: PuppetEngine, query: dict[str, object], model: str
) -> None:
    service = Service(default_model="universal-3-5-pro")
    async with (
        Emulator(engine, service=service) as emulator,
        connection(emulator, query) as client,
    ):
        assert client.begin["configuration"]["model"] == model


async def test_the_longest_prompt_goes_into_the_query(engine: PuppetEngine) -> None:
    query = {"prompt": "あ" * 1750, "agent_context": "é" * 1750}
    async with Emulator(engine) as emulator, connection(emulator, query) as client:
        assert client.begin["type"] == "Begin"


@pytest.mark.parametrize("order", [1, -1])
async def test_todays_name_wins(engine: PuppetEngine, order: int) -> None:
    both = [("min_end_of_turn_silence_when_confident", 300), ("min_turn_silence", 200)]
    async with (
        Emulator(engine) as emulator,
        connection(emulator, dict(both[::order])),
    ):
        assert engine.puppets[0].settings.min_silence_ms == 200
