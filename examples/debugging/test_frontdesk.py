"""A call that went wrong, again: `pytest examples/debugging`."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

from aai_stream import connect
from aai_stream.emulator.engines.replay import ReplayEngine
from aai_stream.emulator.server import Emulator
from examples.debugging.frontdesk import take_call

CALL = Path(__file__).with_name("unheard.aai")


async def take_recorded_call() -> list[str]:
    engine = ReplayEngine(CALL)
    rate = engine.call.meta.sample_rate
    async with (
        Emulator(engine) as server,
        connect(
            base_url=server.url,
            sample_rate=rate,
            speech_model="universal-streaming-english",
            format_turns=True,
            catch_up_rate=math.inf,  # as fast as it goes
        ) as stream,
    ):
        stream.push(engine.call.audio, sample_rate=rate)
        await stream.end()
        return list((await take_call(stream)).values())


def test_every_answer_is_heard() -> None:
    name, wish, account = asyncio.run(take_recorded_call())
    assert "John Miller" in name
    assert "appointment" in wish
    assert "seven three nine" in account
