"""Whoever LiveKit was told speaks is told to have ended, within a bound, also when the
server says nothing more of it; otherwise an agent never answers."""

from __future__ import annotations

import asyncio
import math

import aiohttp
import pytest

from aai_stream.emulator.engines.marked import MarkedLayout
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.livekit import STT, ServerMessage
from tests.outages.calls import RETRY, Outcome, Speech, pusher, speak
from tests.servers import within

pytestmark = pytest.mark.usefixtures("impatience", "short_bounds")

TURN = MarkedLayout(words_per_turn=6, turn_gap_ms=50)
RATE = 16_000

ROWS: dict[str, tuple[Speech, list[str]]] = {
    "the next session hears nothing": (
        Speech(6, TURN),
        ["reset,at=turn:2,on=1", "no-turns,on=2"],
    ),
    "the next session hears no end": (
        Speech(6, TURN),
        ["reset,at=turn:2,on=1", "no-final,on=2"],
    ),
    "a final is left out": (Speech(6, TURN), ["no-final,on=1"]),
    "finals are left out, whoever is asked": (Speech(6, TURN), ["no-final"]),
    "the server falls mute": (Speech(6, TURN), ["mute,at=turn:2,on=1"]),
    "a quiet turn": (Speech(6, TURN, peak=100), ["reset,at=turn:2,on=1"]),
    "a quiet turn in a room": (
        Speech(6, TURN, peak=100, noise_rms=18.5),
        ["reset,at=turn:2,on=1"],
    ),
}


async def call(
    speech: Speech, faults: list[str], http_session: aiohttp.ClientSession | None
) -> Outcome:
    """Say it, and then nothing, until nobody is told to speak any more."""
    outcome = Outcome(speech)
    spoke = asyncio.Event()

    def remark(said: ServerMessage) -> None:
        outcome.note(said.message)

    async def listen() -> None:
        async for event in stream:
            outcome.note_speech(event)
            if outcome.is_speaking:
                spoke.set()

    async def pass_time() -> None:
        push = pusher(stream, RATE)
        await speak(push, speech, RATE, pace=0)
        await spoke.wait()
        silence = Speech(0, TURN, speech.peak, speech.noise_rms).audio(RATE)[:800]
        while outcome.is_speaking or len(happened()) < len(faults):
            push(silence.tobytes())
            await asyncio.sleep(0.05)

    def happened() -> set[str]:
        return {str(applied.fault) for applied in server.faults.applied}

    async with Emulator(speech.engine(), faults=map(fault, faults)) as server:
        stt = STT(
            api_key="k",
            base_url=server.url,
            catch_up_rate=math.inf,
            http_session=http_session,
        )
        stt.on("server_message", remark)
        stream = stt.stream(conn_options=RETRY)
        listening = asyncio.ensure_future(listen())
        await within(30, pass_time())
        await stream.aclose()
        await listening
    return outcome


async def test_every_start_has_its_end(
    http_session: aiohttp.ClientSession | None,
) -> None:
    calls = [call(speech, faults, http_session) for speech, faults in ROWS.values()]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    found = {}
    for row, outcome in zip(ROWS, ended, strict=True):
        if isinstance(outcome, BaseException):
            found[row] = repr(outcome)
        elif not outcome.lost and outcome.problems:
            found[row] = repr(outcome.problems)
    assert found == {}
