"""The protocol as questions: what the embedded server answers."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest

from aai_stream.doctor.conformance import Question, ask_all, every_question
from aai_stream.doctor.conversing import Server
from aai_stream.doctor.roundtrip import call_pcm
from aai_stream.emulator.recognizer import PocketsphinxEngine
from aai_stream.emulator.script import ScriptEngine
from aai_stream.emulator.server import Emulator
from aai_stream.emulator.service import DOCUMENTED, Service
from aai_stream.errors import StateError

KEY = "a-key-that-nobody-may-see"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def answered_otherwise(
    http: aiohttp.ClientSession, url: str, questions: Sequence[Question]
) -> dict[str, str]:
    server = Server(http, url, KEY, pace=math.inf)
    answers = ask_all(server, questions, call_pcm(), at_once=4)
    return {a.question: a.found async for a in answers if not a.conforms}


async def test_the_embedded_server_conforms(http: aiohttp.ClientSession) -> None:
    pytest.importorskip("pocketsphinx", reason="needs the extra `local`")
    service = Service(place_seconds=0, lost_place_seconds=0)
    async with Emulator(
        PocketsphinxEngine(16), api_keys={KEY}, service=service
    ) as server:
        assert await answered_otherwise(http, server.url, every_question) == {}


async def test_the_documentation_differs(http: aiohttp.ClientSession) -> None:
    """In what the documentation says and nobody has seen, and only there."""
    questions = [
        question
        for question in every_question
        if not question.name.startswith(("Universal", "speaker", "speech", "silence"))
        and question.name != "KeepAlive past inactivity_timeout"
    ]
    async with Emulator(ScriptEngine(), api_keys={KEY}, service=DOCUMENTED) as server:
        found = await answered_otherwise(http, server.url, questions)
    assert found == {
        "a bad key": "401",
        "no key": "401",
        "a key with Bearer before it": "401",
        "a bad token": "401",
        "a token that has expired": "401",
        "when a refusal is told": "there is no Error",
        "a token used twice, one after the other": "Begin, 401",
        "a token used twice, at once": "Begin, no Begin",
        "messages of 20 ms, half a second": found["messages of 20 ms, half a second"],
    }
    assert "Input Duration Error" in found["messages of 20 ms, half a second"]


async def test_what_goes_wrong_is_an_answer(http: aiohttp.ClientSession) -> None:
    async def fails(server: Server, speech: bytes) -> str:
        raise StateError("nobody may see this")

    async def good(server: Server, speech: bytes) -> str:
        return "one way"

    server = Server(http, "ws://127.0.0.1:1", KEY)
    questions = [
        Question("fails", ("fine",), fails),
        Question("good", ("another way", "one way"), good),
    ]
    answers = [a async for a in ask_all(server, questions, b"")]
    assert [(a.found, a.conforms) for a in answers] == [
        ("StateError", False),
        ("one way", True),
    ]
    assert answers[1].as_dict() == {
        "question": "good",
        "expected": ("another way", "one way"),
        "found": "one way",
        "conforms": True,
    }
