"""Options: both plugins ask the same of the server, refuse the same, say the same of
themselves.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit.agents.types import NOT_GIVEN
from livekit.plugins import assemblyai

from aai_stream import livekit as ours
from tests.livekit.scripts import Script
from tests.livekit.servers import RATE
from tests.livekit.side_by_side import (
    OFFICIAL,
    OURS,
    SIDES,
    ScriptServer,
    handshakes,
    make_stt,
    open_stream,
    push,
)
from tests.servers import until

UNIVERSAL_3 = [
    "u3-rt-pro",
    "u3-rt-pro-beta-1",
    "u3-pro",
    "universal-3-5-pro",
    "universal-3-6-pro",
]
ENGLISH, MULTILINGUAL = (
    "universal-streaming-english",
    "universal-streaming-multilingual",
)
MODELS = [*UNIVERSAL_3, ENGLISH, MULTILINGUAL]
LONG = "x" * 1751

# What any model takes, and what only the Universal-3 family takes; a list holds the
# keywords of one constructor.
ANY_MODEL: list[dict[str, Any]] = [
    {},
    {"sample_rate": 8000},
    {"sample_rate": 24_000, "encoding": "pcm_s16le"},
    {"encoding": "pcm_mulaw"},
    {"encoding": "pcm_mulaw", "sample_rate": 8000},
    {"language_detection": True},
    {"language_detection": False},
    {"end_of_turn_confidence_threshold": 0.7},
    {"end_of_turn_confidence_threshold": 1},
    {"end_of_turn_confidence_threshold": 0.0},
    {"min_turn_silence": 0},
    {"min_turn_silence": 250},
    {"max_turn_silence": 900},
    {"min_turn_silence": 250, "max_turn_silence": 900},
    {"min_end_of_turn_silence_when_confident": 300},
    {"min_end_of_turn_silence_when_confident": 300, "min_turn_silence": 200},
    {"min_end_of_turn_silence_when_confident": 300, "max_turn_silence": 200},
    {"format_turns": True},
    {"format_turns": False},
    {"keyterms_prompt": []},
    {"keyterms_prompt": ["Zoe", "Siobhán & Co", 'a "b"']},
    {"keyterms_prompt": ["Zoe", "Zoe"]},
    {"vad_threshold": 0},
    {"vad_threshold": 0.35},
    {"speaker_labels": True},
    {"speaker_labels": False},
    {"speaker_labels": True, "max_speakers": 2},
    {"max_speakers": 10},
    {"domain": "medical-v1"},
    {"domain": ""},
    {"buffer_size_seconds": 0.1},
    {"agent_context_carryover": True},
    {"agent_context_carryover": False},
    {"api_key": "another"},
    {"min_turn_silence": NOT_GIVEN, "format_turns": NOT_GIVEN},
]
ONLY_UNIVERSAL_3: list[dict[str, Any]] = [
    {"prompt": "Names & places"},
    {"prompt": ""},
    {"prompt": "x" * 1750},
    {"agent_context": "Your name?"},
    {"agent_context": ""},
    {"agent_context": "x" * 1750},
    {"previous_context_n_turns": 0},
    {"previous_context_n_turns": 100},
    {"continuous_partials": True},
    {"continuous_partials": False},
    {"interruption_delay": 0},
    {"interruption_delay": 1000},
    {"voice_focus": "near-field"},
    {"voice_focus": "far-field", "voice_focus_threshold": 0.5},
    {"voice_focus_threshold": 1.0},
    {"mode": "min_latency"},
    {"mode": "balanced", "min_turn_silence": 200},
    {"mode": "max_accuracy", "max_turn_silence": 300},
    {"mode": "max_accuracy", "min_end_of_turn_silence_when_confident": 300},
    {"language_code": "es"},
    {"language_code": "Spanish"},
    {"language_code": ""},
    {"language_codes": "en-US"},
    {"language_codes": ["en-US", "english", "ES", "pt_BR", "en"]},
    {"language_codes": ["multi"]},
    {"language_codes": "multi"},
    {"language_codes": ["eng", "yue", "zh-Hans-CN"]},
    {"language_codes": ["en", "en-GB"] * 6},
    {"language_codes": ["en", "es", "fr", "de", "it", "pt", "nl", "pl", "sv", "da"]},
]
EMPTY_CODES: list[dict[str, Any]] = [{"language_codes": []}, {"language_codes": ""}]

TOO_MANY = ["en", "es", "fr", "de", "it", "pt", "nl", "pl", "sv", "da", "fi"]
REFUSED: list[dict[str, Any]] = [
    {"language_code": "en", "language_codes": ["es"]},
    {"language_code": "en", "language_codes": []},
    {"language_codes": TOO_MANY},
    {"language_codes": ["multi", "en"]},
    {"agent_context": LONG},
    {"agent_context": LONG, "model": ENGLISH},
    {"api_key": ""},
    *(
        {"model": model} | options
        for model in (ENGLISH, MULTILINGUAL)
        for options in ONLY_UNIVERSAL_3
    ),
]


def options_of(model: str) -> list[dict[str, Any]]:
    """All that both plugins take with `model`."""
    options = ANY_MODEL + EMPTY_CODES
    return options + ONLY_UNIVERSAL_3 if model in UNIVERSAL_3 else options


@pytest.mark.parametrize("model", [None, *MODELS])
async def test_the_same_query(model: str | None) -> None:
    named = {} if model is None else {"model": model}
    asked: dict[str, dict[str, Any]] = {}
    async with (
        ScriptServer(Script()).running() as server,
        aiohttp.ClientSession() as http,
    ):
        connect = {"base_url": server.url, "http_session": http}
        for side in SIDES:
            asked[side] = {}
            for options in options_of(model or "universal-3-6-pro"):
                stt = make_stt(side, **connect, **named, **options)
                asked[side][str(options)] = await handshakes(server, stt)
    assert asked[OURS] == asked[OFFICIAL]


@pytest.mark.parametrize("key", ["from-environment", None])
async def test_the_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    if key is None:
        monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
        for side in SIDES:
            with pytest.raises(ValueError, match=r"(?i)key"):
                make_stt(side, api_key=NOT_GIVEN)
        return
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", key)
    async with (
        ScriptServer(Script()).running() as server,
        aiohttp.ClientSession() as http,
    ):
        for side in SIDES:
            stt = make_stt(
                side, api_key=NOT_GIVEN, base_url=server.url, http_session=http
            )
            ((_, sent),) = await handshakes(server, stt)
            assert sent == key


@pytest.mark.parametrize("key", ["", None])
def test_an_empty_key_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "from-environment")
    for side in SIDES:
        with pytest.raises(ValueError, match=r"(?i)key"):
            make_stt(side, api_key=key)


@pytest.mark.parametrize("options", REFUSED, ids=str)
def test_the_same_refusals(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    for side in SIDES:
        with pytest.raises(ValueError, match=r"."):
            make_stt(side, **options)


def test_every_keyword_is_on_the_page() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "livekit.md").read_text()
    named = set(re.findall(r"`(\w+)[`=]", page.split("## Differences")[0]))
    keywords = inspect.get_annotations(ours.STT.__init__).keys() - {"return"}
    assert keywords - named == set()


@pytest.mark.parametrize("model", MODELS)
def test_the_same_capabilities(model: str) -> None:
    for options in options_of(model):
        official, other = (make_stt(side, model=model, **options) for side in SIDES)
        assert other.model == official.model
        assert other.provider == official.provider
        assert other.metrics_metadata == official.metrics_metadata
        said = dataclasses.replace(other.capabilities, offline_recognize=False)
        assert said == official.capabilities


DEPRECATED = {
    "u3-pro",
    "language_code",
    "agent_context_carryover",
    "min_end_of_turn_silence_when_confident",
}
"""Names that a warning may be about."""


@pytest.mark.parametrize("model", ["u3-pro", "universal-3-6-pro", ENGLISH])
def test_the_same_warnings(caplog: pytest.LogCaptureFixture, model: str) -> None:
    caplog.set_level(logging.WARNING)
    for options in options_of(model):
        warned = []
        for side in SIDES:
            caplog.clear()
            stt = make_stt(side, model=model, **options)
            old = {"min_end_of_turn_silence_when_confident": 200}
            stt.update_options(**old, min_turn_silence=100)
            stt.update_options(min_turn_silence=100)
            warned.append([first_name(record) for record in caplog.records])
        assert warned[0][-1] == "min_end_of_turn_silence_when_confident"
        assert sorted(warned[1]) == sorted(warned[0])


def first_name(record: logging.LogRecord) -> str:
    """The deprecated name that a warning begins with."""
    names: list[str] = re.findall(r"[\w-]+", record.getMessage())
    return next(name for name in names if name in DEPRECATED)


async def test_the_same_session() -> None:
    for side in SIDES:
        async with (
            ScriptServer(Script()).running() as server,
            aiohttp.ClientSession() as http,
        ):
            stt = make_stt(side, base_url=server.url, http_session=http)
            assert stt.session is http
            stream = stt.stream()
            assert (stream.session_id, stream.expires_at) == (None, None)
            await until(lambda: any(c.read for c in server.connections))
            assert stream.session_id == "session-1"
            assert stream.expires_at == 2_000_000_000
            await stream.aclose()


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.2, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("rate", [8000, RATE, 48_000])
async def test_the_same_chunks(seconds: float, rate: int) -> None:
    chunks = []
    for side in SIDES:
        options = {"sample_rate": rate, "buffer_size_seconds": seconds}
        async with (
            ScriptServer(Script()).running() as server,
            open_stream(side, server, **options) as (_, stream),
        ):
            (connection,) = server.connections
            push(stream, 1000, rate=rate)
            stream.end_input()
            await until(lambda: connection.asked("Terminate") > 0)  # noqa: B023
            chunks.append(connection.chunks)
    assert chunks[1] == chunks[0]
    assert len(chunks[0]) == 1 / seconds


def test_the_same_names() -> None:
    """Keywords with their defaults, and public attributes."""
    for name in ("__init__", "stream"):
        official = inspect.signature(getattr(assemblyai.STT, name)).parameters
        same = inspect.signature(getattr(ours.STT, name)).parameters
        for keyword, parameter in official.items():
            assert same[keyword].kind == parameter.kind, keyword
            assert same[keyword].default == parameter.default, keyword
    for official_type, our_type in (
        (assemblyai.STT, ours.STT),
        (assemblyai.SpeechStream, ours.SpeechStream),
    ):
        public = {name for name in dir(official_type) if not name.startswith("_")}
        assert public <= set(dir(our_type))


async def test_long_key_terms_are_warned_of_without_the_term(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Those that are new, each time, whoever they are from."""
    long = "Siobhan " * 7
    stt = make_stt(OURS, keyterms_prompt=[long, "Zoe"])
    stt.update_options(keyterms_prompt=[long])
    stt._update_session_keyterms(["Ann", "", long])
    stt._update_session_keyterms(["Eve"])
    stream = make_stt(OURS, sample_rate="native").stream()
    stream.update_options(keyterms_prompt=[long])
    await stream.aclose()
    assert [record.getMessage() for record in caplog.records] == 4 * [
        "keyterms_prompt has 1 of more than 50 characters, which AssemblyAI may not use"
    ]
    assert stt._config.parameters["keyterms_prompt"] == [long, "Eve"]
