"""Whom faults strike, and what a test can steer and see of it."""

from __future__ import annotations

import ssl
import sys

import aiohttp
import pytest
import trustme

from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.faults import fault
from aai_stream.emulator.faults.running import Applied
from aai_stream.emulator.server import Emulator
from tests.emulator.faults.helpers import (
    SCRIPT,
    faulty,
    happened,
    lost,
    nothing_comes,
    turn,
)
from tests.emulator.helpers import (
    Client,
    ManualClock,
    PuppetEngine,
    connection,
    raw_connection,
)

# Whom


async def struck(emulator: Emulator, connections: int) -> list[bool]:
    """Which of so many connections the only fault, a `status`, has struck."""
    refused = []
    for _ in range(connections):
        try:
            async with connection(emulator):
                refused.append(False)
        except aiohttp.WSServerHandshakeError:
            refused.append(True)
    numbers = [applied.connection for applied in emulator.faults.applied]
    assert numbers == [i for i, was in enumerate(refused, 1) if was]
    return refused


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("every", [True, True, True, True]),
        ("2", [False, True, False, False]),
        ("1-2", [True, True, False, False]),
        ("3-", [False, False, True, True]),
    ],
)
async def test_connections_are_chosen_by_number(
    engine: PuppetEngine, on: str, expected: list[bool]
) -> None:
    async with faulty(engine, f"status,on={on}") as emulator:
        assert await struck(emulator, 4) == expected


async def test_chance_is_the_same_every_time() -> None:
    async def chosen(seed: int) -> list[bool]:
        async with faulty(PuppetEngine(), f"status,chance=0.5,seed={seed}") as emulator:
            return await struck(emulator, 20)

    first = await chosen(1)
    assert 3 < sum(first) < 17
    assert await chosen(1) == first
    assert await chosen(2) != first


async def test_no_chance(engine: PuppetEngine) -> None:
    async with faulty(engine, "status,chance=0") as emulator:
        assert await struck(emulator, 3) == [False] * 3


async def test_a_fault_lasts_from_when_it_first_happened(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with faulty(engine, "status,on=2-,lasts=15", clock=clock) as emulator:
        seen = []
        for seconds in (100, 0, 14.9, 0.1, 100):
            clock.advance(seconds)
            try:
                async with connection(emulator):
                    seen.append(False)
            except aiohttp.WSServerHandshakeError:
                seen.append(True)
        assert seen == [False, True, True, False, False]


# Steering


async def test_a_fault_added_later_strikes_open_sessions(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.audio(300)
        await client.settle()
        emulator.faults.append(fault("garbage,at=300ms"))
        assert "Turn" in (await client.ws.receive()).data
        emulator.faults.append(fault("close,code=3005"))
        await client.rest()
        assert client.close_code == 3005
        assert next(str(f) for f in emulator.faults).startswith("garbage")
        first, second = emulator.faults.applied
        assert first == Applied(fault("garbage,at=300ms"), 1, 300)
        assert second == Applied(fault("close,code=3005"), 1, 300)


async def test_a_fault_added_later_waits_for_its_moment(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with Emulator(engine, clock=clock) as emulator, connection(emulator) as c:
        clock.advance(2)
        emulator.faults.append(fault("unknown,at=5s"))
        emulator.faults.append(fault("garbage,at=1s"))
        clock.advance(0)
        assert "Turn" in (await c.ws.receive()).data
        clock.advance(2.9)
        await c.settle()
        clock.advance(0.1)
        assert (await c.receive())["type"] == "Premonition"


async def test_a_fault_of_some_connections_counts_from_when_it_was_added(
    engine: PuppetEngine,
) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as open_before:
        emulator.faults.append(fault("close,on=1"))
        emulator.faults.append(fault("status,on=2"))
        async with connection(emulator) as client:
            await client.rest()
            assert client.close_code == 1011
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with connection(emulator):
                pass
        await open_before.settle()
        numbers = [applied.connection for applied in emulator.faults.applied]
        assert numbers == [2, 3]


@pytest.mark.parametrize("text", ["status", "mute,at=open"])
async def test_the_beginning_does_not_come_again(
    engine: PuppetEngine, text: str
) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        emulator.faults.append(fault(text))
        await client.audio(100)
        await client.settle()
        assert emulator.faults.applied == []


async def test_cleared_faults_do_not_happen(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    texts = ["mute,on=1", "reset,at=100ms", "reset,at=5s"]
    async with (
        faulty(engine, *texts, clock=clock) as emulator,
        connection(emulator) as mute,
        connection(emulator) as client,
    ):
        emulator.faults.clear()
        assert list(emulator.faults) == []
        clock.advance(6)
        await client.audio(300)
        await client.settle()
        await mute.audio(300)
        engine.puppets[0].tell(turn("nobody hears"))
        await nothing_comes(mute)
        assert happened(emulator) == ["mute"]
        mute.vanish()


async def test_sessions_are_counted(engine: PuppetEngine) -> None:
    async with Emulator(engine, api_keys={"key"}) as emulator:
        for count in range(3):
            assert emulator.sessions_opened == count
            async with connection(emulator):
                pass
        async with raw_connection(emulator, sample_rate=1) as refused:
            await refused.error()
        assert emulator.sessions_opened == 3


# TLS


@pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="aborting TLS, Python 3.10's asyncio closes it and warns of it",
)
async def test_faults_happen_under_tls(clock: ManualClock) -> None:
    authority = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.configure_trust(theirs)
    faults = [fault("reset,at=turn:1,on=1"), fault("freeze,on=2,cut=1")]
    async with (
        Emulator(
            ScriptEngine(SCRIPT), tls=ours, faults=faults, clock=clock
        ) as emulator,
        aiohttp.ClientSession(headers={"Authorization": "key"}) as http,
    ):
        assert emulator.url.startswith("wss://127.0.0.1:")
        url = f"{emulator.url}/v3/ws"
        client = Client(await http.ws_connect(url, ssl=theirs))
        await client.audio(500)
        told = [message["type"] for message in await lost(client)]
        assert told == ["Begin", "SpeechStarted", "Turn"]

        client = Client(await http.ws_connect(url, ssl=theirs))
        assert (await client.receive())["type"] == "Begin"
        await client.audio(500)
        await nothing_comes(client)
        clock.advance(1)
        assert await lost(client) == []


def test_with_tls_other_hosts_may_be_bound(engine: PuppetEngine) -> None:
    Emulator(engine, host="0.0.0.0", tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
