"""What a stream tells besides words: when, how much, and what the server remarked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from livekit.agents import APIConnectOptions, APIError
from livekit.agents.metrics import STTMetrics
from livekit.agents.stt import SpeechEvent, SpeechEventType

from aai_stream import messages
from aai_stream.livekit import STT, ServerMessage, SpeechStream
from tests.audio import count_up, to_samples
from tests.livekit.scripts import ASIDES, final, started, turn, words
from tests.livekit.servers import (
    FINAL,
    NO_RETRY,
    Server,
    begin_then,
    closing,
    collect,
    make_stt,
    next_of,
    push,
    silence,
    streaming,
    texts,
)
from tests.servers import BEGIN, until
from tests.talks import Talk

USAGE = SpeechEventType.RECOGNITION_USAGE
STARTED = SpeechEventType.START_OF_SPEECH
RESUMES = 0.7
"""Where a session begins that follows a final whose last word ended at 0.7 s."""
RETRY = APIConnectOptions(max_retry=3, retry_interval=0)


def gated(gate: asyncio.Event) -> Callable[[Talk], Any]:
    """Begin when the gate is open."""

    async def behave(client: Talk) -> None:
        await gate.wait()
        await client.say(BEGIN)

    return behave


def times(event: SpeechEvent) -> list[tuple[float, float]]:
    """Of the words, in seconds."""
    (data,) = event.alternatives
    return [
        (round(float(word.start_time or 0), 6), round(float(word.end_time or 0), 6))
        for word in data.words or ()
    ]


def since_start(event: SpeechEvent, stream: SpeechStream) -> float:
    """When speech began, in seconds of the stream."""
    assert event.speech_start_time is not None
    return round(event.speech_start_time - stream.start_time, 6)


# ---- times ----


async def test_time_counts_from_the_first_sample_however_long_connecting_takes() -> (
    None
):
    gate = asyncio.Event()
    script = [(0.3, started(200)), (0.5, final("Hello world.", 200))]
    async with (
        Server(gated(gate), script=script) as server,
        streaming(server.url) as stream,
    ):
        await server.client()
        before = time.time()
        push(stream, silence(0.5))
        after = time.time()
        start = stream.start_time
        # The first frame, of 10 ms, ended when it was pushed.
        assert before - 0.01 <= start <= after - 0.01
        await asyncio.sleep(0.1)
        gate.set()
        assert since_start(await next_of(stream, STARTED), stream) == 0.2
        said = await next_of(stream, FINAL)
        assert times(said) == [(0.2, 0.45), (0.45, 0.7)]
        assert said.alternatives[0].start_time == pytest.approx(0.2)
        assert said.alternatives[0].end_time == pytest.approx(0.7)
        assert stream.start_time == start
        assert stream.start_time_offset == 0


async def test_before_any_audio_the_stream_starts_with_itself() -> None:
    async with Server() as server:
        before = time.time()
        async with streaming(server.url) as stream:
            assert before <= stream.start_time <= time.time()


async def test_retries_add_nothing_to_the_times() -> None:
    script = [(0.3, started(200)), (0.5, final("Hello world.", 200))]
    async with (
        Server(script=script, refuse=[503, 503]) as server,
        streaming(server.url, conn_options=RETRY) as stream,
    ):
        push(stream, silence(0.5))
        start = stream.start_time
        assert since_start(await next_of(stream, STARTED), stream) == 0.2
        assert times(await next_of(stream, FINAL)) == [(0.2, 0.45), (0.45, 0.7)]
        assert stream.start_time == start
        assert stream.start_time_offset == 0


async def test_times_go_on_in_a_session_that_replaces_another() -> None:
    """It begins behind the last final, and what it says is moved by that much."""

    async def behave(client: Talk) -> None:
        await client.say(BEGIN)
        if client is server.talks[0]:
            await until(lambda: client.seconds >= 1)
            await client.say(final("Hello world.", 200))  # up to 0.7 s
            client.cut()
            return
        await until(lambda: client.seconds >= 0.5)
        await client.say(started(100), final("So.", 100))

    audio = count_up(0, 24_000)
    async with (
        Server(behave) as server,
        streaming(server.url, conn_options=RETRY) as stream,
    ):
        push(stream, audio[:32_000])
        assert times(await next_of(stream, FINAL))[0] == (0.2, 0.45)
        push(stream, audio[32_000:])
        begin, end = round(RESUMES + 0.1, 6), round(RESUMES + 0.35, 6)
        assert since_start(await next_of(stream, STARTED), stream) == begin
        assert times(await next_of(stream, FINAL)) == [(begin, end)]
        assert stream.start_time_offset == 0
        stream.end_input()
        await collect(stream)
    heard = [to_samples(client.audio) for client in server.talks]
    assert heard[0] == to_samples(audio[:32_000])
    rest = to_samples(audio)[round(RESUMES * 16_000) :]
    assert heard[1][: len(rest)] == rest


async def test_the_callers_offset_is_added_to_words_alone() -> None:
    script = [(0.3, started(200)), (0.5, final("Hello world.", 200))]
    async with Server(script=script) as server, streaming(server.url) as stream:
        stream.start_time_offset = 100.5
        push(stream, silence(0.5))
        assert since_start(await next_of(stream, STARTED), stream) == 0.2
        assert times(await next_of(stream, FINAL))[0] == (100.7, 100.95)
        stream.start_time = 1000.0
        assert (stream.start_time, stream.start_time_offset) == (1000.0, 100.5)
        with pytest.raises(ValueError, match="negative"):
            stream.start_time_offset = -1
        with pytest.raises(ValueError, match="negative"):
            stream.start_time = -1


async def test_padding_of_a_flush_does_not_move_what_follows() -> None:
    """The server counts the padding; the caller's clock does not."""

    async def behave(client: Talk) -> None:
        await client.say(BEGIN)
        await until(lambda: client.seconds >= 0.5)
        await client.say(final("So.", 200))

    async with Server(behave) as server, streaming(server.url) as stream:
        await until(lambda: stream.session_id is not None)
        push(stream, silence(0.01))
        stream.flush()  # 40 ms of padding
        push(stream, silence(0.45))
        assert times(await next_of(stream, FINAL)) == [(0.16, 0.41)]


