"""Marked audio through a client, while the embedded server fails on purpose.

The words of `marked_audio` say which samples they are, so what comes back as final
shows what was heard: nothing else need be trusted.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents.stt import STT, SpeechEventType

import aai_stream
from aai_stream.emulator.marked import MarkedLayout, check_marked, marked_audio
from aai_stream.livekit import STT as OurSTT
from aai_stream.livekit import ServerMessage
from aai_stream.messages import AudioLost, Event, Turn

LAYOUT = MarkedLayout(words_per_turn=3, turn_gap_ms=400)
WORDS = 12
SPEECH_MS = LAYOUT.start_ms(WORDS)
"""How long the marked audio is."""

ON_MESSAGES = [
    "garbage",
    "unknown",
    "wrong-types",
    "binary",
    "huge",
    "duplicate",
    "reorder",
    "no-final,cut=0.05",
]
"""Faults of what the server says."""


@dataclass
class Outcome:
    """What a client told, as final, of the marked audio."""

    words: list[tuple[str, int]] = field(default_factory=list)
    """Text and start in ms."""
    lost: list[tuple[int, int]] = field(default_factory=list)
    """Start and end in ms of what it said was lost."""
    failure: BaseException | None = None
    """What it ended with."""

    @property
    def problems(self) -> list[str]:
        """What is wrong with the words; nothing if []."""
        found = check_marked(self.words, count=WORDS, layout=LAYOUT)
        return found if self.failure is None else [*found, repr(self.failure)]

    @property
    def missing(self) -> int:
        """How many of the words it never told."""
        return len({f"w{n:04}" for n in range(WORDS)} - set(self._plain()))

    @property
    def repeated(self) -> int:
        """How many words it told that it had told before, or that nobody said."""
        return len(self.words) - (WORDS - self.missing)

    def _plain(self) -> list[str]:
        return [text.lower().strip(".,?!") for text, _ in self.words]

    def note(self, event: Event) -> None:
        """Take down a message of a stream's."""
        if isinstance(event, Turn) and event.end_of_turn:
            self.words += [(word.text, word.start) for word in event.words]
        elif isinstance(event, AudioLost):
            self.lost.append((event.start_ms, event.end_ms))


async def through_stream(
    url: str, rate: int, *, pace: float = 0, **options: Any
) -> Outcome:
    """Through `aai_stream.connect`; `pace` is the time of a second of audio."""
    outcome = Outcome()
    options = {"catch_up_rate": math.inf, "dead_after": 0.4, **options}
    stream = aai_stream.connect(api_key="k", base_url=url, **options)

    async def speak() -> None:
        audio = marked_audio(WORDS, sample_rate=rate, layout=LAYOUT).tobytes()
        for start in range(0, len(audio), rate // 10):
            stream.push(audio[start : start + rate // 10], sample_rate=rate)
            await asyncio.sleep(0.05 * pace)
        await stream.end()

    try:
        async with stream:
            speaking = asyncio.ensure_future(speak())
            async for event in stream:
                outcome.note(event)
            await speaking
    except aai_stream.AaiStreamError as exc:
        outcome.failure = exc
        await asyncio.gather(speaking, return_exceptions=True)
    return outcome


async def through_plugin(
    stt: STT[Any], rate: int, *, pace: float = 0, retry: APIConnectOptions
) -> Outcome:
    """Through a LiveKit plugin, the published one or ours."""
    outcome = Outcome()
    if isinstance(stt, OurSTT):

        @stt.on("server_message")
        def listen(said: ServerMessage) -> None:
            outcome.note(said.message)

    stream = stt.stream(conn_options=retry)

    async def speak() -> None:
        audio = marked_audio(WORDS, sample_rate=rate, layout=LAYOUT).tobytes()
        for start in range(0, len(audio), rate // 10):
            data = audio[start : start + rate // 10]
            stream.push_frame(rtc.AudioFrame(data, rate, 1, len(data) // 2))
            await asyncio.sleep(0.05 * pace)
        stream.end_input()

    speaking = asyncio.ensure_future(speak())
    try:
        async for event in stream:
            if event.type is SpeechEventType.FINAL_TRANSCRIPT:
                outcome.words += [
                    (str(word), round(1000 * float(word.start_time or 0)))
                    for word in event.alternatives[0].words or ()
                ]
    except Exception as exc:
        outcome.failure = exc
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    await stream.aclose()
    return outcome
