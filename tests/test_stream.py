"""A stream against the embedded server: audio in, turns out, errors by type."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

import aai_stream
from aai_stream import messages
from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.server import Emulator
from aai_stream.errors import (
    AudioError,
    DroppedError,
    EndedError,
    OptionError,
    RefusedError,
    RejectedError,
    StateError,
    TimedOutError,
)
from tests.audio import speech
from tests.servers import (
    begin_then,
    read_to_end,
    terminate_when_asked,
    until,
    websocket_server,
    within,
)

SCRIPT = [say("hello world", at_ms=200), say("how are you", at_ms=2000)]
SECOND = bytes(32_000)

connect = partial(aai_stream.connect, catch_up_rate=math.inf)


async def collect(stream: aai_stream.Stream) -> list[Any]:
    return [event async for event in stream]


def finals(events: list[Any]) -> list[messages.Turn]:
    return [e for e in events if isinstance(e, messages.Turn) and e.end_of_turn]


async def test_a_whole_conversation() -> None:
    async with (
        Emulator(ScriptEngine(SCRIPT)) as server,
        connect(api_key="k", base_url=server.url) as stream,
    ):
        assert stream.session_id
        reading = asyncio.ensure_future(collect(stream))
        for _ in range(4):
            stream.push(SECOND)
            await stream.drain()
        termination = await within(5, stream.end())
        events = await within(5, reading)
        assert stream.stats.turns == 2
    assert isinstance(events[0], messages.Begin)
    assert events[-1] is termination
    assert termination is not None
    assert termination.audio_duration_seconds == 4
    assert [turn.transcript for turn in finals(events)] == [
        "Hello world.",
        "How are you?",
    ]
    assert finals(events)[1].words[0].start == 2000


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
async def test_every_sample_arrives_whatever_the_input(
    rate: int, channels: int
) -> None:
    audio = np.repeat(marked_audio(6, sample_rate=rate), channels)
    step = rate * 3 // 100 * channels
    async with (
        Emulator(MarkedEngine()) as server,
        connect(api_key="k", base_url=server.url) as stream,
    ):
        for start in range(0, len(audio), step):
            block = audio[start : start + step]
            stream.push(block, sample_rate=rate, num_channels=channels)
            await stream.drain()
        await within(5, stream.end())
        turns = finals(await collect(stream))
        stats = stream.stats
    heard = " ".join(turn.transcript for turn in turns).lower()
    said = [word.strip(".,?") for word in heard.split()]
    assert said == [f"w{k:04}" for k in range(6)]
    frames = len(audio) // channels
    assert stats.written_samples == round(frames * 16000 / rate)
    assert stats.sent_samples == stats.written_samples
    assert stats.dropped_samples == 0
    assert stats.pending_ms == 0


async def test_mu_law_is_half_the_bytes_and_the_same_words() -> None:
    async with (
        Emulator(MarkedEngine()) as server,
        connect(api_key="k", base_url=server.url, encoding="pcm_mulaw") as stream,
    ):
        stream.push(marked_audio(3))
        await stream.drain()
        await within(5, stream.end())
        turns = finals(await collect(stream))
    assert "W0000 w0001 w0002" in " ".join(turn.transcript for turn in turns)


async def test_a_full_chunk_is_sent_before_push_returns() -> None:
    """No task or loop turn between: the server's socket has it when push is done."""
    received: list[bytes] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        received.extend(await terminate_when_asked(socket))

    async with (
        websocket_server(handler) as url,
        connect(api_key="k", base_url=url, chunk_ms=60) as stream,
    ):
        stream.push(bytes(1918))
        assert stream.stats.sent_samples == 0
        stream.push(bytes(4))
        assert stream.stats.sent_samples == 960
        stream.push(bytes(1920 * 3))
        assert stream.stats.sent_samples == 960 * 4
        await stream.end()
    audio = [data for data in received if isinstance(data, bytes)]
    assert [len(data) for data in audio] == [1920] * 4 + [1600]


