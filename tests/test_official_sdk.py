"""AssemblyAI's own SDK talks to the embedded server and finds what it documents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from assemblyai.streaming.v3 import (
    AsyncStreamingClient,
    BeginEvent,
    Encoding,
    SpeechModel,
    StreamingClientOptions,
    StreamingError,
    StreamingEvents,
    StreamingParameters,
    StreamingSessionParameters,
    TerminationEvent,
    TurnEvent,
)

from aai_stream.emulator.engines.marked import MarkedEngine, check_marked, marked_audio
from aai_stream.emulator.engines.replay import ReplayEngine
from aai_stream.emulator.engines.script import ScriptEngine, play, say
from aai_stream.emulator.server import DOCUMENTED, Emulator
from tests import recorded_calls

# The SDK asks websockets for a close code in a way that websockets has deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:ConnectionClosed.(code|reason) is deprecated:DeprecationWarning"
)

CHUNK = bytes(1600)  # 50 ms of PCM16 at 16 kHz
SCRIPT = [
    say("hello world", at_ms=200),
    say("how are you", 700, "today", at_ms=1800, speaker="B"),
]


class Conversation:
    """An SDK client and the events that it has dispatched."""

    def __init__(self, emulator: Emulator, **options: Any) -> None:
        options.setdefault("api_key", "key")
        self.client = AsyncStreamingClient(
            StreamingClientOptions(api_host=emulator.url, **options)
        )
        self.events: list[Any] = []
        self.came = asyncio.Event()
        for event in StreamingEvents:
            self.client.on(event, self._on_event)

    async def connect(self, **parameters: Any) -> None:
        """Open the session, or don't; the events say which."""
        await self.client.connect(
            StreamingParameters(**{"sample_rate": 16_000, **parameters})
        )

    def _on_event(self, _client: AsyncStreamingClient, event: Any) -> None:
        self.events.append(event)
        self.came.set()

    async def until(self, kind: type) -> Any:
        """The first event of `kind`, as soon as it is there."""
        while True:
            for event in self.events:
                if isinstance(event, kind):
                    return event
            self.came.clear()
            await self.came.wait()

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    @property
    def turns(self) -> list[TurnEvent]:
        return [event for event in self.events if isinstance(event, TurnEvent)]

    @property
    def finals(self) -> list[TurnEvent]:
        return [turn for turn in self.turns if turn.end_of_turn]


@asynccontextmanager
async def conversation(
    emulator: Emulator, model: SpeechModel, **parameters: Any
) -> AsyncIterator[Conversation]:
    talk = Conversation(emulator)
    await talk.connect(speech_model=model, **parameters)
    await talk.until(BeginEvent)
    yield talk
    await talk.client.disconnect(terminate=True)


async def test_universal_3() -> None:
    async with (
        Emulator(ScriptEngine(SCRIPT)) as emulator,
        conversation(
            emulator,
            SpeechModel.universal_3_6_pro,
            speaker_labels=True,
            language_detection=True,
        ) as talk,
    ):
        begin = await talk.until(BeginEvent)
        assert begin.configuration is not None
        assert begin.configuration.model == "universal-3-6-pro"
        assert begin.configuration.mode == "balanced"
        assert begin.configuration.api_version == "2025-05-12"
        await talk.client.stream([CHUNK] * 100)
        await talk.client.disconnect(terminate=True)
    assert talk.kinds[:2] == ["BeginEvent", "SpeechStartedEvent"]
    assert talk.kinds[-1] == "TerminationEvent"
    assert talk.kinds.count("SpeechStartedEvent") == 2
    assert talk.events[1].timestamp == 200
    partials = [turn for turn in talk.turns if not turn.end_of_turn]
    assert [t.transcript for t in partials[:2]] == ["Hello world.", "How are?"]
    assert all(turn.turn_is_formatted for turn in talk.turns)
    assert not any(word.word_is_final for turn in partials for word in turn.words)
    assert [(t.turn_order, t.transcript) for t in talk.finals] == [
        (0, "Hello world."),
        (1, "How are you today?"),
    ]
    last = talk.finals[-1]
    assert last.turn_is_formatted
    assert last.end_of_turn_confidence == 1.0
    assert last.speaker_label == "B"
    assert last.language_code == "en"
    assert last.language_confidence is not None
    assert [(w.start, w.end) for w in last.words][-1] == (3250, 3500)
    held_open = [t.end_of_turn_confidence for t in partials if len(t.words) == 3]
    assert held_open == sorted(held_open)
    assert held_open[-1] > 0
    termination = talk.events[-1]
    assert termination.audio_duration_seconds == 5
    assert termination.session_duration_seconds >= 0


@pytest.mark.parametrize("format_turns", [False, True])
async def test_universal_streaming(format_turns: bool) -> None:
    async with (
        Emulator(ScriptEngine(SCRIPT)) as emulator,
        conversation(
            emulator,
            SpeechModel.universal_streaming_english,
            format_turns=format_turns,
            end_of_turn_confidence_threshold=0.4,
        ) as talk,
    ):
        await talk.client.stream(CHUNK for _ in range(100))
        await talk.client.disconnect(terminate=True)
    assert set(talk.kinds) == {"BeginEvent", "TurnEvent", "TerminationEvent"}
    plain = ["hello world", "how are you today"]
    formatted = ["Hello world.", "How are you today?"]
    told = [turn.transcript for turn in talk.finals]
    if format_turns:
        assert told == [plain[0], formatted[0], plain[1], formatted[1], ""]
        assert [t.turn_is_formatted for t in talk.finals] == [*[False, True] * 2, False]
    else:
        assert told == [*plain, ""]  # the good-bye
    for turn in talk.turns:
        final = [word.text for word in turn.words if word.word_is_final]
        if not turn.turn_is_formatted:
            assert turn.transcript == " ".join(final)


