"""AssemblyAI's LiveKit plugin, as published, talks to the embedded server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions, APIStatusError
from livekit.agents.stt import SpeechEvent, SpeechEventType
from livekit.plugins import assemblyai

from aai_stream.emulator.engines.marked import (
    MarkedEngine,
    MarkedLayout,
    check_marked,
    marked_audio,
)
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.server import DOCUMENTED, Emulator, Service

START = SpeechEventType.START_OF_SPEECH
INTERIM = SpeechEventType.INTERIM_TRANSCRIPT
PREFLIGHT = SpeechEventType.PREFLIGHT_TRANSCRIPT
FINAL = SpeechEventType.FINAL_TRANSCRIPT
END = SpeechEventType.END_OF_SPEECH
USAGE = SpeechEventType.RECOGNITION_USAGE

STEADY = Service(steady_partials=True)
RATE = 16_000
SCRIPT = [say("hello world", at_ms=200), say("how are you", at_ms=1800, speaker="B")]


@asynccontextmanager
async def streaming(
    emulator: Emulator, **options: Any
) -> AsyncIterator[assemblyai.SpeechStream]:
    """A stream of the plugin's, which doesn't try again when it fails."""
    async with aiohttp.ClientSession() as http:
        stt = assemblyai.STT(
            api_key="key", base_url=emulator.url, http_session=http, **options
        )
        stream = stt.stream(conn_options=APIConnectOptions(max_retry=0))
        yield stream
        await stream.aclose()


def push(stream: assemblyai.SpeechStream, audio: bytes) -> None:
    """Push PCM16 in frames of 30 ms."""
    size = 2 * RATE * 30 // 1000
    for start in range(0, len(audio), size):
        data = audio[start : start + size]
        stream.push_frame(rtc.AudioFrame(data, RATE, 1, len(data) // 2))


async def recognise(
    emulator: Emulator, audio: bytes, **options: Any
) -> list[SpeechEvent]:
    """All that the plugin makes of `audio`."""
    async with streaming(emulator, **options) as stream:
        push(stream, audio)
        stream.end_input()
        return [event async for event in stream]


def silence(ms: int) -> bytes:
    return bytes(2 * RATE * ms // 1000)


def texts(events: list[SpeechEvent], kind: SpeechEventType) -> list[str]:
    return [e.alternatives[0].text for e in events if e.type == kind]


def kinds(events: list[SpeechEvent]) -> list[SpeechEventType]:
    """The kinds of event, several interim ones in a row counted as one."""
    seen: list[SpeechEventType] = []
    for event in events:
        if not (event.type == INTERIM and seen and seen[-1] == INTERIM):
            seen.append(event.type)
    return seen


async def test_universal_3() -> None:
    async with Emulator(ScriptEngine(SCRIPT)) as emulator:
        events = await recognise(emulator, silence(4000), speaker_labels=True)
    # All audio may have been sent before the first turn's end is heard of, so that
    # usage, counted as it is sent, need not come twice.
    told = [kind for kind in kinds(events) if kind != USAGE]
    assert told == [START, INTERIM, PREFLIGHT, FINAL, END] * 2
    assert kinds(events).count(USAGE) in (1, 2)
    assert texts(events, INTERIM)[0] == "Hello world."
    assert texts(events, PREFLIGHT) == texts(events, FINAL)
    assert texts(events, FINAL) == ["Hello world.", "How are you?"]
    first, second = (e.alternatives[0] for e in events if e.type == FINAL)
    assert first.language == "en"
    assert first.speaker_id == "PENDING"  # which is no speaker
    assert second.speaker_id == "B"
    assert second.start_time == pytest.approx(1.8, abs=0.1)
    assert second.end_time == pytest.approx(2.55, abs=0.1)
    assert second.words is not None
    assert [str(word) for word in second.words] == ["How", "are", "you?"]
    assert second.metadata is not None
    assert second.metadata["end_of_turn_confidence"] == 1.0
    assert second.metadata["language_confidence"] > 0
    used = [e.recognition_usage for e in events if e.recognition_usage is not None]
    assert 0 < sum(u.audio_duration for u in used) <= 4.0


@pytest.mark.parametrize("format_turns", [None, False, True])
async def test_universal_streaming(format_turns: bool | None) -> None:
    options: dict[str, Any] = {"model": "universal-streaming-english"}
    if format_turns is not None:
        options["format_turns"] = format_turns
    engine = ScriptEngine(
        [say("hello world", at_ms=0), say("how", 600, "are you", at_ms=2000)]
    )
    async with Emulator(engine) as emulator:
        events = await recognise(emulator, silence(4500), **options)
    told = [kind for kind in kinds(events) if kind not in (USAGE, INTERIM)]
    # The model has no SpeechStarted. The pause in the second turn is a preflight.
    turns = [PREFLIGHT, FINAL, END, PREFLIGHT, PREFLIGHT, FINAL, END]
    assert told[: len(turns)] == turns
    assert texts(events, PREFLIGHT) == ["hello world", "how", "are you"]
    if format_turns:
        assert told == turns
        assert texts(events, FINAL) == ["Hello world.", "How are you?"]
    else:  # the model says good-bye with an empty turn, which the plugin hands on
        assert told[len(turns) :] == [FINAL, END]
        assert texts(events, FINAL) == ["hello world", "how are you", ""]


async def test_force_endpoint() -> None:
    engine = ScriptEngine([say("one two three four", at_ms=0)])
    async with (
        Emulator(engine, service=STEADY) as emulator,
        streaming(emulator) as stream,
    ):
        push(stream, silence(600))
        events = []
        async for event in stream:
            events.append(event)
            if texts([event], INTERIM) == ["one two"]:
                stream.force_endpoint()
            elif texts([event], FINAL) == ["One two."]:
                push(stream, silence(600))
                stream.end_input()
    assert texts(events, FINAL) == ["One two.", "Three four."]


async def test_updates_take_effect() -> None:
    layout = MarkedLayout(words_per_turn=1, turn_gap_ms=400)
    audio = marked_audio(6, layout=layout).tobytes()
    third = len(audio) // 2
    async with (
        Emulator(MarkedEngine(), service=STEADY) as emulator,
        streaming(emulator, min_turn_silence=1000, max_turn_silence=1000) as stream,
    ):
        push(stream, audio[:third])
        events = []
        async for event in stream:
            events.append(event)
            if texts([event], INTERIM) == ["w0000 w0001 w0002"]:
                stream.update_options(min_turn_silence=200, max_turn_silence=200)
                push(stream, audio[third:])
                stream.end_input()
    assert texts(events, FINAL) == ["W0000 w0001 w0002.", "W0003.", "W0004.", "W0005."]


async def test_marked_words_through_the_plugin() -> None:
    async with Emulator(MarkedEngine()) as emulator:
        events = await recognise(emulator, marked_audio(20).tobytes())
    finals = [e.alternatives[0] for e in events if e.type == FINAL]
    words = [
        (str(word), round(1000 * float(word.start_time or 0)))
        for final in finals
        for word in final.words or ()
    ]
    shift = words[0][1] - MarkedLayout().start_ms(0)
    assert shift >= 0  # the plugin adds the time its start took
    assert check_marked(words, count=20, offset_ms=shift) == []


async def test_a_refused_key_is_an_error() -> None:
    async with (
        Emulator(ScriptEngine(), api_keys={"good"}) as emulator,
        streaming(emulator) as stream,
    ):
        push(stream, silence(100))
        with pytest.raises(APIStatusError) as refused:
            async for _ in stream:
                pass
    assert "1008" in str(refused.value.body)
    async with Emulator(
        ScriptEngine(), api_keys={"good"}, service=DOCUMENTED
    ) as emulator:
        with pytest.raises(aiohttp.WSServerHandshakeError) as answered:
            await recognise(emulator, silence(100))
    assert answered.value.status == 401


async def test_bad_chunks_are_an_error() -> None:
    async with (
        Emulator(ScriptEngine()) as emulator,
        streaming(emulator, buffer_size_seconds=0.02) as stream,
    ):
        push(stream, silence(2000))
        with pytest.raises(APIStatusError, match="closed unexpectedly") as ended:
            async for _ in stream:
                pass
    assert "3007" in str(ended.value.body)