async def test_flush_sends_the_tail_and_time_goes_on_unbroken() -> None:
    async with (
        Emulator(ScriptEngine([say("late", at_ms=1100)])) as server,
        connect(api_key="k", base_url=server.url) as stream,
    ):
        stream.push(SECOND[: 2 * 160])
        stream.flush()
        assert stream.stats.sent_samples == 160
        assert stream.stats.padded_samples == 640
        stream.push(SECOND * 3)
        await stream.drain()
        await within(5, stream.end())
        (turn,) = finals(await collect(stream))
        # The server heard 40 ms of padding; the caller never said them.
        assert turn.words[0].start == 1060
        assert stream.stats.heard_seconds == pytest.approx(3.05)


async def test_live_changes_and_endpoints_reach_the_server() -> None:
    seen: list[Any] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        seen.extend(await terminate_when_asked(socket))

    async with (
        websocket_server(handler) as url,
        connect(api_key="k", base_url=url) as stream,
    ):
        stream.update(prompt="a clinic", keyterms_prompt=[])
        with pytest.raises(OptionError, match="vad_threshold"):
            stream.update(prompt="another", vad_threshold=5)
        with pytest.raises(OptionError, match="can't be changed"):
            stream.update(mode="balanced")  # type: ignore[call-arg]
        with pytest.raises(OptionError, match="did you mean 'prompt'"):
            stream.update(promt="")  # type: ignore[call-arg]
        stream.force_endpoint()
        stream.keep_alive()
        await stream.end()
    assert seen == [
        {"type": "UpdateConfiguration", "prompt": "a clinic", "keyterms_prompt": []},
        {"type": "ForceEndpoint"},
        {"type": "KeepAlive"},
        {"type": "Terminate"},
    ]


async def test_final_turns_let_go_of_their_audio() -> None:
    async with (
        Emulator(ScriptEngine(SCRIPT)) as server,
        connect(api_key="k", base_url=server.url) as stream,
    ):
        stream.push(SECOND * 4)
        await stream.drain()
        seen: list[messages.Turn] = []
        while len(seen) < 2:
            seen += finals([await anext(stream)])
        end_ms = seen[1].words[-1].end
        assert stream.stats.acked_samples == end_ms * 16


@pytest.mark.parametrize("end_ms", [-5, 10**15])
async def test_times_out_of_this_world_do_no_harm(end_ms: int) -> None:
    word = {"text": "x", "start": 0, "end": end_ms, "confidence": 1}
    turn = {"type": "Turn", "turn_order": 0, "end_of_turn": True, "words": [word]}

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket, turn)
        await terminate_when_asked(socket)

    async with (
        websocket_server(handler) as url,
        connect(api_key="k", base_url=url) as stream,
    ):
        stream.push(SECOND)
        await within(5, stream.end())
        assert len(finals(await collect(stream))) == 1


async def test_bad_audio_is_refused_and_good_audio_kept() -> None:
    async with (
        Emulator(ScriptEngine(SCRIPT)) as server,
        connect(api_key="k", base_url=server.url, resampler="fir") as stream,
    ):
        stream.push(bytes(100))
        with pytest.raises(AudioError):
            stream.push(bytes(101))
        with pytest.raises(AudioError, match=r"resampler='fir' .* of 44100 Hz"):
            stream.push(bytes(100), sample_rate=44_100)
        with pytest.raises(AudioError):
            stream.push(bytes(100), sample_rate=0)
        assert stream.stats.written_samples == 50


async def test_a_refused_key_is_an_error_at_once() -> None:
    async with Emulator(ScriptEngine([]), api_keys={"right"}) as server:
        with pytest.raises(RefusedError) as caught:
            async with connect(api_key="wrong", base_url=server.url):
                pytest.fail("the stream opened")
    assert caught.value.code == 1008
    assert "wrong" not in repr(caught.value)


