"""What time does to a session: expiry, inactivity, heartbeats. No test waits."""

from __future__ import annotations

import pytest

from aai_stream.emulator.engines.engine import Finished, HeardWord, Hypothesis, Silence
from aai_stream.emulator.server import Emulator, Service
from tests.emulator.helpers import (
    ManualClock,
    PuppetEngine,
    connection,
)

ENGLISH = "universal-streaming-english"


async def test_sessions_expire(engine: PuppetEngine, clock: ManualClock) -> None:
    async with (
        Emulator(
            engine, clock=clock, service=Service(max_session_seconds=100)
        ) as emulator,
        connection(emulator, session_heartbeat=True) as client,
    ):
        clock.advance(99.9)
        assert engine.puppets[0].closed.is_set() is False
        clock.advance(0.1)
        *heartbeats, error = await client.rest()
        assert {m["type"] for m in heartbeats} == {"Heartbeat"}
        assert error["error_code"] == client.close_code == 3008
        assert "Session Expired" in error["error"]
        assert clock.pending == 0


async def test_inactive_sessions_end(engine: PuppetEngine, clock: ManualClock) -> None:
    async with (
        Emulator(engine, clock=clock) as emulator,
        connection(emulator, inactivity_timeout=5) as client,
    ):
        clock.advance(4.9)
        await client.settle()  # an update is no sign of life
        clock.advance(0.1)
        error = await client.error()
        assert error["error_code"] == 3006
        assert "inactivity" in error["error"]


@pytest.mark.parametrize("sign", ["audio", "KeepAlive"])
async def test_signs_of_life_keep_a_session(
    engine: PuppetEngine, clock: ManualClock, sign: str
) -> None:
    async with (
        Emulator(engine, clock=clock) as emulator,
        connection(emulator, inactivity_timeout=5) as client,
    ):
        for _ in range(3):
            clock.advance(4.9)
            if sign == "audio":
                await client.audio(100)
            else:
                await client.send(sign)
            await client.settle()
        clock.advance(5)
        assert (await client.error())["error_code"] == 3006


async def test_a_busy_engine_is_not_the_clients_inactivity(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with (
        Emulator(engine, clock=clock) as emulator,
        connection(emulator, inactivity_timeout=5) as client,
    ):
        puppet = engine.puppets[0]
        puppet.may_hear.clear()
        await client.audio(100)
        await puppet.hearing.wait()
        clock.advance(1000)
        puppet.may_hear.set()
        await client.send("Terminate")
        await client.rest()
        assert client.close_code == 1000


async def test_waiting_for_the_last_turn_is_not_inactivity(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with (
        Emulator(engine, clock=clock) as emulator,
        connection(emulator, inactivity_timeout=5) as client,
    ):
        puppet = engine.puppets[0]
        puppet.finishes = False
        await client.send("Terminate")
        await puppet.finishing.wait()
        clock.advance(1000)
        puppet.tell(Finished())
        await client.rest()
        assert client.close_code == 1000


async def test_without_a_timeout_silence_is_for_ever(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with Emulator(engine, clock=clock) as emulator, connection(emulator) as c:
        clock.advance(10_799)
        await c.send("Terminate")
        await c.rest()
        assert c.close_code == 1000


async def test_heartbeats_have_real_figures(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with (
        Emulator(engine, clock=clock) as emulator,
        connection(emulator, session_heartbeat=True) as client,
    ):
        await client.audio(4000)
        engine.puppets[0].tell(Hypothesis((HeardWord("a", 0, 9, 1.0),), 9, False, 0.0))
        clock.advance(3)
        await client.settle()  # updates don't shift the beat
        clock.advance(7)
        assert [await client.receive() for _ in range(2)] == [
            {
                "type": "Heartbeat",
                "total_audio_received_ms": 4000,
                "total_duration_ms": 5000,
                "realtime_factor": 0.8,
                "max_speech_probability": 1.0,
            },
            {
                "type": "Heartbeat",
                "total_audio_received_ms": 4000,
                "total_duration_ms": 10_000,
                "realtime_factor": 0.0,
                "max_speech_probability": 0.0,
            },
        ]


async def test_heartbeats_can_be_switched_live(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with Emulator(engine, clock=clock) as emulator, connection(emulator) as c:
        clock.advance(6)
        await c.send("UpdateConfiguration", session_heartbeat=True)
        await c.settle()
        clock.advance(5)
        assert (await c.receive())["total_duration_ms"] == 11_000
        await c.send("UpdateConfiguration", session_heartbeat=False)
        await c.settle()
        clock.advance(60)
        await c.send("Terminate")
        assert [m["type"] for m in await c.rest()] == ["Termination"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({}, []),
        ({"acknowledge_silence": "true"}, ["Silence"]),
        ({"acknowledge_silence": "true", "speech_model": ENGLISH}, ["Turn"]),
    ],
)
async def test_silence_is_acknowledged_on_request(
    engine: PuppetEngine, query: dict[str, str], told: list[str]
) -> None:
    async with Emulator(engine) as emulator, connection(emulator, query) as client:
        engine.puppets[0].tell(Silence(0, 1000))
        await client.send("Terminate")
        *messages, _ = await client.rest()
        assert [m["type"] for m in messages] == told
