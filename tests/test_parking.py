"""Paying only for speech, over real sockets: `park_after` and the embedded server."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Any

import aiohttp
import pytest
from livekit import rtc
from livekit.agents.stt import SpeechEvent, SpeechEventType

import aai_stream
from aai_stream import messages
from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.livekit import STT
from tests.servers import until, within

RATE = 16_000
SILENCE = bytes(2 * RATE)
"""A second."""

WORDS = 6
SPOKEN = [marked_audio(WORDS, first=WORDS * part).tobytes() for part in range(3)]
"""Turns with silence in between, which are pushed at once: the server hears them so."""


class Listener:
    """A stream into which people speak now and then."""

    def __init__(self, stream: aai_stream.Stream) -> None:
        self.stream = stream
        self.events: list[Any] = []
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for event in self.stream:
            self.events.append(event)

    @property
    def words(self) -> list[int]:
        return [
            int(word.text.strip("Ww."))
            for event in self.events
            if isinstance(event, messages.Turn) and event.is_final
            for word in event.words
        ]

    async def speak(self, part: int) -> None:
        """Say it, and wait until it is told."""
        self.stream.push(SPOKEN[part])
        count = len(self.words) + WORDS
        await until(lambda: len(self.words) >= count)

    async def rest(self, server: Emulator, seconds: int = 15) -> None:
        """Say nothing, until there is no session."""
        for _ in range(seconds):
            self.stream.push(SILENCE)
            await asyncio.sleep(0)
        await until(lambda: server.sessions == 0)


def all_words(parts: int) -> list[int]:
    return [*range(WORDS * parts)]


async def test_there_is_a_session_only_while_somebody_speaks(
    http_session: aiohttp.ClientSession | None,
) -> None:
    async with (
        Emulator(MarkedEngine()) as server,
        aai_stream.connect(
            api_key="k",
            base_url=server.url,
            http_session=http_session,
            catch_up_rate=math.inf,
            park_after=10,
        ) as stream,
    ):
        listener = Listener(stream)
        for part in range(3):
            await listener.speak(part)
            await listener.rest(server)
            heard = stream.stats.heard_seconds
            stream.push(SILENCE)
            assert stream.stats.heard_seconds == heard
        assert server.sessions_opened == stream.stats.sessions == 3
        assert stream.stats.parked_seconds > 0
        termination = await within(5, stream.end())
        await within(5, listener.reading)
    assert server.sessions_opened == 3  # none to say goodbye
    assert listener.words == all_words(3)
    assert listener.events[-1] is termination
    kinds = [type(event) for event in listener.events]
    assert kinds.count(messages.Termination) == 1
    assert kinds.count(messages.AudioLost) == 0
    assert kinds.count(messages.Begin) == kinds.count(messages.SilenceSkipped) == 3


@pytest.mark.parametrize(
    "trouble", ["status,code=503,on=2", "reset,at=open,on=2", "late-begin,seconds=1"]
)
@pytest.mark.usefixtures("impatience")
async def test_no_word_is_missed_however_the_next_session_begins(trouble: str) -> None:
    async with (
        Emulator(MarkedEngine(), faults=[fault(trouble)]) as server,
        aai_stream.connect(
            api_key="k", base_url=server.url, catch_up_rate=math.inf, park_after=10
        ) as stream,
    ):
        listener = Listener(stream)
        await listener.speak(0)
        await listener.rest(server)
        await listener.speak(1)
        await within(5, stream.end())
        await within(5, listener.reading)
    assert listener.words == all_words(2)


async def test_livekit_hears_of_every_start_and_end() -> None:
    def frame(pcm: bytes) -> rtc.AudioFrame:
        return rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2)

    async with Emulator(MarkedEngine()) as server:
        stt = STT(
            api_key="k", base_url=server.url, catch_up_rate=math.inf, park_after=10
        )
        stream = stt.stream()
        events: list[SpeechEvent] = []

        async def read() -> None:
            async for event in stream:
                events.append(event)

        reading = asyncio.ensure_future(read())
        for part in range(2):
            stream.push_frame(frame(SPOKEN[part]))
            await until(partial(has_words, events, WORDS * (part + 1)))
            for _ in range(15):
                stream.push_frame(frame(SILENCE))
                await asyncio.sleep(0)
            await until(lambda: server.sessions == 0)
        stream.end_input()
        await within(5, reading)
        await stream.aclose()
    assert server.sessions_opened == 2
    kinds = [event.type for event in events]
    count = kinds.count(SpeechEventType.FINAL_TRANSCRIPT)
    assert count >= 2
    assert kinds.count(SpeechEventType.START_OF_SPEECH) == count
    assert kinds.count(SpeechEventType.END_OF_SPEECH) == count


def has_words(events: list[SpeechEvent], count: int) -> bool:
    finals = [e for e in events if e.type is SpeechEventType.FINAL_TRANSCRIPT]
    return sum(len(final.alternatives[0].words or []) for final in finals) == count