# ---- usage ----


def used(events: Iterable[SpeechEvent]) -> float:
    """Seconds of audio that were reported."""
    usage = [e.recognition_usage for e in events if e.recognition_usage is not None]
    return round(sum(one.audio_duration for one in usage), 6)


def metrics_of(stt: STT) -> list[STTMetrics]:
    """A list that will hold the `metrics_collected` events."""
    metrics: list[STTMetrics] = []
    stt.on("metrics_collected", metrics.append)
    return metrics


def heard(server: Server) -> float:
    """Seconds of audio that the server got from all its clients."""
    return round(sum(client.seconds for client in server.talks), 6)


@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.234])
@pytest.mark.parametrize(
    "options",
    [{}, {"encoding": "pcm_mulaw"}, {"sample_rate": 8000}, {"buffer_size_seconds": 1}],
)
async def test_usage_is_all_that_was_sent(
    seconds: float, options: dict[str, Any]
) -> None:
    async with Server() as server:
        stt = make_stt(server.url, **options)
        metrics = metrics_of(stt)
        async with closing(stt.stream(conn_options=NO_RETRY)) as stream:
            push(stream, silence(seconds))
            stream.end_input()
            events = await collect(stream)
    assert used(events) == heard(server) >= round(seconds, 6)
    connected, *usage = metrics
    assert connected.audio_duration == 0
    assert round(sum(m.audio_duration for m in usage), 6) == heard(server)


async def test_usage_comes_with_the_end_of_each_turn_and_at_the_end() -> None:
    script = [
        (0.5, final("One.", 0)),
        (1.0, turn("Two", 600, turn_order=1)),
        (1.5, final("Two.", 600, turn_order=1)),
    ]
    async with Server(script=script) as server, streaming(server.url) as stream:
        reported = []
        for seconds in (0.5, 1.0):
            push(stream, silence(seconds))
            event = await next_of(stream, USAGE)
            assert event.recognition_usage is not None
            reported.append(event.recognition_usage.audio_duration)
        push(stream, silence(0.21))
        stream.end_input()
        events = await collect(stream)
    assert reported == [0.5, 1.0]
    assert [event.type for event in events] == [USAGE]
    assert used(events) == 0.25


async def test_nothing_sent_is_no_usage() -> None:
    async with Server() as server, streaming(server.url) as stream:
        stream.end_input()
        assert await collect(stream) == []


async def test_usage_counts_what_a_cut_session_had_and_what_was_sent_again() -> None:
    async def behave(client: Talk) -> None:
        await client.say(BEGIN)
        if client is server.talks[0]:
            await until(lambda: client.seconds >= 1)
            client.cut()

    async with Server(behave) as server:
        stt = make_stt(server.url)
        metrics = metrics_of(stt)
        async with closing(stt.stream(conn_options=RETRY)) as stream:
            push(stream, silence(1))
            client = await server.client(1)
            await until(lambda: client.seconds >= 1)
            push(stream, silence(0.02))
            stream.end_input()
            events = await collect(stream)
    assert [event.type for event in events] == [USAGE, USAGE]
    assert used(events) == heard(server) == 2.05
    assert round(sum(m.audio_duration for m in metrics), 6) == 2.05


