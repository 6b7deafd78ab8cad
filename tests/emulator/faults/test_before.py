"""Faults before a session begins, as clients see them."""

from __future__ import annotations

import asyncio
import errno

import aiohttp
import pytest

from aai_stream.emulator.server import Emulator
from tests.emulator.faults.helpers import (
    faulty,
    happened,
    nothing_comes,
    raw_socket,
    turn,
)
from tests.emulator.helpers import (
    ManualClock,
    PuppetEngine,
    connection,
    mint,
    raw_connection,
)
from tests.servers import port_of, until, within


async def test_refused_connections(engine: PuppetEngine, clock: ManualClock) -> None:
    async with faulty(engine, "refuse,seconds=3,on=1", clock=clock) as emulator:
        url = emulator.url
        async with raw_socket(emulator) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        for _ in range(2):
            with pytest.raises(aiohttp.ClientConnectorError) as refused:
                async with connection(emulator):
                    pass
            assert refused.value.os_error.errno == errno.ECONNREFUSED
            clock.advance(1)
        clock.advance(1)
        await until_open(emulator)
        assert emulator.url == url
        async with connection(emulator):
            assert happened(emulator) == ["refuse"]


async def until_open(emulator: Emulator) -> None:
    """Wait until the port is listened on."""
    port = port_of(emulator.url)

    async def attempt() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                continue
            writer.close()
            await writer.wait_closed()
            return

    await within(5, attempt())


async def test_sessions_survive_that_others_are_refused(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    texts = ["refuse,seconds=9,at=100ms", "refuse,seconds=1,at=200ms"]
    async with (
        faulty(engine, *texts, clock=clock) as emulator,
        connection(emulator) as client,
    ):
        await client.audio(100)
        await until(lambda: len(happened(emulator)) == 1)
        with pytest.raises(aiohttp.ClientConnectorError):
            await mint(emulator)
        await client.audio(100)
        await client.send("Terminate")
        assert (await client.receive())["type"] == "Termination"
        clock.advance(1)  # the second one shut the port anew, for less
        await until_open(emulator)


async def test_a_server_that_refuses_can_stop(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "refuse,seconds=1000,at=begin") as emulator,
        connection(emulator),
    ):
        await until(lambda: happened(emulator) == ["refuse"])
    assert engine.stopped


@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
async def test_http_statuses(engine: PuppetEngine, code: int) -> None:
    texts = [f"status,code={code},retry-after=7,on=1", "status,on=2"]
    async with faulty(engine, *texts) as emulator:
        for expected, headers in ((code, {"Retry-After": "7"}), (503, {})):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with raw_connection(emulator):
                    pass
            assert refused.value.status == expected
            assert refused.value.headers is not None
            assert headers.items() <= dict(refused.value.headers).items()
        async with connection(emulator):
            assert happened(emulator) == ["status", "status"]
        assert emulator.sessions_opened == 1


async def test_a_refused_handshake_costs_no_token(engine: PuppetEngine) -> None:
    async with faulty(engine, "status,on=1") as emulator:
        _, token = await mint(emulator)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with raw_connection(emulator, headers={}, token=token):
                pass
        async with connection(emulator, headers={}, token=token):
            pass


async def test_a_reset_handshake(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "reset,at=connect") as emulator,
        raw_socket(emulator) as (reader, _),
    ):
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert engine.puppets == []


async def test_a_dropped_handshake(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "drop,at=connect") as emulator,
        raw_socket(emulator) as (reader, _),
    ):
        assert await reader.read() == b""
        assert engine.puppets == []


async def test_a_handshake_without_answer(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with (
        faulty(engine, "freeze,at=connect,cut=10", clock=clock) as emulator,
        raw_socket(emulator) as (reader, _),
    ):
        await until(lambda: happened(emulator) == ["freeze"])
        clock.advance(9.9)
        waiting = asyncio.ensure_future(reader.read())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        clock.advance(0.1)
        with pytest.raises(ConnectionResetError):
            await waiting


async def test_begin_never_comes(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "mute,at=open") as emulator,
        raw_connection(emulator) as client,
    ):
        await client.ws.ping()
        await client.audio(100)
        await nothing_comes(client)
        assert engine.puppets[0].pcm == bytes(3200)
        assert happened(emulator) == ["mute"]


async def test_begin_comes_late(engine: PuppetEngine, clock: ManualClock) -> None:
    async with (
        faulty(engine, "late-begin,on=1", clock=clock) as emulator,
        raw_connection(emulator) as client,
    ):
        await client.audio(100)
        await nothing_comes(client)
        engine.puppets[0].tell(turn("a"))
        clock.advance(10.9)
        await nothing_comes(client)
        clock.advance(0.1)
        assert (await client.receive())["type"] == "Begin"
        assert (await client.receive())["transcript"] == "a"
        assert engine.puppets[0].pcm == bytes(3200)
        assert happened(emulator) == ["late-begin"]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("seconds=-10000", 1_700_000_800),
        ("value=soon", "soon"),
        ("value=1000000000000000000", 10**18),
        ("value=null", None),
    ],
)
async def test_a_wrong_expiry(
    engine: PuppetEngine, clock: ManualClock, option: str, told: object
) -> None:
    async with (
        faulty(engine, f"expires-at,{option}", clock=clock) as emulator,
        connection(emulator) as client,
    ):
        assert client.begin["expires_at"] == told
        assert happened(emulator) == ["expires-at"]


async def test_an_error_instead_of_begin(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "close,at=open,code=1008,error=No funds") as emulator,
        raw_connection(emulator) as client,
    ):
        error = await client.error()
        assert error == {"type": "Error", "error_code": 1008, "error": "No funds"}
        await until(lambda: emulator.sessions == 0)


async def test_a_fault_may_take_the_place_of_a_refusal(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "close,at=open,code=1013") as emulator,
        raw_connection(emulator, sample_rate=1) as client,
    ):
        assert await client.rest() == []
        assert client.close_code == 1013