async def test_a_bad_parameter_that_only_the_server_knows() -> None:
    async with Emulator(ScriptEngine([])) as server:
        with pytest.raises(RejectedError, match="vad_threshold"):
            async with connect(
                api_key="k", base_url=server.url, extra_params={"vad_threshold": 9}
            ):
                pytest.fail("the stream opened")


async def test_a_lost_connection_reaches_reader_and_pusher() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket, {"type": "Turn", "turn_order": 0})
        await socket.receive()
        assert request.transport is not None
        request.transport.abort()

    async with (
        websocket_server(handler) as url,
        connect(api_key="k", base_url=url, max_retries=0) as stream,
    ):
        stream.push(SECOND)
        told = [type(await anext(stream)).__name__ for _ in "123"]
        assert told == ["Begin", "Turn", "AudioLost"]
        with pytest.raises(DroppedError):
            await anext(stream)
        with pytest.raises(DroppedError):
            stream.push(SECOND)
        with pytest.raises(DroppedError):
            await stream.end()


async def test_one_push_may_be_longer_than_the_ring() -> None:
    audio = marked_audio(20)
    async with (
        Emulator(MarkedEngine()) as server,
        connect(api_key="k", base_url=server.url, replay_seconds=1) as stream,
    ):
        stream.push(np.repeat(audio, 2), num_channels=2)
        await stream.drain()
        await within(5, stream.end())
        turns = finals(await collect(stream))
        assert stream.stats.dropped_samples == 0
    assert sum(len(turn.words) for turn in turns) == 20


SPOKEN = speech(1, 5000, 96_000)


@asynccontextmanager
async def stalled_stream(
    go_on: asyncio.Event, received: list[Any], **options: Any
) -> AsyncIterator[aai_stream.Stream]:
    """A stream whose server doesn't read before `go_on`, with a full socket."""

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        assert request.transport is not None
        request.transport.pause_reading()
        await go_on.wait()
        request.transport.resume_reading()
        received.extend(await terminate_when_asked(socket))

    options = {"sample_rate": 96_000, "replay_seconds": 600, **options}
    async with (
        websocket_server(handler) as url,
        connect(api_key="k", base_url=url, **options) as stream,
    ):
        while stream.stats.sent_samples == stream.stats.written_samples:
            assert stream.stats.written_samples < 600 * 96_000, "it took everything"
            stream.push(SPOKEN)
            await asyncio.sleep(0)
        try:
            yield stream
        finally:
            go_on.set()


