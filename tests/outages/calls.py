"""Marked audio through a client, while the embedded server fails on purpose.

The words of `marked_audio` say which samples they are, so what comes back as final
shows what was heard: nothing else need be trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents.stt import STT, RecognizeStream, SpeechEvent, SpeechEventType

import aai_stream
from aai_stream.emulator.engines.marked import (
    PEAK,
    MarkedEngine,
    MarkedLayout,
    Samples,
    check_marked,
    marked_audio,
)
from aai_stream.emulator.engines.markings import WORD_MS
from aai_stream.livekit import STT as OurSTT
from aai_stream.livekit import ServerMessage
from aai_stream.messages import AudioLost, Event, Turn

LAYOUT = MarkedLayout(words_per_turn=3, turn_gap_ms=400)
WORDS = 12
RETRY = APIConnectOptions(max_retry=5, retry_interval=0.01, timeout=10)

FACES = ("stream", "plugin")

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


@dataclass(frozen=True)
class Speech:
    """What is said: so many words, so loud, in noise of `noise_rms`, and how much
    silence is left behind the last one; usually as much as between turns."""

    words: int = WORDS
    layout: MarkedLayout = LAYOUT
    peak: int = PEAK
    noise_rms: float = 0
    tail_ms: int | None = None

    def audio(self, rate: int) -> Samples:
        """Mono PCM16."""
        audio = marked_audio(
            self.words,
            sample_rate=rate,
            layout=self.layout,
            peak=self.peak,
            noise_rms=self.noise_rms,
        )
        if self.tail_ms is None:
            return audio
        end_ms = self.layout.start_ms(self.words - 1) + WORD_MS + self.tail_ms
        return audio[: end_ms * rate // 1000]

    def engine(self) -> MarkedEngine:
        """A recogniser that understands it."""
        return MarkedEngine(peak=self.peak, noisy=self.noise_rms > 0)


SPEECH = Speech()


@dataclass
class Outcome:
    """What a client told, as final, of the marked audio."""

    speech: Speech = SPEECH
    words: list[tuple[str, int]] = field(default_factory=list)
    """Text and start in ms."""
    transcripts: list[str] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    """Start and end in ms of what it said was lost."""
    is_speaking: bool = False
    """Whether LiveKit was last told that somebody speaks."""
    failure: BaseException | None = None
    """What it ended with."""
    terminated: bool = False
    """Whether the end of the stream was told with a Termination."""
    sessions: int = 0
    """How many were opened."""

    @property
    def problems(self) -> list[str]:
        """What is wrong with the words; nothing if []."""
        words, layout = self.speech.words, self.speech.layout
        return check_marked(self.words, count=words, layout=layout) + self._problems

    @property
    def problems_without_times(self) -> list[str]:
        """Likewise by the transcripts alone."""
        said = " ".join(self.transcripts).lower().split()
        heard = [word.strip(".,?!") for word in said]
        return ([] if heard == self._names else [f"heard {heard}"]) + self._problems

    @property
    def missing(self) -> int:
        """How many of the words it never told."""
        heard = {text.lower().strip(".,?!") for text, _ in self.words}
        return len(set(self._names) - heard)

    @property
    def repeated(self) -> int:
        """How many words it told that it had told before, or that nobody said."""
        return len(self.words) - (self.speech.words - self.missing)

    @property
    def _names(self) -> list[str]:
        return [f"w{number:04}" for number in range(self.speech.words)]

    @property
    def _problems(self) -> list[str]:
        found = [f"lost: {span}" for span in self.lost]
        if self.is_speaking:
            found.append("somebody speaks for ever")
        return found if self.failure is None else [*found, repr(self.failure)]

    def note(self, event: Event) -> None:
        """Take down a message of a stream's."""
        if isinstance(event, Turn) and event.end_of_turn:
            self.words += [(word.text, word.start) for word in event.words]
            self.transcripts.append(event.transcript)
        elif isinstance(event, AudioLost):
            self.lost.append((event.start_ms, event.end_ms))

    def note_speech(self, event: SpeechEvent) -> None:
        """Take down an event of LiveKit's."""
        if event.type is SpeechEventType.FINAL_TRANSCRIPT:
            (heard,) = event.alternatives
            self.transcripts.append(heard.text)
            self.words += [
                (str(word), round(1000 * float(word.start_time or 0)))
                for word in heard.words or ()
            ]
        elif event.type is SpeechEventType.END_OF_SPEECH:
            self.is_speaking = False
        elif event.type in (
            SpeechEventType.START_OF_SPEECH,
            SpeechEventType.INTERIM_TRANSCRIPT,
        ):
            self.is_speaking = True


Wait = Callable[[int], Awaitable[None]]
"""Waits, if need be, before the audio from this ms on."""


async def at_once(ms: int) -> None:
    """Don't."""


async def speak(
    push: Callable[[bytes], object],
    speech: Speech,
    rate: int,
    pace: float,
    wait: Wait = at_once,
) -> None:
    """Push it all by 50 ms; `pace` is how long a second of audio takes."""
    audio = speech.audio(rate).tobytes()
    for start in range(0, len(audio), rate // 10):
        await wait(start * 500 // rate)
        push(audio[start : start + rate // 10])
        await asyncio.sleep(0.05 * pace)


async def through_stream(
    url: str,
    rate: int,
    *,
    speech: Speech = SPEECH,
    pace: float = 0,
    wait: Wait = at_once,
    **options: Any,
) -> Outcome:
    """Through `aai_stream.connect`."""
    outcome = Outcome(speech)
    stream = aai_stream.connect(api_key="k", base_url=url, **options)

    async def call() -> None:
        def push(data: bytes) -> None:
            stream.push(data, sample_rate=rate)

        await speak(push, speech, rate, pace, wait)
        outcome.terminated = await stream.end() is not None

    calling: asyncio.Future[None] | None = None
    try:
        async with stream:
            calling = asyncio.ensure_future(call())
            async for event in stream:
                outcome.note(event)
            await calling
    except aai_stream.AaiStreamError as exc:
        outcome.failure = exc
    if calling is not None:
        await asyncio.gather(calling, return_exceptions=True)
    return outcome


async def through_plugin(
    stt: STT[Any],
    rate: int,
    *,
    speech: Speech = SPEECH,
    pace: float = 0,
    wait: Wait = at_once,
    retry: APIConnectOptions = RETRY,
) -> Outcome:
    """Through a LiveKit plugin, the published one or ours."""
    outcome = Outcome(speech)
    if isinstance(stt, OurSTT):

        @stt.on("server_message")
        def listen(said: ServerMessage) -> None:
            outcome.note(said.message)

    stream = stt.stream(conn_options=retry)

    async def call() -> None:
        await speak(pusher(stream, rate), speech, rate, pace, wait)
        stream.end_input()

    calling = asyncio.ensure_future(call())
    try:
        async for event in stream:
            outcome.note_speech(event)
    except Exception as exc:
        outcome.failure = exc
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await stream.aclose()
    return outcome


def pusher(stream: RecognizeStream, rate: int) -> Callable[[bytes], None]:
    """Pushes PCM16 into a stream of LiveKit's."""

    def push(data: bytes) -> None:
        stream.push_frame(rtc.AudioFrame(data, rate, 1, len(data) // 2))

    return push
