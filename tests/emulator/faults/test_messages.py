"""What faults do to messages, as a client sees it."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.server import conversation
from tests.emulator.faults.helpers import (
    SCRIPT,
    faulty,
    happened,
    lost,
    nothing_comes,
    raw_socket,
    turn,
)
from tests.emulator.helpers import (
    Client,
    ManualClock,
    Puppet,
    PuppetEngine,
    connection,
    finals,
    turns,
)
from tests.servers import until


async def test_a_trickle(engine: PuppetEngine, clock: ManualClock) -> None:
    async with (
        faulty(engine, "trickle,size=10,seconds=0.5", clock=clock) as emulator,
        raw_socket(emulator) as (reader, writer),
    ):
        await reader.readuntil(b"\r\n\r\n")
        begin = await reader.readuntil(b"}}")
        assert b"Begin" in begin
        await until(lambda: happened(emulator) == ["trickle"])
        engine.puppets[0].tell(turn("slow"))
        writer.write(b"\x89\x80mask")  # a ping
        for _ in range(3):
            await until(lambda: clock.pending > 1)
            clock.advance(0.5)
            assert len(await reader.read(1000)) == 10
        clock.advance(100)
        rest = await reader.readuntil(b"}\x8a\x00")  # the pong comes after the turn
        assert b"slow" in rest


async def test_slow_messages_are_whole_and_come_before_the_close(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with (
        faulty(engine, "trickle,seconds=2", "trickle,at=turn:2", clock=clock) as server,
        connection(server) as client,
    ):
        await until(lambda: happened(server) == ["trickle"])
        engine.puppets[0].tell(turn("a"))
        engine.puppets[0].tell(turn("b", end=True))
        await client.send("Terminate")
        await until(lambda: server.sessions == 0)
        clock.advance(2)
        assert (await client.receive())["transcript"] == "a"
        await nothing_comes(client)
        clock.advance(0.2)  # the second one made it faster
        assert (await client.receive())["transcript"] == "B."
        clock.advance(0.2)
        assert [m["type"] for m in await client.rest()] == ["Termination"]
        assert client.close_code == 1000


async def test_a_trickle_ends_with_the_server(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with aiohttp.ClientSession() as http:
        async with faulty(engine, "trickle,seconds=9", clock=clock) as emulator:
            key = {"Authorization": "key"}
            ws = await http.ws_connect(f"{emulator.url}/v3/ws", headers=key)
            await Client(ws).receive()
            await Client(ws).send("Terminate")
            await until(lambda: engine.puppets[0].closed.is_set())
        assert await lost(Client(ws)) == []


@pytest.mark.parametrize("kind", ["garbage", "unknown", "wrong-types", "binary"])
async def test_odd_messages(engine: PuppetEngine, kind: str) -> None:
    async with faulty(engine, kind) as emulator, connection(emulator) as client:
        message = await client.ws.receive()
        if kind == "binary":
            assert message.type is aiohttp.WSMsgType.BINARY
        elif kind == "garbage":
            with pytest.raises(ValueError, match="Expecting value"):
                message.json()
        else:
            got = message.json()
            assert (got["type"] == "Turn") == (kind == "wrong-types")
            assert got.get("turn_order") != 0
        await client.send("Terminate")  # and life goes on
        assert [m["type"] for m in await client.rest()] == ["Termination"]


async def test_a_huge_message(engine: PuppetEngine) -> None:
    texts = ["huge", "huge,size=5,at=terminate"]
    async with faulty(engine, *texts) as emulator, connection(emulator) as client:
        assert len((await client.receive())["warning"]) > 1024 * 1024
        await client.send("Terminate")
        warning, termination = await client.rest()
        assert warning["warning"] == "xxxxx"
        assert termination["type"] == "Termination"


def tell_four(puppet: Puppet) -> None:
    for text in ("a", "b", "c"):
        puppet.tell(turn(text))
    puppet.tell(turn("d", end=True))


@pytest.mark.parametrize(
    ("texts", "told", "kinds"),
    [
        (["duplicate"], "a a b b c c D. D.", ["duplicate"]),
        (["duplicate,at=turn:3"], "a b c c D. D.", ["duplicate"]),
        (["duplicate,at=final:1"], "a b c D. D.", ["duplicate"]),
        (["reorder"], "b a D. c", ["reorder"]),
        (["reorder,at=turn:2"], "a c b D.", ["reorder"]),
        (["reorder,at=turn:4"], "a b c D.", []),
        (["reorder", "duplicate"], "b b a a D. D. c c", ["reorder", "duplicate"]),
        (["no-final"], "a b c", ["no-final"]),
        (["no-final,at=final:2"], "a b c D.", []),
        (["no-final", "no-final"], "a b c", ["no-final"]),
        (["no-turns"], "", ["no-turns"]),
        (["no-partials"], "D.", ["no-partials"]),
        (["no-turns,at=turn:2"], "a", ["no-turns"]),
    ],
)
async def test_shaped_turns(
    engine: PuppetEngine, texts: list[str], told: str, kinds: list[str]
) -> None:
    async with faulty(engine, *texts) as emulator, connection(emulator) as client:
        tell_four(engine.puppets[0])
        await client.send("Terminate")
        *turns, termination = await client.rest()
        assert termination["type"] == "Termination"
        assert [m["transcript"] for m in turns] == told.split()
        assert happened(emulator) == kinds


async def test_a_session_that_hears_nothing() -> None:
    async with (
        faulty(ScriptEngine(SCRIPT), "no-turns") as emulator,
        connection(emulator) as client,
    ):
        assert [m["type"] for m in await client.transcribe(900)] == ["Termination"]


async def test_finals_without_words(engine: PuppetEngine) -> None:
    async with faulty(engine, "no-words") as emulator, connection(emulator) as client:
        tell_four(engine.puppets[0])
        await client.send("Terminate")
        *partials, final, _ = await client.rest()
        assert all(partial["words"] for partial in partials)
        assert (final["words"], final["transcript"]) == ([], "D.")
        assert happened(emulator) == ["no-words"]


@pytest.mark.parametrize(("ms", "ends"), [(60, [190, 440]), (300, [0, 250])])
async def test_words_of_finals_end_early(ms: int, ends: list[int]) -> None:
    async with (
        faulty(ScriptEngine([say("a b", at_ms=0)]), f"early-end,ms={ms}") as emulator,
        connection(emulator) as client,
    ):
        *_, partial, final = turns(await client.transcribe(900))
        assert [w["end"] for w in partial["words"]] == [250, 500]
        assert [w["end"] for w in final["words"]] == ends
        assert [w["start"] for w in final["words"]] == [0, 250]
        assert happened(emulator) == ["early-end"]


async def test_late_finals_hold_up_what_follows(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with (
        faulty(engine, "late-final,seconds=6", clock=clock) as emulator,
        connection(emulator) as client,
    ):
        puppet = engine.puppets[0]
        for one in (turn("a"), turn("b", end=True), turn("c"), turn("d", end=True)):
            puppet.tell(one)
        assert (await client.receive())["transcript"] == "a"
        for expected in (["B.", "c"], ["D."]):
            await nothing_comes(client)
            clock.advance(5.9)
            await nothing_comes(client)
            clock.advance(0.1)
            for text in expected:
                assert (await client.receive())["transcript"] == text
        assert happened(emulator) == ["late-final"]


@pytest.mark.parametrize(
    "texts",
    [
        ["late-termination,seconds=3"],
        ["late-final,seconds=3,at=terminate"],
        ["late-final,seconds=1,at=terminate", "late-termination,seconds=2"],
    ],
)
async def test_a_late_end(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    """However long that is for a server that waits for nobody else."""
    monkeypatch.setattr(conversation, "CLOSE_SECONDS", 0.1)
    async with (
        faulty(ScriptEngine(SCRIPT), *texts, clock=clock) as emulator,
        connection(emulator) as client,
    ):
        told = asyncio.ensure_future(client.transcribe(350))
        await until(lambda: len(happened(emulator)) == 1)
        for _ in range(29):
            clock.advance(0.1)
            for _ in range(10):
                await asyncio.sleep(0)
        assert not told.done()
        clock.advance(0.2)
        messages = await told
        assert finals(messages) == ["One."]
        assert messages[-1]["type"] == "Termination"
        assert client.close_code == 1000
        assert happened(emulator) == [text.partition(",")[0] for text in texts]


async def test_nobody_waits_for_what_is_late_and_unwanted(
    engine: PuppetEngine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "CLOSE_SECONDS", 0.1)
    async with faulty(engine, "late-termination", clock=clock) as emulator:
        async with connection(emulator) as client:
            await client.send("Terminate")
            await until(lambda: happened(emulator) == ["late-termination"])
            client.vanish()
        await until(lambda: emulator.sessions == 0)


async def test_a_final_that_never_comes(clock: ManualClock) -> None:
    async with (
        faulty(ScriptEngine(SCRIPT), "no-final,cut=3", clock=clock) as emulator,
        connection(emulator) as client,
    ):
        await client.audio(900)
        await until(lambda: happened(emulator) == ["no-final"])
        clock.advance(2.9)
        await client.settle()
        clock.advance(0.1)
        assert finals(await lost(client)) == []


async def test_a_termination_that_never_comes(clock: ManualClock) -> None:
    engine = ScriptEngine(SCRIPT)
    async with (
        faulty(engine, "no-termination,cut=3", clock=clock) as emulator,
        connection(emulator) as client,
    ):
        await client.audio(900)
        await client.send("Terminate")
        assert (await client.until("Turn"))["transcript"] == "one"
        await until(lambda: happened(emulator) == ["no-termination"])
        await client.ws.ping()
        clock.advance(2.9)
        await no_termination(client)
        clock.advance(0.1)
        assert await lost(client) == []


async def no_termination(client: Client) -> None:
    waiting = asyncio.ensure_future(client.until("Termination"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_terminate_is_ignored(engine: PuppetEngine, clock: ManualClock) -> None:
    async with (
        faulty(engine, "ignore-terminate,cut=3", clock=clock) as emulator,
        connection(emulator) as client,
    ):
        await client.send("Terminate")
        await client.ws.send_str('{"type": "UpdateConfiguration", "Terminate": 1}')
        await client.audio(100)
        await client.settle()
        assert len(engine.puppets[0].pcm) == 3200
        assert not engine.puppets[0].finishing.is_set()
        assert happened(emulator) == ["ignore-terminate"]
        clock.advance(3)
        assert await lost(client) == []