async def test_a_full_socket_leaves_audio_in_the_ring_until_it_has_room() -> None:
    go_on, received = asyncio.Event(), list[Any]()
    async with stalled_stream(go_on, received) as stream:
        for _ in range(20):
            stream.push(bytes(192_002))
            stream.flush()  # must not throw at the socket what it can't take
        assert stream.stats.written_samples - stream.stats.sent_samples > 15 * 96_000
        draining = asyncio.ensure_future(stream.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        go_on.set()
        await within(10, draining)
        await within(10, stream.end())
        stats = stream.stats
    audio = b"".join(data for data in received if isinstance(data, bytes))
    assert stats.dropped_samples == 0
    assert stats.sent_samples == stats.written_samples
    assert len(audio) == 2 * (stats.written_samples + stats.padded_samples)


async def test_a_lost_connection_wakes_who_waits_for_the_socket() -> None:
    cut = asyncio.Event()

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        assert request.transport is not None
        request.transport.pause_reading()
        await cut.wait()
        request.transport.abort()

    async with (
        websocket_server(handler) as url,
        connect(
            api_key="k",
            base_url=url,
            sample_rate=96_000,
            replay_seconds=600,
            max_retries=0,
        ) as stream,
    ):
        while stream.stats.sent_samples == stream.stats.written_samples:
            stream.push(bytes(192_000))
            await asyncio.sleep(0)
        draining = asyncio.ensure_future(stream.drain())
        await asyncio.sleep(0)
        cut.set()
        with pytest.raises(DroppedError):
            await within(5, draining)


async def test_ending_does_not_wait_for_ever() -> None:
    async def mute(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        await read_to_end(socket)

    async with websocket_server(mute) as url:
        stream = connect(api_key="k", base_url=url, close_timeout=0.02, max_retries=0)
        async with stream:
            stream.push(speech(0.5, 5000))
            with pytest.raises(TimedOutError, match="did not finish"):
                await within(5, stream.end())
        stream = connect(api_key="k", base_url=url, close_timeout=0.02, max_retries=0)
        async with stream:
            stream.push(bytes(16_000))  # nobody spoke
            assert await within(5, stream.end()) is None
            assert [type(event) async for event in stream] == [messages.Begin]
    async with stalled_stream(
        asyncio.Event(), [], close_timeout=0.05, max_retries=0
    ) as stream:
        with pytest.raises(TimedOutError, match="took no audio"):
            await within(5, stream.end())
        sent = stream.stats.sent_samples
        await within(5, stream.aclose())
        assert stream.stats.sent_samples == sent


async def test_opening_does_not_wait_for_ever() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await read_to_end(socket)

    async with websocket_server(handler) as url:
        stream = connect(api_key="k", base_url=url, begin_timeout=0.2, max_retries=0)
        with pytest.raises(TimedOutError, match=r"within 0\.2 s"):
            await within(5, stream.__aenter__())
        with pytest.raises(StopAsyncIteration):
            await within(5, anext(stream))


async def test_opening_may_be_cancelled_at_any_moment() -> None:
    """The cancelled task is cancelled, and no session stays open."""
    async with Emulator(ScriptEngine([])) as server:
        opened = False
        turns = 0
        while not opened:
            stream = connect(api_key="k", base_url=server.url)
            opening = asyncio.ensure_future(stream.__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            opened = opening.done()
            if not opened:
                assert opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await within(5, opening)
            await stream.aclose()
            turns += 1
            assert turns < 2000
        assert turns > 5
        await until(lambda: server.sessions == 0)


async def test_a_session_of_the_caller_s_is_used() -> None:
    asked: list[str] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        asked.append(request.headers["X-Mine"])
        await begin_then(socket)
        await terminate_when_asked(socket)

    async with (
        websocket_server(handler) as url,
        aiohttp.ClientSession(headers={"X-Mine": "yes"}) as session,
        connect(api_key="k", base_url=url, http_session=session) as stream,
    ):
        await stream.end()
    assert asked == ["yes"]


async def test_entering_twice_and_closing_meanwhile_leave_no_session() -> None:
    async with Emulator(ScriptEngine([])) as server:
        stream = connect(api_key="k", base_url=server.url)
        first, second = await asyncio.gather(
            stream.__aenter__(), stream.__aenter__(), return_exceptions=True
        )
        assert first is stream
        assert isinstance(second, StateError)
        await stream.aclose()

        stream = connect(api_key="k", base_url=server.url)
        opening = asyncio.ensure_future(stream.__aenter__())
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(StateError, match="was closed"):
            await within(5, opening)
        await until(lambda: server.sessions == 0)


async def test_closing_while_it_ends() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        await read_to_end(socket)

    async with (
        websocket_server(handler) as url,
        connect(api_key="k", base_url=url) as stream,
    ):
        ending = asyncio.ensure_future(stream.end())
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(StateError, match="closed before"):
            await within(5, ending)


async def test_iterating_over_what_is_not_open() -> None:
    stream = connect(api_key="k")
    with pytest.raises(StateError, match="not open yet"):
        await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await within(5, anext(stream))


async def test_a_server_that_ends_on_its_own() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket, {"type": "Termination"})
        await socket.close()

    async with websocket_server(handler) as url:
        stream = connect(api_key="k", base_url=url)
        with pytest.raises(EndedError):
            async with stream:
                await within(5, collect(stream))
        with pytest.raises(StateError):
            stream.push(SECOND)


async def test_what_is_pushed_before_the_stream_is_entered_waits() -> None:
    script = ScriptEngine([say("hello", at_ms=0), say("world", at_ms=1000)])
    async with Emulator(script) as server:
        stream = connect(api_key="k", base_url=server.url, replay_seconds=4)
        stream.push(SECOND)
        stream.force_endpoint()
        stream.push(bytes(96_000), sample_rate=48_000)
        stream.flush()
        async with stream:
            await within(5, stream.end())
            turns = finals(await collect(stream))
            assert stream.stats.sent_samples == 32_000
            assert stream.stats.dropped_samples == 0
    assert [turn.transcript for turn in turns] == ["Hello.", "World."]


async def test_more_than_is_kept_may_be_pushed_before_the_stream_is_entered() -> None:
    async with Emulator(ScriptEngine([])) as server:
        stream = connect(api_key="k", base_url=server.url, replay_seconds=1)
        for _ in range(3):
            stream.push(SECOND)
        async with stream:
            await within(5, stream.end())
            events = await collect(stream)
    (lost,) = (e for e in events if isinstance(e, messages.AudioLost))
    assert (lost.start_ms, lost.end_ms) == (0, 2000)


async def test_what_is_pushed_before_a_refusal_is_let_go() -> None:
    async with Emulator(ScriptEngine([]), api_keys={"other"}) as server:
        stream = connect(api_key="k", base_url=server.url)
        stream.push(SECOND)
        with pytest.raises(RefusedError):
            await stream.__aenter__()
        with pytest.raises(StateError, match="ended"):
            stream.push(SECOND)


async def test_calls_at_the_wrong_time() -> None:
    async with Emulator(ScriptEngine([])) as server:
        stream = connect(api_key="k", base_url=server.url)
        for early in (stream.drain, stream.end):
            with pytest.raises(StateError, match="not open yet"):
                await early()
        for call in (stream.keep_alive, partial(stream.update, prompt="x")):
            with pytest.raises(StateError, match="not open yet"):
                call()
        async with stream:
            await stream.end()
            with pytest.raises(StateError, match="ended"):
                stream.push(SECOND)
            with pytest.raises(StateError, match="ended"):
                await stream.end()
        with pytest.raises(StateError, match="once"):
            async with stream:
                pass
        assert [type(e).__name__ for e in await collect(stream)] == [
            "Begin",
            "Termination",
        ]


async def test_closing_early_ends_the_iteration_and_the_session() -> None:
    async with Emulator(ScriptEngine(SCRIPT)) as server:
        async with connect(api_key="k", base_url=server.url) as stream:
            reading = asyncio.ensure_future(collect(stream))
            stream.push(SECOND)
            await stream.aclose()
            await within(5, reading)
            await stream.aclose()
        await until(lambda: server.sessions == 0)


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with Emulator(ScriptEngine(SCRIPT)) as server:
        for _ in range(3):
            async with connect(api_key="k", base_url=server.url) as stream:
                stream.push(SECOND)
                await stream.end()
        await until(lambda: server.sessions == 0)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    "options",
    [
        {"sample_rate": 7999},
        {"encoding": "opus"},
        {"encoding": "mp3"},
        {"chunk_ms": 49},
        {"chunk_ms": 1001},
        {"chunk_ms": "50"},
        {"resampler": "best"},
        {"replay_seconds": 0},
        {"replay_seconds": 601},
        {"replay_seconds": 1, "chunk_ms": 501},
        {"replay_memory_mb": 0.5},
        {"replay_memory_mb": math.nan},
        {"replay_memory_mb": "512"},
        {"replay_memory_mb": True},
        {"base_url": "nonsense"},
        {"no_such_parameter": 1},
    ],
)
def test_bad_options_are_refused_before_anything_happens(
    options: dict[str, Any],
) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        connect(api_key="k", **options)