async def test_usage_is_told_of_a_session_that_fails() -> None:
    async def behave(client: Talk) -> None:
        await client.say(BEGIN)
        await until(lambda: client.seconds >= 0.5)
        await client.close(3006, "bad")

    async with Server(behave) as server:
        stt = make_stt(server.url)
        metrics = metrics_of(stt)
        async with closing(stt.stream(conn_options=NO_RETRY)) as stream:
            push(stream, silence(0.5))
            with pytest.raises(APIError):
                await collect(stream)
            await until(lambda: len(metrics) == 2)
    assert metrics[1].audio_duration == heard(server) == 0.5


@pytest.mark.parametrize("is_read", [True, False])
async def test_usage_is_told_on_aclose(is_read: bool) -> None:
    async with Server() as server:
        stt = make_stt(server.url)
        metrics = metrics_of(stt)
        stream = stt.stream(conn_options=NO_RETRY)
        if is_read:
            reading = asyncio.ensure_future(collect(stream))
        client = await server.client()
        push(stream, silence(0.52))
        await until(lambda: client.seconds == 0.5)
        await stream.aclose()
        if is_read:
            assert used(await reading) == 0.5
    # What was no full chunk was not sent.
    assert round(sum(m.audio_duration for m in metrics), 6) == heard(server) == 0.5


