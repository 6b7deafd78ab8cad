"""Tests of an agent without keys and without a network, in seconds.

    pip install '.[livekit,local]' pytest pytest-asyncio    # in a clone
    pytest examples/test_agent.py

The agent is that of agent.py: put yours in its place. It hears through the embedded
server, which says what a script says, or recognises speech, and fails as it is told.
"""

from __future__ import annotations

import asyncio
import math
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from livekit import rtc
from livekit.agents import Agent, io

import aai_stream
from aai_stream.emulator.engines.engine import Engine
from aai_stream.emulator.engines.pocketsphinx import PocketsphinxEngine
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.livekit import STT
from examples.agent import build_session

CALL = Path(__file__).parent / "call.wav"
RATE = 16_000
FRAME = RATE // 20  # samples, 50 ms
SCRIPT = [say("hello world", at_ms=200), say("how are you", at_ms=2200)]


class Microphone(io.AudioInput):
    """A user of whom is heard what a test says, as fast as the agent takes it."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    def hear(self, pcm: bytes) -> None:
        """Audio of 16 kHz, 16 bits, one channel."""
        for start in range(0, len(pcm), 2 * FRAME):
            data = pcm[start : start + 2 * FRAME]
            frame = rtc.AudioFrame(data, RATE, 1, len(data) // 2)
            self._frames.put_nowait(frame)

    def wait(self, seconds: float) -> None:
        """Silence. A script is told by the time, so it is all that a script needs."""
        self.hear(bytes(2 * round(seconds * RATE)))

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()


class Screen(io.TextOutput):
    """Keeps what the agent says, whole replies."""

    def __init__(self) -> None:
        super().__init__(label="screen", next_in_chain=None)
        self._replies: asyncio.Queue[str] = asyncio.Queue()
        self._text = ""

    async def capture_text(self, text: str) -> None:
        self._text += text

    def flush(self) -> None:
        if self._text:
            self._replies.put_nowait(self._text)
        self._text = ""

    async def reply(self) -> str:
        """The next one."""
        return await asyncio.wait_for(self._replies.get(), timeout=30)


@asynccontextmanager
async def call(
    engine: Engine, faults: Sequence[str] = ()
) -> AsyncIterator[tuple[Microphone, Screen, Emulator]]:
    """The agent in a call, which it hears with `engine` while `faults` happen."""
    microphone, screen = Microphone(), Screen()
    async with Emulator(engine, faults=map(fault, faults)) as server:
        # No key is needed on loopback, and no patience.
        stt = STT(api_key="any", base_url=server.url, catch_up_rate=math.inf)
        session = build_session(stt)
        session.input.audio = microphone
        session.output.transcription = screen
        await session.start(Agent(instructions=""))
        try:
            yield microphone, screen, server
        finally:
            await session.aclose()


async def test_it_answers_each_turn() -> None:
    async with call(ScriptEngine(SCRIPT)) as (microphone, screen, _):
        microphone.wait(2)
        assert await screen.reply() == "You said: Hello world."
        microphone.wait(3)
        assert await screen.reply() == "You said: How are you?"


@pytest.mark.parametrize(
    "outage",
    [
        "reset,at=turn:1,on=1",  # in the middle of the first turn
        "status,code=503,on=1",  # there is no first session
        "close,at=turn:1,on=1,code=3005,error=Session Cancelled: An error occurred",
        "no-final,on=1,cut=0",  # the turn's end was said, and lost
    ],
)
async def test_it_answers_through_an_outage(outage: str) -> None:
    async with call(ScriptEngine(SCRIPT), [outage]) as (microphone, screen, server):
        microphone.wait(2)
        assert await screen.reply() == "You said: Hello world."
        assert [each.fault.kind for each in server.faults.applied] == [
            outage.partition(",")[0]
        ]


async def test_it_understands_speech() -> None:
    with wave.open(str(CALL)) as file:
        sentence = file.readframes(7 * RATE // 2)
    engine = PocketsphinxEngine(capacity=1)
    async with call(engine) as (microphone, screen, _):
        microphone.hear(sentence)
        microphone.wait(1)
        assert await screen.reply() == "You said: Hello this is john miller speaking."


async def test_code_without_livekit() -> None:
    """Whatever connects by `aai_stream`, or by another client, is tested likewise."""
    async with Emulator(ScriptEngine(SCRIPT[:1])) as server:
        turns = await aai_stream.transcribe(
            bytes(2 * 2 * RATE), sample_rate=RATE, base_url=server.url, realtime=False
        )
    assert [turn.transcript for turn in turns] == ["Hello world."]
