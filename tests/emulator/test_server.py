"""The server as a client sees it: handshake, capacity, the end."""

from __future__ import annotations

import asyncio
import logging
import uuid

import aiohttp
import pytest

from aai_stream.emulator.engine import (
    Finished,
    Heard,
    HeardWord,
    Hypothesis,
)
from aai_stream.emulator.script import ScriptEngine, say
from aai_stream.emulator.server import Emulator
from aai_stream.errors import OptionError
from tests.emulator.helpers import (
    Client,
    ManualClock,
    PuppetEngine,
    connection,
    finals,
    mint,
    raw_connection,
    turns,
)

ENGLISH = "universal-streaming-english"


# The handshake


async def test_begin_says_what_was_understood(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    headers = {"Authorization": "key", "AssemblyAI-Version": "2027-01-01"}
    async with (
        Emulator(engine, clock=clock) as emulator,
        connection(
            emulator,
            headers=headers,
            sample_rate=8000,
            min_turn_silence=20,
            keyterms_prompt='["Ada"]',
            webhook_auth_header_value="secret",
        ) as client,
    ):
        uuid.UUID(client.begin["id"], version=4)
        assert client.begin["expires_at"] == 1_700_000_000 + 10_800
        assert client.begin["configuration"] == {
            "model": "universal-3-6-pro",
            "mode": "balanced",
            "api_version": "2027-01-01",
            "sample_rate": 8000,
            "min_turn_silence": 50,
            "keyterms_prompt": ["Ada"],
        }
        assert engine.puppets[0].sample_rate == 8000


async def test_universal_streaming_has_no_mode(engine: PuppetEngine) -> None:
    async with (
        Emulator(engine) as emulator,
        connection(emulator, speech_model=ENGLISH) as client,
    ):
        assert client.begin["configuration"] == {
            "model": ENGLISH,
            "api_version": "2025-05-12",
        }


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer key"}],
)
async def test_no_key_is_refused(engine: PuppetEngine, headers: dict[str, str]) -> None:
    async with Emulator(engine) as emulator:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with raw_connection(emulator, headers=headers):
                pass
        assert refused.value.status == 401
        assert engine.puppets == []


async def test_only_listed_keys_are_taken(engine: PuppetEngine) -> None:
    async with Emulator(engine, api_keys={"good"}) as emulator:
        async with connection(emulator, headers={"Authorization": "good"}):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with raw_connection(emulator, headers={"Authorization": "bad"}):
                pass
        assert refused.value.status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.com", ""])
def test_only_loopback_is_bound(engine: PuppetEngine, host: str) -> None:
    with pytest.raises(OptionError, match="not a loopback"):
        Emulator(engine, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_is_loopback(engine: PuppetEngine, host: str) -> None:
    Emulator(engine, host=host)


async def test_remote_binds_are_allowed_on_request(engine: PuppetEngine) -> None:
    async with Emulator(engine, host="0.0.0.0", allow_remote=True) as emulator:
        assert emulator.url.startswith("ws://0.0.0.0:")


async def test_a_taken_port_leaves_nothing_behind(engine: PuppetEngine) -> None:
    async with Emulator(PuppetEngine()) as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await Emulator(engine, port=port).__aenter__()
    assert engine.started
    assert engine.stopped


# Capacity


async def test_one_session_too_many_is_refused_until_another_ends() -> None:
    engine = PuppetEngine(capacity=1)
    async with Emulator(engine) as emulator:
        async with connection(emulator) as first:
            async with raw_connection(emulator) as second:
                assert (await second.error())["error_code"] == 3009
            await first.send("Terminate")
            await first.rest()
        async with connection(emulator):
            assert emulator.sessions == 1


# The end


async def test_terminate_tells_the_last_turn_and_closes(clock: ManualClock) -> None:
    engine = ScriptEngine([say("good bye", at_ms=0)])
    async with (
        Emulator(engine, clock=clock) as emulator,
        connection(emulator) as client,
    ):
        await client.audio(1400)
        await client.settle()
        clock.advance(2.2)
        await client.audio(600)
        await client.send("Terminate")
        messages = await client.rest()
        assert messages[-1] == {
            "type": "Termination",
            "audio_duration_seconds": 2,
            "session_duration_seconds": 3,
        }
        assert client.close_code == 1000


async def test_nothing_counts_after_terminate(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        puppet = engine.puppets[0]
        puppet.finishes = False
        await client.send("Terminate")
        await client.send("Terminate")
        await client.audio(100)
        await client.ws.send_str("{not json")
        await puppet.finishing.wait()
        await client.ws.ping()
        puppet.tell(Hypothesis((HeardWord("bye", 0, 9, 1.0),), 9, True, 1.0))
        puppet.tell(Finished())
        assert finals(await client.rest()) == ["Bye."]
        assert client.close_code == 1000
        assert puppet.pcm == b""


async def test_terminate_ends_an_open_turn() -> None:
    engine = ScriptEngine([say("good bye", at_ms=0)])
    async with Emulator(engine) as emulator, connection(emulator) as client:
        messages = await client.transcribe(500)
        assert finals(messages) == ["Good bye."]
        assert messages[-1]["type"] == "Termination"


async def test_stopping_closes_every_session(engine: PuppetEngine) -> None:
    before = asyncio.all_tasks()
    async with aiohttp.ClientSession() as http:
        async with Emulator(engine) as emulator:
            url = f"{emulator.url}/v3/ws"
            sockets = [
                await http.ws_connect(url, headers={"Authorization": "key"})
                for _ in range(3)
            ]
            clients = [Client(ws) for ws in sockets]
            begun = [await client.receive() for client in clients]
            assert len({b["id"] for b in begun}) == 3
            waiting = [asyncio.create_task(client.rest()) for client in clients]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert [client.close_code for client in clients] == [1001] * 3
        assert all(puppet.closed.is_set() for puppet in engine.puppets)
        assert engine.stopped
        assert asyncio.all_tasks() == before


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    engine = ScriptEngine([say("whispered", at_ms=0)])
    async with Emulator(engine, api_keys={"opensesame"}) as emulator:
        headers = {"Authorization": "opensesame"}
        _, token = await mint(emulator, key="opensesame")
        async with connection(emulator, headers={}, token=token, prompt="murmur") as c:
            assert finals(await c.transcribe(1000)) == ["Whispered."]
        async with connection(emulator, headers=headers) as c:
            await c.ws.send_str("mumbled")
            await c.error()
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with raw_connection(emulator, headers={"Authorization": "guessed"}):
                pass
    logged = caplog.text.lower()
    for secret in ("opensesame", token, "murmur", "whispered", "mumbled", "guessed"):
        assert secret.lower() not in logged
    assert "session" in logged  # so there was something to find


async def test_tells_arrive_in_the_order_they_were_told(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        heard: list[Heard] = [
            Hypothesis((HeardWord(t, 0, 9, 1.0),), 9, t == "c", 0.0) for t in "abc"
        ]
        for hypothesis in heard:
            engine.puppets[0].tell(hypothesis)
        await client.send("Terminate")
        messages = await client.rest()
        texts = [t["transcript"] for t in turns(messages)]
        assert texts == ["a", "b", "C."]
