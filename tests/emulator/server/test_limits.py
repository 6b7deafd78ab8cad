"""What clients may send, and how the session ends if they send something else."""

from __future__ import annotations

import pytest

from aai_stream.emulator.engines.engine import TurnSettings
from aai_stream.emulator.engines.marked import MarkedEngine, check_marked, marked_audio
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.server import Emulator, Service
from tests.emulator.helpers import (
    PuppetEngine,
    connection,
    finals,
    turns,
)
from tests.emulator.reference import encode_mulaw

ENGLISH = "universal-streaming-english"


def chunk(ms: float) -> bytes:
    """Silence, PCM16 at 16 kHz."""
    return bytes(2 * round(ms * 16))


# Audio messages


@pytest.mark.parametrize("ms", [50, 100, 1000])
async def test_good_chunks_are_heard(engine: PuppetEngine, ms: int) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        for _ in range(3):
            await client.ws.send_bytes(chunk(ms))
        await client.send("Terminate")
        (termination,) = await client.rest()
        assert termination["audio_duration_seconds"] == round(3 * ms / 1000)
        assert len(engine.puppets[0].pcm) == 3 * len(chunk(ms))


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ([1000.0625], "1000.1 ms"),
        ([100, 2000], "2000.0 ms"),
        ([20] * 52, "20.0 ms"),
        ([49.9375 - 0.0625] * 22, "49.9 ms"),
    ],
)
async def test_bad_chunks_end_the_session(
    engine: PuppetEngine, chunks: list[float], told: str
) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        for ms in chunks:
            await client.ws.send_bytes(chunk(ms))
        error = await client.error()
        assert error["error_code"] == 3007
        assert error["error"].endswith(f"{told}. Expected between 50 and 1000 ms")
        assert engine.puppets[0].closed.is_set()


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ([49.9375 - 0.0625, 50], "49.9 ms"),
        ([20, 20], "20.0 ms"),
        ([100, 10, 100], "10.0 ms"),
    ],
)
async def test_short_chunks_are_bad_at_once_by_the_documentation(
    engine: PuppetEngine, chunks: list[float], told: str
) -> None:
    service = Service(short_audio_ms=0)
    async with Emulator(engine, service=service) as emulator, connection(emulator) as c:
        for ms in chunks:
            await c.ws.send_bytes(chunk(ms))
        assert f" {told}. Expected between" in (await c.error())["error"]