async def test_set_params_and_force_endpoint() -> None:
    engine = ScriptEngine([say("one two three", at_ms=0), say("four", at_ms=1500)])
    async with (
        Emulator(engine) as emulator,
        conversation(emulator, SpeechModel.universal_3_5_pro) as talk,
    ):
        await talk.client.stream([CHUNK] * 12)
        await talk.client.force_endpoint()
        await talk.client.keep_alive()
        # Long enough to hold the rest together.
        await talk.client.set_params(
            StreamingSessionParameters(min_turn_silence=2000, max_turn_silence=3000)
        )
        await talk.client.stream([CHUNK] * 16)
        await talk.client.disconnect(terminate=True)
    assert [turn.transcript for turn in talk.finals] == ["One two.", "Three."]
    assert talk.finals[0].words[-1].end == 500
    assert talk.kinds[-1] == "TerminationEvent"


async def test_marked_words_through_the_sdk() -> None:
    audio = marked_audio(20).tobytes()
    chunks = [audio[i : i + 3200] for i in range(0, len(audio), 3200)]
    async with (
        Emulator(MarkedEngine()) as emulator,
        conversation(
            emulator, SpeechModel.universal_3_6_pro, encoding=Encoding.pcm_s16le
        ) as talk,
    ):
        await talk.client.stream(chunks)
        await talk.client.disconnect(terminate=True)
    words = [(w.text, w.start) for turn in talk.finals for w in turn.words]
    assert check_marked(words, count=20) == []


WARNING = {"type": "Warning", "warning_code": 7, "warning": "not as one likes it"}


async def test_warnings_arrive() -> None:
    async with (
        Emulator(ScriptEngine([play(WARNING, at_ms=100)])) as emulator,
        conversation(emulator, SpeechModel.universal_3_6_pro) as talk,
    ):
        await talk.client.stream([CHUNK] * 2)
        await talk.client.disconnect(terminate=True)
    assert talk.kinds == ["BeginEvent", "WarningEvent", "TerminationEvent"]
    assert talk.events[1].warning == WARNING["warning"]


async def test_silence_is_acknowledged() -> None:
    async with (
        Emulator(ScriptEngine()) as emulator,
        conversation(
            emulator,
            SpeechModel.universal_3_6_pro,
            acknowledge_silence=True,
        ) as talk,
    ):
        await talk.client.stream([CHUNK] * 50)
        await talk.client.disconnect(terminate=True)
    silences = [e for e in talk.events if type(e).__name__ == "SilenceEvent"]
    assert [(s.start_ms, s.end_ms) for s in silences] == [(0, 1000), (1000, 2000)]


async def test_a_refused_key_is_an_error() -> None:
    async with Emulator(ScriptEngine(), api_keys={"good"}) as emulator:
        talk = Conversation(emulator, api_key="bad")
        await talk.connect()
        error = await talk.until(StreamingError)
        assert error.code == 1008
        await talk.client.disconnect()
    async with Emulator(
        ScriptEngine(), api_keys={"good"}, service=DOCUMENTED
    ) as emulator:
        talk = Conversation(emulator, api_key="bad")
        await talk.connect()
        error = await talk.until(StreamingError)
        assert error.code == 401
        await talk.client.disconnect()


async def test_a_token_is_taken() -> None:
    async with Emulator(ScriptEngine(), api_keys={"good"}) as emulator:
        # The SDK asks for tokens over https only.
        url = emulator.url.replace("ws:", "http:") + "/v3/token?expires_in_seconds=60"
        async with (
            aiohttp.ClientSession() as http,
            http.get(url, headers={"Authorization": "good"}) as response,
        ):
            token = (await response.json())["token"]
        talk = Conversation(emulator, api_key=None, token=token)
        await talk.connect()
        await talk.until(BeginEvent)
        await talk.client.disconnect(terminate=True)
        await talk.until(TerminationEvent)


async def test_bad_chunks_are_an_error() -> None:
    async with (
        Emulator(ScriptEngine()) as emulator,
        conversation(emulator, SpeechModel.universal_3_6_pro) as talk,
    ):
        await talk.client.stream([bytes(320)] * 120)
        error = await talk.until(StreamingError)
        assert error.code == 3007
        assert "Input Duration" in str(error)
    assert talk.kinds == ["BeginEvent", "RealTimeError"]


async def test_bad_parameters_are_an_error() -> None:
    async with Emulator(ScriptEngine()) as emulator:
        talk = Conversation(emulator)
        await talk.connect(sample_rate=100)
        error = await talk.until(StreamingError)
        assert error.code == 3006
        await talk.client.disconnect()


async def test_a_recorded_call_again(tmp_path: Path) -> None:
    said = recorded_calls.turn(0, ("hello", 200, 500), ("there", 500, 900), end=True)
    recorder = recorded_calls.Recorder(recorded_calls.noise(2000))
    session = recorder.session()
    session.connect()
    session.send(0, 1200)
    session.hear({"type": "SpeechStarted", "timestamp": 200, "confidence": 0.9}, said)
    session.send(1200, 2000)
    session.terminate()
    pcm = recorder.audio.tobytes()
    async with (
        Emulator(ReplayEngine(recorder.write(tmp_path / "call.aai"))) as emulator,
        conversation(emulator, SpeechModel.universal_3_6_pro) as talk,
    ):
        await talk.client.stream([pcm[at : at + 3200] for at in range(0, 64_000, 3200)])
        await talk.client.disconnect(terminate=True)
    assert talk.kinds == [
        "BeginEvent",
        "SpeechStartedEvent",
        "TurnEvent",
        "TerminationEvent",
    ]
    (final,) = talk.finals
    assert (final.transcript, final.words[0].start) == ("hello there", 200)
