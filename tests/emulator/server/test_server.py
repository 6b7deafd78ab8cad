"""The server as a client sees it: handshake, what it tells, the end."""

from __future__ import annotations

import asyncio
import logging
import uuid

import aiohttp
import pytest

from aai_stream.emulator.engines.engine import (
    Finished,
    Heard,
    HeardWord,
    Hypothesis,
)
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.server import Emulator, Service
from aai_stream.errors import OptionError
from tests.emulator.faults.helpers import REQUEST, nothing_comes, raw_socket
from tests.emulator.helpers import (
    PLAIN,
    Client,
    ManualClock,
    PuppetEngine,
    connection,
    finals,
    mint,
    raw_connection,
    turns,
)
from tests.servers import port_of, until

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
            speaker_labels=True,
            domain="medical-v1",
        ) as client,
    ):
        uuid.UUID(client.begin["id"], version=4)
        assert client.begin["expires_at"] == 1_700_000_000 + 10_800
        assert client.begin["configuration"] == {
            "model": "universal-3-6-pro",
            "mode": "balanced",
            "api_version": "2027-01-01",
            "speaker_labels": True,
            "redact_pii": False,
            "filter_profanity": False,
            "domain": "medical-v1",
            "voice_focus": None,
        }
        assert engine.puppets[0].sample_rate == 8000


async def test_universal_streaming_has_no_mode(engine: PuppetEngine) -> None:
    async with (
        Emulator(engine) as emulator,
        connection(emulator, speech_model=ENGLISH) as client,
    ):
        configuration = client.begin["configuration"]
        assert (configuration["model"], configuration["mode"]) == (ENGLISH, None)


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
        port = port_of(first.url)
        with pytest.raises(OSError, match="in use"):
            await Emulator(engine, port=port).__aenter__()
    assert engine.started
    assert engine.stopped


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
            "session_duration_seconds": 2,
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
        async with raw_connection(emulator, headers={"Authorization": "guessed"}) as c:
            await c.error()
    logged = caplog.text.lower()
    for secret in ("opensesame", token, "murmur", "whispered", "mumbled", "guessed"):
        assert secret.lower() not in logged
    assert "session" in logged  # so there was something to find


async def test_a_url_that_is_too_long_is_not_logged(
    engine: PuppetEngine, caplog: pytest.LogCaptureFixture
) -> None:
    request = b"GET /v3/ws?token=secret" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n"
    async with Emulator(engine) as emulator, raw_socket(emulator, request) as (r, _):
        assert b" 400 " in await r.readline()
    assert "a request could not be read" in caplog.text
    assert "secret" not in caplog.text


async def test_a_version_that_is_no_text(engine: PuppetEngine) -> None:
    request = REQUEST.replace(b"Host:", b"AssemblyAI-Version: \xff\r\nHost:")
    async with Emulator(engine) as emulator, raw_socket(emulator, request) as (r, _):
        assert b'"api_version":"?"' in await r.readuntil(b"}}")


async def test_a_revision_comes_behind_terminate(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with (
        Emulator(engine, clock=clock) as emulator,
        connection(emulator, speaker_labels=True) as client,
    ):
        puppet = engine.puppets[0]
        puppet.finishes = False
        for order in range(2):
            word = HeardWord("yes", 1000 * order, 1000 * order + 9, 0.9, "B")
            puppet.tell(Hypothesis((word,), 2000, True, 1.0))
            if order == 0:
                await client.send("Terminate")
                await puppet.finishing.wait()
                clock.advance(0.066)
        puppet.tell(Finished())
        told = [m for m in await client.rest() if m["type"] != "SpeechStarted"]
        assert [m["type"] for m in told] == [
            "Turn",
            "SpeakerRevision",
            "Turn",
            "SpeakerRevision",  # of the turn that was open then
            "Termination",
        ]
        revised = [m["revisions"][0]["turn_order"] for m in (told[1], told[3])]
        assert revised == [0, 1]


async def test_tells_arrive_in_the_order_they_were_told(engine: PuppetEngine) -> None:
    async with (
        Emulator(engine, service=PLAIN) as emulator,
        connection(emulator) as client,
    ):
        heard: list[Heard] = [
            Hypothesis((HeardWord(t, 0, 9, 1.0),), 9, t == "c", 0.0) for t in "abc"
        ]
        for hypothesis in heard:
            engine.puppets[0].tell(hypothesis)
        await client.send("Terminate")
        messages = await client.rest()
        texts = [t["transcript"] for t in turns(messages)]
        assert texts == ["a", "b", "C."]


# What is there beside sessions


async def test_health_says_how_many_sessions_there_are(engine: PuppetEngine) -> None:
    async with (
        Emulator(engine, service=Service(max_sessions=3)) as emulator,
        connection(emulator),
        aiohttp.ClientSession(emulator.url.replace("ws:", "http:")) as http,
        http.get("/health") as response,
    ):
        assert await response.json() == {
            "status": "ok",
            "sessions": 1,
            "max_sessions": 3,
            "sessions_opened": 1,
        }


async def test_sessions_are_logged_as_they_open_and_close(
    engine: PuppetEngine, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aai_stream.emulator")
    async with Emulator(engine, clock=clock) as emulator:
        async with connection(emulator, speech_model=ENGLISH) as client:
            name = client.begin["id"][:8]
            await client.audio(1500)
            await client.settle()
            clock.advance(2)
            await client.send("Terminate")
            await client.rest()
        async with connection(emulator) as client:
            await client.ws.close(code=1001)
        async with connection(emulator) as client:
            client.vanish()
        await until(lambda: emulator.sessions == 0)
    opened, closed, *others = caplog.messages
    assert opened == f"session {name} open: {ENGLISH}, 16000 Hz"
    assert closed == (
        f"session {name} closed (1000): {ENGLISH}, 1.5 s of audio in 2.0 s"
    )
    assert ["(1001)" in others[1], "(cut)" in others[3]] == [True, True]


async def test_a_denied_model_is_cancelled_after_begin(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    service = Service(denied_models=frozenset({ENGLISH}))
    async with Emulator(engine, clock=clock, service=service) as emulator:
        async with connection(emulator, speech_model=ENGLISH) as client:
            clock.advance(4.9)
            await client.settle()
            clock.advance(0.1)
            error = await client.error()
            assert error["error_code"] == 3005
            assert error["error"] == "Session Cancelled: An error occurred"
        async with connection(emulator) as client:
            clock.advance(5)
            await client.settle()


async def test_begin_and_termination_take_their_time(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    service = Service(begin_seconds=4, termination_seconds=8)
    async with (
        Emulator(engine, clock=clock, service=service) as emulator,
        raw_connection(emulator) as client,
    ):
        await until(lambda: clock.pending == 1)
        clock.advance(1.9)  # half of what is usual at least
        await nothing_comes(client)
        clock.advance(4.1)
        assert (await client.receive())["type"] == "Begin"
        await client.send("Terminate")
        await until(engine.puppets[0].finishing.is_set)
        clock.advance(3.9)
        await nothing_comes(client)
        clock.advance(8.1)
        (termination,) = await client.rest()
        assert termination["type"] == "Termination"
        assert termination["session_duration_seconds"] == 0  # without the waits
