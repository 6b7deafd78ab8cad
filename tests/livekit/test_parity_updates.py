"""Live changes: both plugins send the same messages over the connection there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from livekit.agents.llm import ChatMessage
from livekit.agents.voice.events import ConversationItemAddedEvent

from tests.livekit.scripts import Script
from tests.livekit.servers import NO_RETRY
from tests.livekit.side_by_side import (
    SIDES,
    Connection,
    ScriptServer,
    handshakes,
    make_stt,
    meaning,
    open_stream,
    push,
)
from tests.livekit.test_parity_options import ENGLISH, LONG, MULTILINGUAL, TOO_MANY
from tests.servers import until

REFUSED_UPDATES: list[tuple[str, dict[str, Any]]] = [
    (ENGLISH, {"language_codes": ["en"], "min_turn_silence": 1}),
    (MULTILINGUAL, {"language_codes": [], "vad_threshold": 0.1}),
    ("u3-rt-pro", {"language_codes": TOO_MANY, "prompt": "new", "min_turn_silence": 1}),
    ("u3-rt-pro", {"language_codes": ["en", "multi"], "keyterms_prompt": ["new"]}),
    ("u3-rt-pro", {"agent_context": LONG, "language_codes": ["de"]}),
    (ENGLISH, {"agent_context": LONG, "max_turn_silence": 1}),
    ("u3-pro", {"agent_context": LONG, "continuous_partials": False}),
]


@pytest.mark.parametrize(("model", "update"), REFUSED_UPDATES, ids=str)
async def test_a_refused_update_changes_nothing(
    model: str, update: dict[str, Any]
) -> None:
    sent = []
    for side in SIDES:
        async with (
            ScriptServer(Script()).running() as server,
            open_stream(side, server, model=model) as (stt, stream),
        ):
            for target in (stt, stream):
                with pytest.raises(ValueError, match=r"."):
                    target.update_options(**update)
            stream.force_endpoint()
            (connection,) = server.connections
            await until(lambda: connection.asked("ForceEndpoint") > 0)  # noqa: B023
            assert connection.texts == [{"type": "ForceEndpoint"}]
            before = meaning(connection.query)
            ((after, _),) = await handshakes(server, stt)
            assert after == before
            sent.append(after)
    assert sent[0] == sent[1]


def item(role: Any, *content: str) -> ConversationItemAddedEvent:
    """Something was said in the conversation."""
    return ConversationItemAddedEvent(
        item=ChatMessage(role=role, content=list(content))
    )


Act = Callable[[Any, Any], None]
"""Something that a caller does to a plugin and a stream of its."""

UPDATES: list[dict[str, Any]] = [
    {},
    {"buffer_size_seconds": 0.1},
    {"end_of_turn_confidence_threshold": 0.6},
    {"min_turn_silence": 200},
    {"max_turn_silence": 800},
    {"min_turn_silence": 0, "max_turn_silence": 0},
    {"prompt": "Names"},
    {"prompt": ""},
    {"agent_context": "Your name?"},
    {"agent_context": ""},
    {"keyterms_prompt": ["Zoe", "Siobhán"]},
    {"keyterms_prompt": ["Zoe", "Zoe"]},
    {"keyterms_prompt": []},
    {"language_codes": ["en-US", "english", "es"]},
    {"language_codes": "French"},
    {"language_codes": []},
    {"language_codes": ""},
    {"vad_threshold": 0.5},
    {"vad_threshold": 0},
    {"continuous_partials": True},
    {"continuous_partials": False},
    {"interruption_delay": 0},
    {"min_end_of_turn_silence_when_confident": 300},
    {"min_end_of_turn_silence_when_confident": 300, "min_turn_silence": 200},
    {
        "prompt": "p",
        "agent_context": "a",
        "keyterms_prompt": ["k"],
        "language_codes": ["de"],
        "max_turn_silence": 2,
        "min_turn_silence": 1,
        "end_of_turn_confidence_threshold": 0.1,
        "continuous_partials": True,
        "interruption_delay": 3,
        "vad_threshold": 0.4,
    },
]


def on_stt(update: dict[str, Any]) -> list[Act]:
    return [lambda stt, stream: stt.update_options(**update)]


def on_stream(update: dict[str, Any]) -> list[Act]:
    return [lambda stt, stream: stream.update_options(**update)]


def session_terms(*terms: str) -> Act:
    return lambda stt, stream: stt._update_session_keyterms(list(terms))


def said(role: str, *content: str) -> Act:
    return lambda stt, stream: stt._push_conversation_item(item(role, *content))


ACTS: dict[str, list[Act]] = {
    **{f"stt-{update}": on_stt(update) for update in UPDATES},
    **{f"stream-{update}": on_stream(update) for update in UPDATES},
    "order": [
        *on_stt({"prompt": "1"}),
        lambda stt, stream: stream.force_endpoint(),
        *on_stream({"prompt": "2"}),
        *on_stt({"prompt": "3", "vad_threshold": 0.3}),
        lambda stt, stream: stream.force_endpoint(),
    ],
    "session-terms": [
        session_terms(),
        session_terms("Zoe"),
        session_terms("Zoe"),
        *on_stt({"keyterms_prompt": ["Ann", "Zoe"]}),
        session_terms("Bob", "Ann"),
        *on_stream({"keyterms_prompt": ["Eve"]}),
        session_terms(),
        *on_stt({"keyterms_prompt": []}),
        session_terms("Zoe"),
    ],
    "conversation": [
        said("assistant", "Your name?"),
        said("assistant", ""),
        said("assistant"),
        said("user", "Zoe"),
        said("system", "Be brief."),
        said("assistant", "Two", "parts"),
        said("assistant", "Your name?"),
        said("assistant", "start" + LONG + "end"),
        said("assistant", "x" * 1750),
    ],
}


@pytest.mark.parametrize("model", ["universal-3-6-pro", "u3-rt-pro", ENGLISH])
@pytest.mark.parametrize("name", ACTS)
async def test_the_same_messages(name: str, model: str) -> None:
    if model == ENGLISH and "language_codes" in name:
        return  # refused
    sent, asked = [], []
    for side in SIDES:
        async with (
            ScriptServer(Script()).running() as server,
            open_stream(side, server, model=model, keyterms_prompt=["Ann"]) as opened,
        ):
            push(opened[1], 100)
            (connection,) = server.connections
            await until(lambda: connection.heard_ms == 100)  # noqa: B023
            for act in ACTS[name]:
                act(*opened)
            await until_told(opened[1], connection)
            assert len(server.connections) == 1
            sent.append(list(connection.texts))
            asked.append(await handshakes(server, opened[0]))
    assert sent[1] == sent[0]
    assert asked[1] == asked[0]


async def until_told(stream: Any, connection: Connection) -> None:
    """Wait until the server has all that the stream sends, and one update more."""
    stream.update_options(prompt="the last")
    last = {"type": "UpdateConfiguration", "prompt": "the last"}
    await until(lambda: last in connection.texts)


async def test_the_same_messages_to_all_streams() -> None:
    sent = []
    for side in SIDES:
        async with (
            ScriptServer(Script()).running() as server,
            open_stream(side, server) as (stt, stream),
        ):
            (first,) = server.connections
            other = stt.stream(conn_options=NO_RETRY)
            await until(lambda: len(server.connections) == 2)
            (second,) = (c for c in server.connections if c is not first)
            await until(lambda: second.read > 0)  # noqa: B023
            stt.update_options(prompt="both")
            stream.update_options(prompt="first")
            other.update_options(prompt="second")
            other.force_endpoint()
            await until_told(stream, first)
            await until(lambda: second.asked("ForceEndpoint") == 1)  # noqa: B023
            sent.append((list(first.texts), list(second.texts)))
            await other.aclose()
    assert sent[1] == sent[0]
    assert [len(texts) for texts in sent[0]] == [3, 3]


@pytest.mark.parametrize("at_the_gate", [False, True])
async def test_the_same_effect_before_the_session_begins(at_the_gate: bool) -> None:
    """What a stream is told while it connects is in its query, or follows it."""
    effects = []
    for side in SIDES:
        async with (
            ScriptServer(Script()).running() as server,
            aiohttp.ClientSession() as http,
        ):
            server.gate.clear()
            stt = make_stt(side, base_url=server.url, http_session=http)
            stream = stt.stream(conn_options=NO_RETRY)
            if at_the_gate:
                await until(lambda: server.waiting == 1)
            stream.update_options(prompt="Names", min_turn_silence=300)
            stt.update_options(prompt="Towns", vad_threshold=0.5)
            stt._update_session_keyterms(["Zoe"])
            server.gate.set()
            await until(lambda: any(c.read for c in server.connections))
            (connection,) = server.connections
            await until_told(stream, connection)
            effect = meaning(connection.query)
            for text in connection.texts:
                effect |= text
            effects.append(effect)
            await stream.aclose()
    assert effects[1] == effects[0]


async def test_the_same_chunks_after_an_update() -> None:
    sizes = []
    for side in SIDES:
        async with (
            ScriptServer(Script()).running() as server,
            aiohttp.ClientSession() as http,
        ):
            stt = make_stt(side, base_url=server.url, http_session=http)
            stt.update_options(buffer_size_seconds=0.25)
            stream = stt.stream(conn_options=NO_RETRY)
            push(stream, 1000)
            stream.end_input()
            await until(lambda: any(c.asked("Terminate") for c in server.connections))
            (connection,) = server.connections
            sizes.append([len(chunk) for chunk in connection.chunks])
            await stream.aclose()
    assert sizes == [[8000] * 4] * 2