@pytest.mark.parametrize(("counted", "differs"), [(1.2, True), (2.6, False)])
async def test_another_count_of_the_servers_is_logged(
    counted: float, differs: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server(counted=counted) as server, streaming(server.url) as stream:
        push(stream, silence(2.5))
        stream.end_input()
        await collect(stream)
    warnings = [
        record.getMessage()
        for record in caplog.records
        if record.name == "aai_stream" and record.levelno == logging.WARNING
    ]
    if not differs:
        assert warnings == []
        return
    (warning,) = warnings
    assert "session-1" in warning
    assert "2.50" in warning
    assert "1.20" in warning


# ---- the server's remarks ----


class Remarks:
    """What `server_message` told."""

    def __init__(self, stt: STT) -> None:
        self.told: list[ServerMessage] = []
        stt.on("server_message", self.told.append)

    @property
    def types(self) -> list[str]:
        return [type(said.message).__name__ for said in self.told]


async def heard_with_remarks(
    *said: dict[str, Any],
) -> tuple[list[SpeechEvent], Remarks, SpeechStream]:
    """What comes of a session in which that is said."""
    script = [(0.05 * i, message) for i, message in enumerate(said, start=1)]
    async with Server(script=script) as server:
        stt = make_stt(server.url)
        remarks = Remarks(stt)
        async with closing(stt.stream(conn_options=NO_RETRY)) as stream:
            push(stream, silence(0.05 * len(said)))
            stream.end_input()
            events = await collect(stream)
    return events, remarks, stream


async def test_all_that_livekit_has_no_event_for_is_a_server_message() -> None:
    said = [message for message in ASIDES if isinstance(message, dict)]
    events, remarks, stream = await heard_with_remarks(
        started(), turn("Hi"), *said, final("Hi.")
    )
    assert remarks.types == [
        "Begin",
        "Silence",
        "Heartbeat",
        "Warning",
        "Error",
        "SpeakerRevision",
        "LLMGatewayResponse",
        "Unknown",
        "Termination",
    ]
    assert texts(events) == ["Hi."]
    assert all(isinstance(one, ServerMessage) for one in remarks.told)
    assert all(one.stream is stream for one in remarks.told)
    told = {type(one.message): one.message for one in remarks.told}
    begin = told[messages.Begin]
    assert isinstance(begin, messages.Begin)
    assert begin.id == BEGIN["id"] == stream.session_id
    assert begin.expires_at == BEGIN["expires_at"] == stream.expires_at
    assert told[messages.Unknown] == messages.Unknown("Brandnew", said[-1])
    assert told[messages.Error] == messages.Error(error="well", error_code=3005)
    termination = told[messages.Termination]
    assert isinstance(termination, messages.Termination)
    assert termination.audio_duration_seconds == pytest.approx(0.5)


async def test_remarks_have_stream_time_in_a_second_session() -> None:
    remark = {"type": "Silence", "start_ms": 0, "end_ms": 200}
    revision = {
        "type": "SpeakerRevision",
        "revisions": [{"turn_order": 0, "speaker_label": "B", "words": words("So", 0)}],
    }

    async def behave(client: Talk) -> None:
        await client.say(BEGIN)
        if client is server.talks[0]:
            await until(lambda: client.seconds >= 1)
            await client.say(final("Hello world.", 200))  # up to 0.7 s
            client.cut()
            return
        await until(lambda: client.seconds >= 0.2)
        await client.say(remark, revision)

    async with Server(behave) as server:
        stt = make_stt(server.url)
        remarks = Remarks(stt)
        async with closing(stt.stream(conn_options=RETRY)) as stream:
            push(stream, silence(1))
            await until(lambda: remarks.types[-1:] == ["SpeakerRevision"])
    assert remarks.types == ["Begin", "Begin", "Silence", "SpeakerRevision"]
    quiet, revised = (one.message for one in remarks.told[2:])
    assert isinstance(quiet, messages.Silence)
    begins_ms = round(RESUMES * 1000)
    assert (quiet.start_ms, quiet.end_ms) == (begins_ms, begins_ms + 200)
    assert isinstance(revised, messages.SpeakerRevision)
    (one,) = revised.revisions
    # The second session's first turn is the stream's second.
    assert (one.turn_order, one.words[0].start) == (1, begins_ms)


async def test_two_streams_tell_which_of_them_was_spoken_to() -> None:
    async with Server() as server:
        stt = make_stt(server.url)
        remarks = Remarks(stt)
        async with (
            closing(stt.stream(conn_options=NO_RETRY)) as one,
            closing(stt.stream(conn_options=NO_RETRY)) as other,
        ):
            await until(lambda: len(remarks.told) == 2)
    assert {id(said.stream) for said in remarks.told} == {id(one), id(other)}


async def test_lost_audio_is_told() -> None:
    gate = asyncio.Event()
    async with Server(gated(gate)) as server:
        stt = make_stt(server.url, replay_seconds=1)
        remarks = Remarks(stt)
        async with closing(stt.stream(conn_options=NO_RETRY)) as stream:
            push(stream, silence(1.5))
            gate.set()
            stream.end_input()
            await collect(stream)
    assert sorted(remarks.types) == ["AudioLost", "Begin", "Termination"]
    (lost,) = (
        said.message
        for said in remarks.told
        if isinstance(said.message, messages.AudioLost)
    )
    assert lost.start_ms == 0
    assert lost.end_ms == pytest.approx(500, abs=50)
    assert heard(server) == pytest.approx(1.5 - lost.end_ms / 1000)


def give_up(said: ServerMessage) -> None:
    raise LookupError("a bug of the caller's")


def take_nothing() -> None:
    """A callback that was declared without its argument."""


def take_too_much(said: ServerMessage, more: int) -> None:
    """A callback that wants what nobody gives."""


def stumble(said: ServerMessage) -> None:
    raise TypeError("a bug of the caller's")


@pytest.mark.parametrize("callback", [give_up, take_nothing, take_too_much, stumble])
async def test_a_callback_that_fails_does_not_hurt_the_stream(
    callback: Callable[..., None],
) -> None:
    async with Server(begin_then(ASIDES[2]), script=[(0.5, final("Hi."))]) as server:
        stt = make_stt(server.url)
        stt.on("server_message", callback)
        remarks = Remarks(stt)
        async with closing(stt.stream(conn_options=NO_RETRY)) as stream:
            push(stream, silence(0.5))
            stream.end_input()
            assert texts(await collect(stream)) == ["Hi."]
    if callback in (give_up, take_nothing):
        assert remarks.types == ["Begin", "Warning", "Termination"]


async def test_a_metrics_callback_that_fails_does_not_hurt_the_stream() -> None:
    """Not even with the one error that LiveKit's emitter lets pass."""
    called = 0

    def stumble(metrics: STTMetrics) -> None:
        nonlocal called
        called += 1
        raise TypeError("a bug of the caller's")

    async with Server(script=[(0.5, final("Hi."))]) as server:
        stt = make_stt(server.url)
        stt.on("metrics_collected", stumble)
        async with closing(stt.stream(conn_options=NO_RETRY)) as stream:
            push(stream, silence(0.5))
            stream.end_input()
            assert texts(await collect(stream)) == ["Hi."]
    assert called == 2  # of the connection, and of what was sent


# ---- counts ----


async def test_a_streams_counts() -> None:
    script = [(0.5, final("One.", 0))]
    async with (
        Server(script=script) as server,
        streaming(server.url, sample_rate="native") as stream,
    ):
        assert stream.stats is None
        push(stream, silence(0.5))
        stream.end_input()
        await collect(stream)
        stats = stream.stats
    assert stats is not None
    assert (stats.sessions, stats.turns, stats.waited_seconds > 0) == (1, 1, True)
    assert stats.written_samples == stats.sent_samples == 8000
    assert stats.heard_seconds == heard(server) == 0.5
