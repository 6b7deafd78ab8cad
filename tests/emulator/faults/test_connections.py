"""What faults do to the connection of a session, as its client sees it."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.emulator.faults.helpers import (
    faulty,
    happened,
    lost,
    nothing_comes,
    raw_socket,
    turn,
)
from tests.emulator.helpers import Client, ManualClock, PuppetEngine, connection
from tests.servers import until


async def test_a_reset(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "reset,at=turn:1") as emulator,
        connection(emulator) as client,
    ):
        engine.puppets[0].tell(turn("a"))
        engine.puppets[0].tell(turn("b"))
        assert [m["transcript"] for m in await lost(client)] == ["a"]
        await engine.puppets[0].closed.wait()
        assert happened(emulator) == ["reset"]


async def test_a_drop(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "drop,at=turn:1") as emulator,
        connection(emulator) as client,
    ):
        engine.puppets[0].tell(turn("a"))
        engine.puppets[0].tell(turn("b"))
        assert [m["transcript"] for m in await lost(client)] == ["a"]
        await engine.puppets[0].closed.wait()
        assert happened(emulator) == ["drop"]


@pytest.mark.parametrize("code", [1000, 1011, 3005, 4102])
@pytest.mark.parametrize("error", ["", "Out of order"])
async def test_a_close(engine: PuppetEngine, code: int, error: str) -> None:
    said = f",error={error}" if error else ""
    async with (
        faulty(engine, f"close,code={code}{said},at=200ms") as emulator,
        connection(emulator) as client,
    ):
        await client.audio(1000)
        messages = await client.rest()
        assert [m["error"] for m in messages] == ([error] if error else [])
        assert client.close_code == code
        await engine.puppets[0].closed.wait()
        assert happened(emulator) == ["close"]


async def test_a_close_reason_that_is_not_utf_8(engine: PuppetEngine) -> None:
    said = "bad-reason,error=No funds"
    async with faulty(engine, said) as emulator, raw_socket(emulator) as (r, _):
        await r.readuntil(b"}}")  # Begin
        assert b"No funds" in await r.readuntil(b"}")
        assert await r.read() == b"\x88\x04" + (1008).to_bytes(2, "big") + b"\xff\xfe"
        assert happened(emulator) == ["bad-reason"]


async def test_an_expiry(engine: PuppetEngine, clock: ManualClock) -> None:
    async with (
        faulty(engine, "expire,at=1.5s", clock=clock) as emulator,
        connection(emulator) as client,
    ):
        clock.advance(1.4)
        await client.settle()
        clock.advance(0.1)
        error = await client.error()
        assert error["error_code"] == 3008
        assert "Maximum session duration" in error["error"]


async def test_a_frozen_connection(engine: PuppetEngine, clock: ManualClock) -> None:
    async with (
        faulty(engine, "freeze,at=100ms,cut=60", clock=clock) as emulator,
        connection(emulator) as client,
    ):
        await client.audio(100)
        await until(lambda: happened(emulator) == ["freeze"])
        await client.audio(500)
        await client.ws.ping()
        engine.puppets[0].tell(turn("a"))
        await no_pong(client)
        assert len(engine.puppets[0].pcm) == 3200
        assert emulator.sessions == 1
        clock.advance(60)
        assert await lost(client) == []
        await engine.puppets[0].closed.wait()


async def test_nothing_leaves_a_frozen_connection(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with (
        faulty(engine, "freeze", "garbage,at=1s", clock=clock) as emulator,
        connection(emulator) as client,
    ):
        await until(lambda: happened(emulator) == ["freeze"])
        clock.advance(1)
        await until(lambda: happened(emulator) == ["freeze", "garbage"])
        await nothing_comes(client)
        client.vanish()


async def no_pong(client: Client) -> None:
    client.ws._autoping = False  # or pongs are passed over
    await nothing_comes(client)
    client.ws._autoping = True


async def test_a_server_that_reads_no_more(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "stop-reading,at=100ms") as emulator,
        connection(emulator) as client,
    ):
        await client.audio(100)
        await until(lambda: happened(emulator) == ["stop-reading"])
        engine.puppets[0].tell(turn("still told"))
        assert (await client.receive())["transcript"] == "still told"
        transport = client.ws._response.connection
        assert transport is not None
        assert transport.transport is not None
        while not transport.transport.get_write_buffer_size():
            client.ws._writer._write_websocket_frame(
                bytes(32_000), aiohttp.WSMsgType.BINARY, 0
            )
            await asyncio.sleep(0)
        assert len(engine.puppets[0].pcm) == 3200
        client.vanish()


async def test_a_mute_server(engine: PuppetEngine) -> None:
    async with (
        faulty(engine, "mute,at=turn:1") as emulator,
        connection(emulator) as client,
    ):
        engine.puppets[0].tell(turn("a"))
        engine.puppets[0].tell(turn("b"))
        await client.audio(100)
        await client.send("Terminate")
        assert (await client.receive())["transcript"] == "a"
        await until(lambda: emulator.sessions == 0)
        client.ws._autoping = False
        await client.ws.ping(b"there?")
        assert (await client.ws.receive()).data == b"there?"
        assert len(engine.puppets[0].pcm) == 3200
        await client.ws.close()  # which is answered
        assert client.ws.close_code == 1000


@pytest.mark.parametrize(
    "text", ["freeze", "mute", "stop-reading", "no-termination", "late-termination"]
)
async def test_what_is_held_open_ends_with_the_server(
    engine: PuppetEngine, text: str
) -> None:
    async with aiohttp.ClientSession() as http:
        async with faulty(engine, text) as emulator:
            key = {"Authorization": "key"}
            ws = await http.ws_connect(f"{emulator.url}/v3/ws", headers=key)
            client = Client(ws)
            await client.receive()
            await client.send("Terminate")
            await until(lambda: bool(happened(emulator)))
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 30  # and not for ever
        assert await lost(client) == []
