"""Engines that fail, clients that vanish, clients that don't read."""

from __future__ import annotations

import asyncio

import pytest

from aai_stream.emulator.engines.engine import (
    Broken,
    HeardWord,
    Hypothesis,
)
from aai_stream.emulator.server import Emulator, Service, conversation, outbox
from aai_stream.errors import EngineError
from tests.emulator.helpers import (
    ManualClock,
    PuppetEngine,
    connection,
    raw_connection,
    turns,
)
from tests.servers import until

# Engines


async def test_a_broken_recogniser_ends_the_session(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        engine.puppets[0].tell(Broken("its worker died"))
        error = await client.error()
        assert error["error_code"] == 3005
        assert "worker" not in error["error"]
        assert engine.puppets[0].closed.is_set()


async def test_a_recogniser_that_raises_is_broken(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        engine.puppets[0].fails = RuntimeError("oh")
        await client.audio(100)
        assert (await client.error())["error_code"] == 3005


async def test_an_engine_that_can_not_open_is_an_error() -> None:
    engine = PuppetEngine()
    engine.fails = EngineError("no worker to be had")
    async with Emulator(engine) as emulator, raw_connection(emulator) as client:
        assert (await client.error())["error_code"] == 3005


# Clients


async def test_a_vanished_client_frees_its_recogniser(clock: ManualClock) -> None:
    engine = PuppetEngine(capacity=1)
    async with Emulator(engine, clock=clock) as emulator:
        async with connection(emulator, inactivity_timeout=5) as client:
            client.vanish()
            await engine.puppets[0].closed.wait()
        assert clock.pending == 0


async def test_a_client_that_closes_frees_its_recogniser(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.ws.close()
        await engine.puppets[0].closed.wait()


async def test_a_client_that_vanishes_while_the_engine_is_busy(
    engine: PuppetEngine,
) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        puppet = engine.puppets[0]
        puppet.may_hear.clear()
        await client.audio(100)
        await puppet.hearing.wait()
        client.vanish()
        puppet.may_hear.set()
        await puppet.closed.wait()


@pytest.fixture
def chatter(monkeypatch: pytest.MonkeyPatch) -> list[Hypothesis]:
    """More to tell than two sockets and all their buffers hold."""
    monkeypatch.setattr(conversation, "CLOSE_SECONDS", 0.01)
    words = tuple(HeardWord("word" * 100, i, i + 1, 1.0) for i in range(1000))
    return [Hypothesis(words, i, False, i / 100) for i in range(40)]


async def test_a_deaf_client_does_not_hold_the_server_up(
    engine: PuppetEngine, clock: ManualClock, chatter: list[Hypothesis]
) -> None:
    async with (
        Emulator(
            engine, clock=clock, service=Service(max_session_seconds=60)
        ) as emulator,
        connection(emulator),
    ):
        for hypothesis in chatter:
            engine.puppets[0].tell(hypothesis)
        clock.advance(60)
        await until(lambda: emulator.sessions == 0)


async def test_a_deaf_client_is_not_heard(
    engine: PuppetEngine, chatter: list[Hypothesis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "UNREAD_LIMIT", 10)
    async with Emulator(engine) as emulator, connection(emulator) as client:
        puppet = engine.puppets[0]
        for hypothesis in chatter:
            puppet.tell(hypothesis)
        await client.audio(50)
        await puppet.hearing.wait()
        await client.audio(100, chunk_ms=50)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(puppet.pcm) == 1600
        await client.send("Terminate")
        assert len(turns(await client.rest())) == len(chatter)
        assert len(puppet.pcm) == 3 * 1600


async def test_a_deaf_client_that_vanishes_frees_its_recogniser(
    engine: PuppetEngine, chatter: list[Hypothesis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "UNREAD_LIMIT", 10)
    async with Emulator(engine) as emulator, connection(emulator) as client:
        puppet = engine.puppets[0]
        for hypothesis in chatter:
            puppet.tell(hypothesis)
        await client.audio(50)
        await puppet.hearing.wait()
        client.vanish()
        await puppet.closed.wait()