async def test_a_second_of_short_chunks_is_tolerated(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        for ms in [*[20] * 50, 10]:
            await client.ws.send_bytes(chunk(ms))
        await client.send("Terminate")
        await client.rest()
        assert client.close_code == 1000


async def test_the_last_chunk_may_be_short(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.ws.send_bytes(chunk(50))
        await client.ws.send_bytes(chunk(10))
        await client.send("ForceEndpoint")
        await client.send("Terminate")
        await client.rest()
        assert client.close_code == 1000
        assert len(engine.puppets[0].pcm) == len(chunk(60))
        assert engine.puppets[0].forced == 1


async def test_fifty_ms_may_lack_part_of_a_sample(engine: PuppetEngine) -> None:
    async with (
        Emulator(engine) as emulator,
        connection(emulator, sample_rate=22_050) as client,
    ):
        for _ in range(2):
            await client.ws.send_bytes(bytes(2 * 1102))  # 1102.5 would be 50 ms
        await client.send("Terminate")
        await client.rest()
        assert client.close_code == 1000


async def test_half_a_sample_is_bad_input(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.ws.send_bytes(bytes(1601))
        assert (await client.error())["error_code"] == 3006


@pytest.mark.parametrize("text", [False, True])
async def test_big_messages_end_the_session(engine: PuppetEngine, text: bool) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        if text:
            await client.ws.send_str(" " * 128 * 1024)
        else:
            await client.ws.send_bytes(bytes(128 * 1024))
        assert await client.rest() == []
        assert client.close_code == 1009
        await engine.puppets[0].closed.wait()


async def test_mulaw_is_decoded(engine: PuppetEngine) -> None:
    async with (
        Emulator(engine) as emulator,
        connection(emulator, encoding="pcm_mulaw", sample_rate=8000) as client,
    ):
        await client.ws.send_bytes(b"\xff\x00\x80\xaf" + b"\xff" * 397)
        await client.send("Terminate")
        await client.rest()
        samples = memoryview(engine.puppets[0].pcm).cast("h")
        assert samples[:4].tolist() == [0, -32124, 32124, 4092]
        assert len(samples) == 401  # an odd number of bytes is fine here


async def test_marked_words_survive_mulaw() -> None:
    audio = encode_mulaw(marked_audio(10, sample_rate=8000))
    async with (
        Emulator(MarkedEngine()) as emulator,
        connection(
            emulator, speech_model=ENGLISH, encoding="pcm_mulaw", sample_rate=8000
        ) as client,
    ):
        for start in range(0, len(audio), 400):
            await client.ws.send_bytes(audio[start : start + 400])
        await client.send("Terminate")
        ends = [t for t in turns(await client.rest()) if t["end_of_turn"]]
        words = [(w["text"], w["start"]) for turn in ends for w in turn["words"]]
        assert check_marked(words, count=10) == []


# Text messages


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{not json", "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
        ("[]", "Invalid Message"),
        ("{}", "Invalid Message"),
        ('{"type": 1}', "Invalid Message"),
        ('{"type": "Bogus"}', "Invalid Message Type: Bogus"),
        (
            '{"type": "UpdateConfiguration", "min_turn_silence": "long"}',
            "min_turn_silence must be a whole number",
        ),
        (
            '{"type": "UpdateConfiguration", "vad_threshold": 2}',
            "vad_threshold must be from 0 to 1",
        ),
    ],
)
async def test_bad_messages_end_the_session(
    engine: PuppetEngine, text: str, told: str
) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.ws.send_str(text)
        error = await client.error()
        assert error["error_code"] == 3006
        assert told in error["error"]


async def test_updates_reach_the_recogniser(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.send(
            "UpdateConfiguration", min_turn_silence=300, max_turn_silence=None
        )
        await client.settle()
        assert engine.puppets[0].settings == TurnSettings(300, 1280, 60_000)
        await client.send("UpdateConfiguration", max_turn_silence=500)
        await client.settle()
        assert engine.puppets[0].settings == TurnSettings(300, 500, 60_000)


async def test_a_context_that_is_too_long_cancels_the_session(
    engine: PuppetEngine,
) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.send("UpdateConfiguration", agent_context="x" * 1751)
        error = await client.error()
        assert error["error"] == "Session Cancelled: An error occurred"
        assert error["error_code"] == 3005


@pytest.mark.parametrize(
    ("fields", "logged"),
    [
        ({"min_turn_silense": 1}, "no parameter 'min_turn_silense'"),
        ({"sample_rate": 8000}, "sample_rate can't be changed"),
        ({"format_turns": True}, "format_turns does not work with"),
    ],
)
async def test_what_an_update_can_not_do_is_ignored_and_logged(
    engine: PuppetEngine,
    caplog: pytest.LogCaptureFixture,
    fields: dict[str, object],
    logged: str,
) -> None:
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.send("UpdateConfiguration", **fields)
        assert [m["type"] for m in await client.transcribe(0)] == ["Termination"]
    assert logged in caplog.text


async def test_formatting_can_be_switched_on_live() -> None:
    engine = ScriptEngine([say("one", at_ms=0), say("two", at_ms=1000)])
    async with (
        Emulator(engine) as emulator,
        connection(emulator, speech_model=ENGLISH) as client,
    ):
        await client.audio(900)
        await client.send("UpdateConfiguration", format_turns=True)
        assert finals(await client.transcribe(1000)) == ["one", "two", "Two.", ""]


async def test_force_endpoint_ends_the_turn() -> None:
    engine = ScriptEngine([say("one two three four", at_ms=0)])
    async with Emulator(engine) as emulator, connection(emulator) as client:
        await client.audio(600)
        await client.send("ForceEndpoint")
        await client.audio(600)
        assert finals(await client.transcribe(0)) == ["One two.", "Three four."]
