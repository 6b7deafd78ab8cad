"""The plugin as the first choice of LiveKit's `FallbackAdapter`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession
from livekit.agents.stt import AvailabilityChangedEvent, FallbackAdapter

from aai_stream.emulator.engines.script import say
from aai_stream.livekit import STT
from examples import agent
from tests.livekit.fakes import (
    HANGS,
    Line,
    Microphone,
    OtherSTT,
    Screen,
    finals,
    silence,
)
from tests.servers import until, within

SCRIPT = [say("hello world", at_ms=200), say("how are you", at_ms=2200)]


class Choice:
    """An adapter of ours and of another STT, and the line to our server."""

    def __init__(self, line: Line, **options: Any) -> None:
        self.line = line
        self.ours = STT(api_key="key", base_url=line.url, catch_up_rate=math.inf)
        self.other = OtherSTT()
        self.adapter = FallbackAdapter([self.ours, self.other], **options)
        self.changes: asyncio.Queue[AvailabilityChangedEvent] = asyncio.Queue()
        self.adapter.on("stt_availability_changed", self.changes.put_nowait)

    async def ours_is(self, *, available: bool) -> None:
        """Wait for the adapter to say that next."""
        change = await within(5, self.changes.get())
        assert change == AvailabilityChangedEvent(self.ours, available)

    async def hear(self, *, first_fails: bool = False) -> str:
        """The first final transcript that a new stream gives."""
        async with self.adapter.stream() as stream:
            if first_fails:
                await self.ours_is(available=False)
            for frame in silence(2):
                stream.push_frame(frame)
            text: str = await within(5, anext(finals(stream)))
            return text


@asynccontextmanager
async def choosing(
    *, attempt_timeout: float = 5, max_retry_per_stt: int = 0
) -> AsyncIterator[Choice]:
    async with Line(*SCRIPT) as line:
        choice = Choice(
            line,
            attempt_timeout=attempt_timeout,
            max_retry_per_stt=max_retry_per_stt,
            retry_interval=0,
        )
        try:
            yield choice
        finally:
            await within(5, choice.adapter.aclose())


async def test_ours_is_heard_while_it_works() -> None:
    async with choosing() as choice:
        assert await choice.hear() == "Hello world."
    assert choice.changes.empty()


@pytest.mark.parametrize("status", [401, 503, HANGS], ids=["401", "503", "hangs"])
async def test_the_other_takes_over_until_ours_is_back(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with choosing(attempt_timeout=1 if status == HANGS else 5) as choice:
        choice.line.break_with(repeat(status))
        assert await choice.hear(first_fails=True) == "other"
        # The adapter tries ours once more beside it, and tells of that only here.
        await until(lambda: "recovery failed" in caplog.text)

        choice.line.break_with([])
        async with choice.adapter.stream() as stream:
            for frame in silence(2):
                stream.push_frame(frame)
            # The other is still who speaks, but ours listens and proves itself.
            assert await within(5, anext(finals(stream))) == "other"
            await choice.ours_is(available=True)

        assert await choice.hear() == "Hello world."
    assert choice.changes.empty()


async def test_one_refusal_is_no_reason_to_change() -> None:
    async with choosing(max_retry_per_stt=1) as choice:
        choice.line.break_with([503])
        assert await choice.hear() == "Hello world."
        assert choice.line.calls == 2
    assert choice.changes.empty()


async def test_the_other_takes_over_in_the_middle_of_a_stream() -> None:
    async with choosing() as choice, choice.adapter.stream() as stream:
        for frame in silence(2):
            stream.push_frame(frame)
        heard = finals(stream)
        assert await within(5, anext(heard)) == "Hello world."
        choice.line.break_with(repeat(503))
        choice.line.cut()
        await choice.ours_is(available=False)
        for frame in silence(1):
            stream.push_frame(frame)
        assert await within(5, anext(heard)) == "other"


async def test_recognize() -> None:
    async with choosing() as choice:
        event = await within(5, choice.adapter.recognize(silence(5)))
    assert event.alternatives[0].text == "Hello world. How are you?"
    assert choice.changes.empty()


async def test_recognize_with_the_other_until_ours_is_back() -> None:
    async with choosing() as choice:
        choice.line.break_with([503])
        event = await within(5, choice.adapter.recognize(silence(5)))
        assert event.alternatives[0].text == "other"
        await choice.ours_is(available=False)
        await choice.ours_is(available=True)  # tried again beside it
        event = await within(5, choice.adapter.recognize(silence(5)))
        assert event.alternatives[0].text == "Hello world. How are you?"


async def test_in_an_agent() -> None:
    async with choosing() as choice:
        choice.line.break_with(repeat(401))
        session: AgentSession[None] = AgentSession(
            stt=choice.adapter,
            llm=agent.EchoLLM(),
            vad=None,
            turn_handling={"endpointing": {"min_delay": 0.0, "max_delay": 0.0}},
            session_close_transcript_timeout=0,
        )
        microphone = session.input.audio = Microphone()
        screen = session.output.transcription = Screen()
        await session.start(Agent(instructions=""))
        await choice.ours_is(available=False)
        microphone.hear(1)
        assert await within(5, screen.replies.get()) == "You said: other"
        await within(5, session.aclose())
