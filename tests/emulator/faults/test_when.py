"""When faults strike."""

from __future__ import annotations

import aiohttp
import pytest

from aai_stream.emulator.engines.script import ScriptEngine
from tests.emulator.faults.helpers import (
    SCRIPT,
    faulty,
    happened,
    lost,
    nothing_comes,
    turn,
)
from tests.emulator.helpers import ManualClock, PuppetEngine, connection, finals
from tests.servers import until

ENGLISH = "universal-streaming-english"


@pytest.mark.parametrize(
    ("query", "bytes_per_ms"),
    [
        ({}, 32),
        ({"sample_rate": 8000}, 16),
        ({"sample_rate": 8000, "encoding": "pcm_mulaw"}, 8),
    ],
)
async def test_audio_is_counted_in_its_own_ms(
    engine: PuppetEngine, query: dict[str, object], bytes_per_ms: int
) -> None:
    async with (
        faulty(engine, "close,at=1000ms") as emulator,
        connection(emulator, query) as client,
    ):
        for _ in range(20):
            await client.ws.send_bytes(bytes(100 * bytes_per_ms))
        await client.rest()
        assert client.close_code == 1011
        assert emulator.faults.applied[0].audio_ms == 1000
        rate = int(str(query.get("sample_rate", 16000)))
        assert len(engine.puppets[0].pcm) == 2 * rate  # all of it was heard


async def test_what_the_audio_led_to_is_told_first() -> None:
    async with (
        faulty(ScriptEngine(SCRIPT), "reset,at=2000ms") as emulator,
        connection(emulator) as client,
    ):
        await client.audio(2000, chunk_ms=1000)
        assert finals(await lost(client)) == ["One.", "Two."]


async def test_turns_and_finals_are_counted(engine: PuppetEngine) -> None:
    texts = ["garbage,at=turn:3", "unknown,at=final:2"]
    async with faulty(engine, *texts) as emulator, connection(emulator) as client:
        puppet = engine.puppets[0]
        for text in "abcd":
            puppet.tell(turn(text, end=text in "bd"))
        told = [(await client.ws.receive()).data for _ in range(6)]
        odd = [i for i, text in enumerate(told) if "transcript" not in text]
        assert odd == [3, 5]
        assert '"D."' in told[4]


async def test_a_formatted_final_counts_as_well(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "reset,at=final:1") as emulator,
        connection(emulator, speech_model=ENGLISH, format_turns="true") as client,
    ):
        engine.puppets[0].tell(turn("a", end=True))
        assert finals(await lost(client)) == ["a"]  # and its formatted one is lost


async def test_seconds_are_the_servers(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    texts = ["garbage,at=2s", "close,at=2.5s", "unknown,at=2s"]
    async with (
        faulty(engine, *texts, clock=clock) as emulator,
        connection(emulator) as client,
    ):
        clock.advance(1.9)
        await client.settle()
        clock.advance(0.1)
        assert "Turn" in (await client.ws.receive()).data
        assert (await client.receive())["type"] == "Premonition"
        clock.advance(0.5)
        await client.rest()
        assert client.close_code == 1011
        await until(lambda: emulator.sessions == 0)
    assert clock.pending == 0


async def test_terminate_is_a_moment() -> None:
    async with (
        faulty(ScriptEngine(SCRIPT), "close,code=1000,at=terminate") as emulator,
        connection(emulator) as client,
    ):
        assert finals(await client.transcribe(1800)) == ["One.", "Two."]
        assert client.close_code == 1000


async def test_a_server_that_freezes_at_terminate_does_not_obey(
    engine: PuppetEngine,
) -> None:
    async with (
        faulty(engine, "freeze,at=terminate") as emulator,
        connection(emulator) as client,
    ):
        await client.send("Terminate")
        await nothing_comes(client)
        assert happened(emulator) == ["freeze"]
        assert not engine.puppets[0].finishing.is_set()
        client.vanish()


async def test_faults_of_a_moment_happen_in_their_order(engine: PuppetEngine) -> None:
    texts = ["garbage", "unknown", "close", "binary", "refuse"]
    async with faulty(engine, *(f"{t},at=begin" for t in texts)) as emulator:
        async with connection(emulator) as client:
            assert "Turn" in (await client.ws.receive()).data
            assert (await client.receive())["type"] == "Premonition"
            await client.rest()
        await until(
            lambda: happened(emulator) == ["garbage", "unknown", "close", "refuse"]
        )
        with pytest.raises(aiohttp.ClientConnectorError):
            async with connection(emulator):
                pass


async def test_a_moment_that_never_comes(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    texts = ["reset,at=5s", "reset,at=500ms", "reset,at=turn:1", "no-final"]
    async with (
        faulty(engine, *texts, clock=clock) as emulator,
        connection(emulator) as client,
    ):
        await client.audio(400)
        await client.send("Terminate")
        await client.rest()
        assert client.close_code == 1000
    assert emulator.faults.applied == []
    assert clock.pending == 0
