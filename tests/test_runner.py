"""A stream's runner on an event loop: audio, time, and calls from who is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aai_stream.errors import StateError
from aai_stream.messages import AudioLost, Begin, Turn
from aai_stream.protocol.events import Retry
from aai_stream.protocol.stream import StreamState
from tests.audio import hum
from tests.runs import (
    CHUNK,
    RATE,
    Run,
    in_virtual_time,
    nothing_is_left,
    numbers,
    timers,
    turns_of_the_loop,
)
from tests.servers import BEGIN, within
from tests.talks import final

# ---- audio ----


async def test_audio_goes_to_the_wire_in_the_call_that_pushes_it() -> None:
    run = Run()
    wire = await run.open()
    run.push(799)
    assert wire.seen == []
    run.push(1)
    assert wire.seen == [numbers(1, 800)]
    run.push(2000)
    assert wire.seen[1:] == [numbers(801, 1600), numbers(1601, 2400)]
    await run.runner.close()


async def test_a_forced_end_and_a_flush_go_at_once() -> None:
    run = Run()
    wire = await run.open()
    run.push(900)
    run.flush()
    assert wire.audio == numbers(1, 900) + [0] * 700
    run.force_endpoint()
    run.keep_alive()
    run.update(prompt="a shop")
    assert wire.asked == ["ForceEndpoint", "KeepAlive", "UpdateConfiguration"]
    await run.runner.close()


async def test_draining_waits_for_room() -> None:
    run = Run()
    wire = await run.open()
    wire.frames.pause()
    run.push(1600)
    assert wire.seen == []
    draining = asyncio.ensure_future(run.runner.drain())
    await turns_of_the_loop()
    assert not draining.done()
    wire.make_room()
    await within(5, draining)
    assert wire.audio == numbers(1, 1600)
    await run.runner.close()


async def test_a_gap_is_told_with_the_audio_behind_it() -> None:
    run = Run(replay_seconds=1)
    wire = await run.open()
    wire.frames.pause()
    run.push(3 * RATE)
    wire.make_room()
    (lost,) = (told for told in run.told if isinstance(told, AudioLost))
    assert (lost.start_sample, lost.end_sample) == (0, 2 * RATE)
    assert wire.audio == numbers(2 * RATE + 1, 3 * RATE)
    await run.runner.close()


async def test_draining_what_is_drained_gives_others_a_turn() -> None:
    """A socket that is never full would starve them."""
    run = Run()
    await run.open()
    took_turns: list[bool] = []
    asyncio.get_running_loop().call_soon(took_turns.append, True)
    await run.runner.drain()
    assert took_turns
    await run.runner.close()


async def test_draining_across_a_lost_session() -> None:
    run = Run()
    first = await run.open()
    run.push(RATE)
    run.connector.opens.clear()
    first.end(1006)
    run.push(2 * RATE)
    draining = asyncio.ensure_future(run.runner.drain())
    await turns_of_the_loop()
    assert run.connector.asked == 2
    assert not draining.done()
    run.connector.opens.set()
    await within(5, draining)
    assert run.runner.stats.sent_samples == 3 * RATE
    assert run.wire.audio == numbers(1, 3 * RATE)
    await run.runner.close()


async def test_draining_ends_with_the_stream() -> None:
    run = Run()
    wire = await run.open()
    wire.frames.pause()
    run.push(1600)
    drains = [asyncio.ensure_future(run.runner.drain()) for _ in range(3)]
    await turns_of_the_loop()
    drains[0].cancel()  # which is no matter to the others
    await turns_of_the_loop()
    assert not drains[1].done()
    await run.runner.close()
    await within(5, asyncio.gather(*drains[1:]))
    assert drains[0].cancelled()


def test_audio_follows_at_its_pace() -> None:
    async def hold() -> None:
        run = Run(catch_up_rate=2.0)
        wire = await run.open()
        run.push(3 * RATE)
        assert len(wire.audio) == pytest.approx(RATE, abs=CHUNK)
        draining = asyncio.ensure_future(run.runner.drain())
        await asyncio.sleep(0.5)
        assert len(wire.audio) == pytest.approx(2 * RATE, abs=CHUNK)
        await draining
        assert wire.audio == numbers(1, 3 * RATE)
        assert run.runner.now() == pytest.approx(1, abs=0.05)
        await run.runner.close()

    in_virtual_time(hold)


@pytest.mark.parametrize("is_dead", [False, True])
def test_silence_counts_as_heard_while_there_are_signs_of_the_peer(
    is_dead: bool,
) -> None:
    async def hold() -> None:
        run = Run()
        wire = await run.open()
        for _ in range(30):
            run.runner.gate.push(hum(1, 20), RATE, 1)
            await asyncio.sleep(1)
            wire.silent_seconds += is_dead
        acked = run.runner.stats.acked_samples
        assert (acked == 0) if is_dead else (acked > 20 * RATE)
        await run.runner.close()

    in_virtual_time(hold)


# ---- one timer ----


def test_a_stream_has_one_timer_at_most() -> None:
    async def hold() -> None:
        run = Run(wait=2.0, catch_up_rate=1.5, keeps_alive=True, inactivity_timeout=20)
        run.connector.says = []
        run.runner.start()
        await turns_of_the_loop()
        assert timers() == 1  # for Begin
        run.wire.say(BEGIN)
        assert timers() == 1  # for a KeepAlive
        for _ in range(20):
            run.push(RATE)
            assert timers() == 1  # for the pace
        await run.runner.drain()
        await asyncio.sleep(15)
        assert run.wire.asked == ["KeepAlive"]
        run.wire.end(1011)
        assert timers() == 1  # for another attempt
        await asyncio.sleep(2)
        await turns_of_the_loop()
        assert len(run.connector.wires) == 2
        run.wire.say(BEGIN)
        run.runner.end()
        assert timers() == 1  # for the end
        await run.runner.close()
        assert nothing_is_left()

    in_virtual_time(hold)


def test_a_timer_is_set_anew_for_what_is_sooner() -> None:
    async def hold() -> None:
        run = Run(catch_up_rate=2.0, keeps_alive=True, inactivity_timeout=3600)
        wire = await run.open()
        assert timers() == 1
        for _ in range(3):
            run.push(RATE // 2)
        assert run.protocol.sending.has_backlog
        await asyncio.sleep(1)
        assert wire.audio == numbers(1, 3 * RATE // 2)
        while not run.protocol.sending.has_backlog:
            run.push(CHUNK)
        await asyncio.sleep(1)
        assert wire.audio == numbers(1, run.pushed)
        await run.runner.close()

    in_virtual_time(hold)


# ---- calls from whoever is told ----


CALLS: dict[str, Callable[[Run], object]] = {
    "push": lambda run: run.push(2 * CHUNK),
    "flush": lambda run: run.flush(),
    "force_endpoint": lambda run: run.force_endpoint(),
    "update": lambda run: run.update(prompt="a shop"),
    "keep_alive": lambda run: run.keep_alive(),
    "end": lambda run: run.runner.end(),
}


@pytest.mark.parametrize("on", [Begin, Turn])
@pytest.mark.parametrize("name", CALLS)
async def test_who_is_told_may_call(name: str, on: type[Any]) -> None:
    run = Run()
    run.push(CHUNK)

    def call(told: object) -> None:
        if isinstance(told, on):
            run.on_told = lambda told: None
            CALLS[name](run)

    run.on_told = call
    wire = await run.open()
    wire.say(final(0, ("a", 0, 20)), final(1, ("b", 20, 40)))
    asked = {
        "force_endpoint": ["ForceEndpoint"],
        "update": ["UpdateConfiguration"],
        "keep_alive": ["KeepAlive"],
        "end": ["Terminate"],
    }
    assert wire.asked == asked.get(name, [])
    assert wire.audio == numbers(1, run.pushed)
    assert run.names == ["Begin", "Turn", "Turn"]
    await run.runner.close()
    assert nothing_is_left()


async def test_another_thread_may_not_call() -> None:
    run = Run()
    await run.open()
    run.push(CHUNK)
    for call in CALLS.values():
        if call is not CALLS["end"]:
            with pytest.raises(StateError, match="thread"):
                await asyncio.to_thread(call, run)
    await run.runner.close()


async def test_who_is_told_of_a_loss_may_push() -> None:
    run = Run()

    def push(told: object) -> None:
        if isinstance(told, Retry):
            run.push(CHUNK)
            run.force_endpoint()
            run.push(CHUNK)

    run.on_told = push
    first = await run.open()
    run.push(CHUNK)
    first.end(1006)
    await turns_of_the_loop()
    assert run.wire.seen == [
        numbers(1, CHUNK),
        numbers(CHUNK + 1, 2 * CHUNK),
        {"type": "ForceEndpoint"},
        numbers(2 * CHUNK + 1, 3 * CHUNK),
    ]
    await run.runner.close()


async def test_who_is_told_may_close() -> None:
    run = Run()
    closing: list[Awaitable[None]] = []

    def close(told: object) -> None:
        if isinstance(told, Turn):
            closing.append(asyncio.ensure_future(run.runner.close()))

    run.on_told = close
    wire = await run.open()
    wire.say(final(0, ("a", 0, 0)))
    await within(5, closing[0])
    assert wire.asked == ["Terminate"]
    assert run.names == ["Begin", "Turn", "None"]
    assert nothing_is_left()


async def test_a_stream_that_nobody_reads_is_ended() -> None:
    run = Run()
    nobody_reads = StateError("20000 messages wait, and nobody reads them")

    def refuse(told: object) -> None:
        if isinstance(told, Turn):
            raise nobody_reads

    run.on_told = refuse
    wire = await run.open()
    run.push(CHUNK)
    wire.say(final(0, ("a", 0, 0)))
    await within(5, run.runner.over())
    assert run.protocol.failure is nobody_reads
    assert run.protocol.state is StreamState.FAILED
    assert run.told[-1] is None
    assert run.names.count("None") == 1
    assert wire.asked == ["Terminate"]
    assert wire.is_closed
    assert nothing_is_left()


async def test_what_there_is_to_log_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "aai_stream")
    run = Run(wait=1.5)
    wire = await run.open()
    wire.end(1011)
    assert caplog.record_tuples == [
        (
            "aai_stream",
            logging.INFO,
            "session session-1 is open: universal-3-6-pro, expires at 2000000000",
        ),
        (
            "aai_stream",
            logging.WARNING,
            "the server closed the session with code 1011; trying again in 1.5 s",
        ),
    ]
    await run.runner.close()


async def test_what_a_push_loses_is_logged_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = Run(replay_seconds=1)
    run.connector.opens.clear()
    run.runner.start()
    for _ in range(3):
        run.push(RATE // 2)
    (text,) = caplog.messages
    assert text.startswith("audio is being lost")
    await run.runner.close()
