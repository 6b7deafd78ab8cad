"""`STT.recognize`: a whole recording at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
)
from livekit.agents.metrics import STTMetrics
from livekit.agents.stt import SpeechData, SpeechEventType

from aai_stream.emulator.engines.marked import (
    MarkedEngine,
    MarkedLayout,
    check_marked,
    marked_audio,
)
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.server import Emulator
from tests.livekit.scripts import final, turn, words
from tests.livekit.servers import (
    AT_ONCE,
    NO_RETRY,
    Server,
    begin,
    deaf_server,
    errors_of,
    make_stt,
    silence,
    to_frames,
)
from tests.servers import BEGIN, until, within
from tests.talks import Talk

HELLO = [(0.2, turn("Hello")), (0.5, final("Hello world.", 200))]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(MarkedEngine()) as server:
        yield server


async def recognise(url: str, buffer: Any, **options: Any) -> SpeechData:
    """The one alternative that `recognize` gives."""
    event = await within(10, make_stt(url, **options).recognize(buffer))
    assert event.type == SpeechEventType.FINAL_TRANSCRIPT
    assert event.request_id
    (data,) = event.alternatives
    assert isinstance(data, SpeechData)
    return data


def check_words(data: SpeechData, count: int, layout: MarkedLayout) -> None:
    """Find all words of marked audio, each in its place."""
    said = [
        (str(word), round(1000 * float(word.start_time or 0)))
        for word in data.words or ()
    ]
    assert check_marked(said, count=count, layout=layout) == []
    assert data.text.lower().replace(".", "").split() == [
        f"w{number:04}" for number in range(count)
    ]


LAYOUT = MarkedLayout()


@pytest.mark.parametrize("as_list", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
async def test_audio_of_any_kind(
    emulator: Emulator, rate: int, channels: int, as_list: bool
) -> None:
    pcm = np.repeat(marked_audio(6, sample_rate=rate), channels).tobytes()
    frames = to_frames(pcm, rate, channels, frame_ms=20)
    buffer = frames if as_list else rtc.combine_audio_frames(frames)
    check_words(await recognise(emulator.url, buffer), 6, LAYOUT)


async def test_the_rate_may_be_the_inputs_own(emulator: Emulator) -> None:
    frames = to_frames(marked_audio(3, sample_rate=24_000).tobytes(), 24_000)
    check_words(await recognise(emulator.url, frames, sample_rate="native"), 3, LAYOUT)
    async with Server() as server:
        await recognise(server.url, frames, sample_rate="native")
    assert server.talks[0].query["sample_rate"] == "24000"
    assert server.talks[0].audio.startswith(frames[0].data.tobytes())


@pytest.mark.parametrize("replay_seconds", [30, 1])
async def test_a_recording_longer_than_what_is_kept(
    emulator: Emulator, replay_seconds: float
) -> None:
    layout = MarkedLayout(words_per_turn=3, turn_gap_ms=1500)
    count = 60
    audio = marked_audio(count, layout=layout)
    assert len(audio) > 40 * 16_000
    frame = rtc.AudioFrame(audio.tobytes(), 16_000, 1, len(audio))
    data = await recognise(emulator.url, frame, replay_seconds=replay_seconds)
    check_words(data, count, layout)


async def test_nothing_said_is_an_empty_text() -> None:
    async with Server() as server:
        data = await recognise(server.url, to_frames(silence(1)))
    assert (data.text, data.words) == ("", [])
    assert (data.confidence, data.start_time, data.end_time) == (0, 0, 0)
    assert server.talks[0].seconds == 1


async def test_all_turns_are_one_text() -> None:
    engine = ScriptEngine(
        [
            say("hello world", at_ms=200, confidence=0.9),
            say("how are you", at_ms=2000, confidence=0.4),
        ]
    )
    async with Emulator(engine) as server:
        data = await recognise(server.url, to_frames(silence(4)))
    assert data.text == "Hello world. How are you?"
    assert data.words is not None
    assert [str(word) for word in data.words] == [
        *("Hello", "world."),
        *("How", "are", "you?"),
    ]
    assert data.start_time == pytest.approx(0.2)
    assert data.end_time == pytest.approx(2.75)
    assert data.confidence == pytest.approx((2 * 0.9 + 3 * 0.4) / 5)


async def test_a_turn_is_told_once_with_formatting() -> None:
    script = [
        (0.3, turn("hello world", transcript="hello world", end_of_turn=True)),
        (0.5, final("Hello world.", 200)),
    ]
    async with Server(script=script) as server:
        data = await recognise(
            server.url,
            to_frames(silence(0.5)),
            model="universal-streaming-english",
            format_turns=True,
        )
    assert data.text == "Hello world."


@pytest.mark.parametrize(
    ("labels", "speaker"),
    [
        (["A", "A"], "A"),
        (["A", "B"], None),
        (["PENDING", "PENDING"], None),
        (["UNKNOWN", "UNKNOWN"], None),
    ],
)
async def test_a_single_speaker_is_told(labels: list[str], speaker: str | None) -> None:
    script = [
        (0.5 * n, final("So.", 100, turn_order=n, speaker_label=label))
        for n, label in enumerate(labels, start=1)
    ]
    async with Server(script=script) as server:
        data = await recognise(server.url, to_frames(silence(1)))
    assert data.text == "So. So."
    assert data.speaker_id == speaker


async def test_the_language() -> None:
    frames = to_frames(silence(0.5))
    async with Server(script=HELLO) as server:
        stt = make_stt(server.url)
        event = await stt.recognize(frames, language="es-ES")
        assert event.alternatives[0].language == "es-ES"
        event = await stt.recognize(frames)
        assert event.alternatives[0].language == "en"
    steered, plain = server.talks
    assert steered.query["language_codes"] == '["es"]'
    assert "language_codes" not in plain.query
    script = [(0.5, final("Hola.", 200, language_code="es"))]
    async with Server(script=script) as server:
        event = await make_stt(server.url).recognize(frames, language="en")
        assert event.alternatives[0].language == "es"


async def test_the_session_is_ended_and_named() -> None:
    async with Server(script=HELLO) as server:
        event = await make_stt(server.url).recognize(to_frames(silence(0.51)))
        await until(lambda: server.talks[0].closed)
    assert event.request_id == BEGIN["id"]
    (client,) = server.talks
    assert client.asked == ["Terminate"]
    assert client.seconds == 0.55  # the tail is padded


async def test_metrics_tell_how_long_the_recording_was() -> None:
    metrics: list[STTMetrics] = []
    async with Server(script=HELLO) as server:
        stt = make_stt(server.url)
        stt.on("metrics_collected", metrics.append)
        await stt.recognize(to_frames(silence(0.5)))
    (metric,) = metrics
    assert metric.audio_duration == pytest.approx(0.5)
    assert not metric.streamed


async def test_several_at_once(emulator: Emulator) -> None:
    stt = make_stt(emulator.url)
    buffers = [to_frames(marked_audio(n).tobytes()) for n in (1, 2, 3)]
    events = await within(10, asyncio.gather(*map(stt.recognize, buffers)))
    for count, event in enumerate(events, start=1):
        check_words(event.alternatives[0], count, LAYOUT)


# ---- failures ----


async def failure(url: str, conn_options: APIConnectOptions = NO_RETRY) -> APIError:
    """What `recognize` raises."""
    with pytest.raises(APIError) as caught:
        await make_stt(url).recognize(
            to_frames(silence(0.5)), conn_options=conn_options
        )
    return caught.value


@pytest.mark.parametrize(
    ("status", "retryable"), [(401, False), (403, False), (429, True), (503, True)]
)
async def test_a_refused_handshake(status: int, retryable: bool) -> None:
    async with Server(refuse=[status]) as server:
        failed = await failure(server.url)
    assert isinstance(failed, APIStatusError)
    assert (failed.status_code, failed.retryable) == (status, retryable)


@pytest.mark.parametrize(
    ("code", "retryable"),
    [(1008, False), (1011, True), (3005, True), (3006, False), (3009, True)],
)
async def test_a_closed_session(code: int, retryable: bool) -> None:
    async def behave(client: Talk) -> None:
        await client.say(BEGIN)
        await client.close(code)

    async with Server(behave) as server:
        failed = await failure(server.url)
    assert isinstance(failed, APIStatusError)
    assert (failed.status_code, failed.retryable) == (code, retryable)
    assert failed.request_id == "session-1"


async def test_no_answer_in_time() -> None:
    async with deaf_server() as url:
        failed = await failure(url, APIConnectOptions(max_retry=0, timeout=0.1))
    assert isinstance(failed, APITimeoutError)


@pytest.mark.parametrize(("status", "calls"), [(401, 1), (503, 3)])
async def test_livekit_tries_again(status: int, calls: int) -> None:
    async with Server(refuse=[status] * 9) as server:
        stt = make_stt(server.url)
        errors = errors_of(stt)
        with pytest.raises(APIConnectionError if calls > 1 else APIStatusError):
            await stt.recognize(to_frames(silence(0.5)), conn_options=AT_ONCE)
    assert len(server.calls) == calls
    assert [error.recoverable for error in errors] == [True] * (calls - 1) + [False]


async def test_all_of_it_is_sent_again_after_a_lost_session() -> None:
    async def behave(client: Talk) -> None:
        await client.say(BEGIN)
        if client is server.talks[0]:
            await until(lambda: client.seconds >= 0.3)
            client.cut()

    async with Server(behave, script=HELLO, refuse=[503]) as server:
        stt = make_stt(server.url)
        event = await within(
            5, stt.recognize(to_frames(silence(1)), conn_options=AT_ONCE)
        )
    assert event.alternatives[0].text == "Hello world."
    assert server.talks[1].seconds == 1


async def test_one_that_is_cancelled_ends_its_session() -> None:
    async with Server() as server:
        stt = make_stt(server.url, catch_up_rate=1.25)
        recognising = asyncio.ensure_future(stt.recognize(to_frames(silence(60))))
        client = await server.client()
        await until(lambda: client.seconds > 0)
        recognising.cancel()
        with pytest.raises(asyncio.CancelledError):
            await recognising
        await until(lambda: client.closed)
    assert client.asked == ["Terminate"]
    assert client.seconds < 10


async def test_words_without_a_final_are_no_transcript() -> None:
    async def behave(client: Talk) -> None:
        await begin(client)
        if client is server.talks[0]:
            await client.say(turn("Hello", words=words("Hello")))

    async with Server(behave) as server:
        failed = await failure(server.url)
        assert isinstance(failed, APIConnectionError)
        assert failed.retryable
        assert "not transcribed: 0.00 to 0.50 s" in str(failed)
        assert "Hello" not in str(failed)
        server.talks.clear()
        errors = errors_of(stt := make_stt(server.url))
        event = await stt.recognize(to_frames(silence(0.5)), conn_options=AT_ONCE)
    assert event.alternatives[0].text == ""
    assert [error.recoverable for error in errors] == [True]
