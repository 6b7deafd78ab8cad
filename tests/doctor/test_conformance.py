"""The protocol as questions: what the embedded server answers."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from aai_stream.doctor.conformance import (
    CONNECTIONS,
    Question,
    ask_all,
    crowd,
    every_question,
)
from aai_stream.doctor.conformance.access import REFUSED
from aai_stream.doctor.conversing import Message, Server
from aai_stream.doctor.pacing import Pace
from aai_stream.doctor.roundtrip import call_pcm
from aai_stream.emulator.engines.pocketsphinx import PocketsphinxEngine
from aai_stream.emulator.engines.script import ScriptEngine, play, say
from aai_stream.emulator.server import DOCUMENTED, Emulator, Service
from aai_stream.errors import StateError
from tests.servers import until

KEY = "a-key-that-nobody-may-see"
TIMES = "times of words"


async def answered_otherwise(
    http: aiohttp.ClientSession, url: str, questions: Sequence[Question]
) -> dict[str, str]:
    server = Server(http, url, KEY, pace=math.inf)
    answers = ask_all(server, questions, call_pcm(), at_once=4)
    return {a.question: a.found async for a in answers if not a.conforms}


async def test_the_embedded_server_conforms(http: aiohttp.ClientSession) -> None:
    pytest.importorskip("pocketsphinx", reason="needs the extra `local`")
    # So long between an Error and its close that no busy machine sees them at once.
    service = Service(place_seconds=0, lost_place_seconds=0, refusal_seconds=1.0)
    engine = PocketsphinxEngine(16)
    async with Emulator(engine, api_keys={KEY}, service=service) as emulator:
        server = Server(http, emulator.url, KEY, pace=math.inf)
        answers = ask_all(server, every_question, call_pcm(), at_once=4)
        assert [a async for a in answers if not a.conforms] == []
    assert server.connections == CONNECTIONS


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


@pytest.mark.parametrize(
    ("most", "found"),
    [
        (1, REFUSED.format("Too many concurrent sessions")),
        (2, "each begins"),
    ],
)
async def test_more_sessions_than_there_may_be(
    http: aiohttp.ClientSession, most: int, found: str
) -> None:
    async with Emulator(ScriptEngine(), service=Service(max_sessions=most)) as emulator:
        server = Server(http, emulator.url, KEY)
        (answer,) = [answer async for answer in ask_all(server, [crowd(2)], b"")]
    assert (answer.found, answer.conforms) == (found, True)
    assert (server.connections, server.sessions) == (2, most)


async def test_a_revision_of_speakers_is_read(http: aiohttp.ClientSession) -> None:
    """The embedded server has one for a turn of a single word."""
    (revised,) = [q for q in every_question if "SpeakerRevision" in q.name]
    engine = ScriptEngine([say("hello", at_ms=0, speaker="A")])
    async with Emulator(engine) as emulator:
        server = Server(http, emulator.url, KEY, pace=math.inf)
        (answer,) = [a async for a in ask_all(server, [revised], call_pcm())]
    assert (answer.found, answer.conforms) == (
        "speaker_label, turn_order, words",
        True,
    )


@pytest.mark.parametrize(
    ("fields", "question", "found"),
    [
        ({"mood": "good"}, "fields of turns", "without [], with ['mood']"),
        (
            {"words": [{"start": 5, "end": 2}]},
            "times of words",
            "whole ms, out of order",
        ),
        (
            {"words": [{"start": 0.5, "end": 2}]},
            "times of words",
            "fractions, in order",
        ),
        ({"words": [{"text": "hello"}]}, "fields of words", "text"),
    ],
)
async def test_turns_that_are_otherwise(
    http: aiohttp.ClientSession, fields: dict[str, Any], question: str, found: str
) -> None:
    usual: Message = {"turn_order": 0, "turn_is_formatted": True, "end_of_turn": True}
    usual |= {"transcript": "hello", "end_of_turn_confidence": 1.0, "words": []}
    turn = {"type": "Turn", **usual, **fields}
    asked = [q for q in every_question if q.name == f"Universal-3: {question}"]
    async with Emulator(ScriptEngine([play(turn, at_ms=0)])) as emulator:
        server = Server(http, emulator.url, KEY, pace=math.inf)
        (answer,) = [a async for a in ask_all(server, asked, call_pcm())]
    assert (answer.found, answer.conforms) == (found, False)


async def test_who_stops_asking_leaves_no_session_open(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even that of a conversation which several questions share."""
    caplog.set_level(logging.INFO, "aai_stream.emulator")
    about_turns = [q for q in every_question if q.name == f"Universal-3: {TIMES}"]
    async with Emulator(ScriptEngine()) as emulator:
        server = Server(http, emulator.url, KEY)
        answers = ask_all(server, about_turns, call_pcm())
        asking = asyncio.ensure_future(anext(answers))
        await until(lambda: emulator.sessions == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await answers.aclose()
        assert server.sessions == 1  # it is over, and was counted
        await until(lambda: emulator.sessions == 0)
    (closed,) = [text for text in caplog.messages if " closed " in text]
    assert "closed (1000)" in closed


def test_connections_are_spread() -> None:
    pace = Pace(6)
    assert [pace.wait(now) for now in (100, 100, 105, 150)] == [0, 10, 15, 0]
    assert [Pace().wait(now) for now in (1, 1)] == [0, 0]


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
