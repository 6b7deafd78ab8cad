"""Where ours differs from the published plugin on purpose: a test for each row of the
table in docs/livekit.md, named after its id.
"""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from livekit import rtc
from livekit.agents import APIConnectOptions, APIStatusError
from livekit.agents.metrics import STTMetrics
from livekit.plugins import assemblyai

from aai_stream.livekit import STT
from aai_stream.messages import Event, SilenceSkipped
from tests.livekit import scripts
from tests.livekit.scripts import Script, final, script, started, turn, words
from tests.livekit.servers import NO_RETRY, RATE
from tests.livekit.side_by_side import (
    OFFICIAL,
    OURS,
    SIDES,
    Connection,
    Played,
    ScriptServer,
    handshakes,
    make_stt,
    meaning,
    open_stream,
    play,
    push,
    push_pcm,
    used,
)
from tests.livekit.test_parity_events import FORMATTED
from tests.reference import encode_mulaw
from tests.servers import begin_then, http_server, until, within


def test_every_difference_in_the_table_has_a_test() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "livekit.md").read_text()
    section = page.split("## Differences\n", 1)[1].split("\n## ", 1)[0]
    told = re.findall(r"(?m)^\| `([a-z-]+)` \|", section)
    assert len(told) == section.count("\n|") - 2  # but for the table's head
    tested = {
        name.removeprefix("test_difference_").replace("_", "-")
        for name in globals()
        if name.startswith("test_difference_")
    }
    assert sorted(tested) == sorted(told)


async def both(played: Script, **options: Any) -> tuple[Played, Played]:
    """The published plugin's and ours."""
    return await play(OFFICIAL, played, **options), await play(OURS, played, **options)


async def test_difference_errors() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=429)

    async def break_off(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        await begin_then(socket)
        await socket.close(code=1008)
        return socket

    assert type(await failure(OFFICIAL, refuse)) is aiohttp.WSServerHandshakeError
    refused = await failure(OURS, refuse)
    assert isinstance(refused, APIStatusError)
    assert (refused.status_code, refused.retryable) == (429, True)

    for side, may_be_tried_again in (OFFICIAL, True), (OURS, False):
        broken = await failure(side, break_off)
        assert isinstance(broken, APIStatusError)
        assert (broken.status_code, broken.retryable) == (1008, may_be_tried_again)


async def events_of(stream: Any) -> list[Any]:
    return [event async for event in stream]


async def failure(side: str, handler: Any) -> BaseException:
    """What the events of a stream end with."""
    async with http_server(handler) as url, aiohttp.ClientSession() as http:
        stt = make_stt(side, base_url=url, http_session=http)
        stream = stt.stream(conn_options=NO_RETRY)
        push(stream, 100)
        try:
            with pytest.raises(Exception, match=r".") as caught:
                await within(5, events_of(stream))
        finally:
            await stream.aclose()
    return caught.value


async def test_difference_http_session() -> None:
    async with ScriptServer(script(final("Hi."))).running() as server:
        with pytest.raises(RuntimeError, match="http session outside"):
            make_stt(OFFICIAL, base_url=server.url).stream()
        stream = make_stt(OURS, base_url=server.url).stream(conn_options=NO_RETRY)
        push(stream, 500)
        stream.end_input()
        assert len([event async for event in stream]) == 5
        await stream.aclose()


async def test_difference_repeated_turns() -> None:
    theirs, ours = await both(scripts.REPEATED)
    assert finals(theirs) == ["Hello world.", "Hello world.", "So."]
    assert finals(ours) == ["Hello world.", "So."]
    theirs, ours = await both(scripts.OUT_OF_ORDER)
    assert finals(theirs) == ["So.", "Hello world."]
    assert finals(ours) == ["Hello world.", "So."]


async def test_difference_speech_ends() -> None:
    alone = script(started(), started(700))
    theirs, ours = await both(alone)
    assert kinds(theirs) == ["start_of_speech"] * 2
    assert kinds(ours) == ["start_of_speech", "end_of_speech"]
    theirs, ours = await both(script(turn("Hello")))
    assert kinds(theirs) == ["interim_transcript"]
    assert kinds(ours) == ["interim_transcript", "end_of_speech"]


def kinds(played: Played) -> list[str]:
    """What was told, but for usage."""
    told = [str(event["type"]) for event in played.events]
    return [kind for kind in told if kind != "recognition_usage"]


def finals(played: Played) -> list[str]:
    return [
        event["alternatives"][0]["text"]
        for event in played.events
        if event["type"] == "final_transcript"
    ]


async def test_difference_loopback_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    for plugin in (assemblyai.STT, STT):
        with pytest.raises(ValueError, match="API key"):
            plugin()
    async with ScriptServer(Script()).running() as server:
        with pytest.raises(ValueError, match="API key"):
            assemblyai.STT(base_url=server.url)
        ((_, key),) = await handshakes(server, STT(base_url=server.url))
    assert key == "no-key"


async def test_difference_unformatted() -> None:
    told = {
        name: tuple(finals(played) for played in await both(script, **FORMATTED))
        for name, script in {**scripts.USUAL, **scripts.ODD}.items()
        if name in scripts.UNFORMATTED
    }
    others = ["Ja, genau.", "Quite.", "Hm."]
    assert told == {
        "pauses": ([], ["hello world how are you", "bye"]),
        "multilingual": (others, ["hola mundo", *others]),
        "no-formatted-field": ([], ["Hello world."]),
        "null-flags": ([], ["Hello world."]),
    }


async def test_difference_model_family() -> None:
    """The account may have another model than was asked for."""
    ended = final("Hello world.", turn_is_formatted=False)
    for model, begin in [
        ("universal-3-6-pro", {}),
        (FORMATTED["model"], {"configuration": {"model": "universal-3-5-pro"}}),
    ]:
        told = await both(script(ended, begin=begin), format_turns=True, model=model)
        assert list(map(finals, told)) == [[], ["Hello world."]]


async def test_difference_replay() -> None:
    told = b"\1\0" * RATE
    assert await heard_after_a_break(OFFICIAL, told) == b""
    assert await heard_after_a_break(OURS, told) == told


async def heard_after_a_break(side: str, pcm: bytes) -> bytes:
    """Of that second, what the next session hears before what comes then."""
    later = b"\2\0" * (RATE // 20)
    async with (
        ScriptServer(script(), breaks=1, break_ms=1000).running() as server,
        aiohttp.ClientSession() as http,
    ):
        stt = make_stt(side, base_url=server.url, http_session=http)
        at_once = APIConnectOptions(max_retry=1, retry_interval=0)
        stream = stt.stream(conn_options=at_once)
        push_pcm(stream, pcm)
        await until(lambda: len(server.connections) == 2)
        push_pcm(stream, later)
        chunks = server.connections[1].chunks
        await until(lambda: bool(chunks) and chunks[-1] == later)
        await stream.aclose()
    return b"".join(chunks[:-1])


async def test_difference_pace() -> None:
    async with waited(assemblyai.STT) as (connection, _):
        await until(lambda: connection.heard_ms == 23_000)
    async with waited(STT) as (connection, said):
        await until(lambda: connection.heard_ms >= 1000)
        assert connection.heard_ms < 3000
        await until(lambda: any(isinstance(m, SilenceSkipped) for m in said))
        assert connection.heard_ms < 6000


@asynccontextmanager
async def waited(plugin: Any) -> AsyncIterator[tuple[Connection, list[Event]]]:
    """Three seconds of sound and 20 of silence had to wait for this connection."""
    server = ScriptServer(script())
    server.gate.clear()
    async with server.running(), aiohttp.ClientSession() as http:
        stt = plugin(api_key="key", base_url=server.url, http_session=http)
        said: list[Event] = []
        stt.on("server_message", lambda told: said.append(told.message))
        stream = stt.stream(conn_options=NO_RETRY)
        push_pcm(stream, b"\1\1" * (3 * RATE) + bytes(2 * 20 * RATE))
        server.gate.set()
        await until(lambda: len(server.connections) == 1)
        yield server.connections[0], said
        await stream.aclose()


async def test_difference_new_sessions() -> None:
    async with three_streams(OFFICIAL) as (server, _):
        await until(lambda: len(server.connections) == 3)
    async with three_streams(OURS) as (server, _):  # to a server on this machine
        await until(lambda: len(server.connections) == 3)
    async with three_streams(OURS, sessions_per_minute=2) as (server, last):
        await until(lambda: len(server.connections) == 2)
        await until(lambda: last.stats.waited_seconds > 0)
        assert len(server.connections) == 2


@asynccontextmanager
async def three_streams(
    side: str, **options: Any
) -> AsyncIterator[tuple[ScriptServer, Any]]:
    """Their server, and the last of them."""
    async with (
        ScriptServer(script()).running() as server,
        aiohttp.ClientSession() as http,
    ):
        stt = make_stt(side, base_url=server.url, http_session=http, **options)
        streams = [stt.stream(conn_options=NO_RETRY) for _ in range(3)]
        yield server, streams[-1]
        for stream in streams:
            await stream.aclose()


async def test_difference_unencrypted() -> None:
    for url in ("ws://stt.internal:8080", "wss://stt.internal?key=1"):
        make_stt(OFFICIAL, base_url=url)
        with pytest.raises(ValueError, match="base_url"):
            make_stt(OURS, base_url=url)
    make_stt(OURS, base_url="ws://stt.internal:8080", allow_unencrypted=True)


async def test_difference_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aai_stream.inbox.MOST_UNREAD", 10)
    for side, interims in ((OFFICIAL, 31), (OURS, 10)):
        told = await told_late(side, script([turn("Hello")] * 30, final("Hello.")))
        assert told.count("interim_transcript") == interims
        assert told.count("final_transcript") == 1


async def told_late(side: str, played: Script) -> list[str]:
    """The events of one who doesn't read before all has come."""
    async with (
        ScriptServer(played).running() as server,
        open_stream(side, server) as (_, stream),
    ):
        push(stream, played.steps[-1].at_ms)
        (connection,) = server.connections
        await until(lambda: connection.read == 3)
        stream.end_input()
        return [event.type.value async for event in stream]


async def test_difference_start_time() -> None:
    starts = {}
    for side in (OFFICIAL, OURS):
        async with (
            ScriptServer(script(started(250))).running() as server,
            aiohttp.ClientSession() as http,
        ):
            server.gate.clear()
            stt = make_stt(side, base_url=server.url, http_session=http)
            stream = stt.stream(conn_options=NO_RETRY)
            before = time.time()
            push(stream, 500)
            after = time.time()
            await until(lambda: server.waiting == 1)
            let_in = time.time()
            server.gate.set()
            event = await within(5, stream.__anext__())
            assert event.speech_start_time == pytest.approx(stream.start_time + 0.25)
            starts[side] = before - 0.01, stream.start_time, after - 0.01, let_in
            await stream.aclose()
    _, start, _, let_in = starts[OFFICIAL]
    assert start >= let_in
    first, start, last, _ = starts[OURS]
    assert first <= start <= last

    retry = APIConnectOptions(max_retry=1)
    offsets = {}
    for side in (OFFICIAL, OURS):
        async with (
            ScriptServer(Script(), breaks=1).running() as server,
            aiohttp.ClientSession() as http,
        ):
            stt = make_stt(side, base_url=server.url, http_session=http)
            stream = stt.stream(conn_options=retry)
            stream.start_time_offset = 1.0
            push(stream, 100)
            await until(lambda: len(server.connections) == 2)
            offsets[side] = stream.start_time_offset
            await stream.aclose()
    assert offsets[OFFICIAL] > 1.1  # LiveKit waits for 0.1 s before it tries again
    assert offsets[OURS] == 1.0


async def test_difference_usage() -> None:
    played = script(final("Hi."), tail_ms=230)
    official, ours = await both(played)
    assert used(official.events) == 0.5
    # The tail was padded.
    assert used(ours.events) == 0.75 == ours.connection.heard_ms / 1000
    assert ours.events[:-1] == official.events
    silent, ours = await both(script(tail_ms=100))
    assert silent.events == []
    assert used(ours.events) == 0.1
    assert len(ours.events) == 1


async def test_difference_short_chunks() -> None:
    sizes = []
    for side in (OFFICIAL, OURS):
        async with (
            ScriptServer(Script()).running() as server,
            open_stream(side, server) as (_, stream),
        ):
            push(stream, 30)
            stream.flush()
            push(stream, 20)
            stream.end_input()
            assert [event.type.value async for event in stream] == (
                [] if side == OFFICIAL else ["recognition_usage"]
            )
            sizes.append(list(map(len, server.connections[0].chunks)))
    assert sizes == [[960, 640], [1600, 1600]]


async def test_difference_buffer_size() -> None:
    for seconds in (0.02, 0.049, 1.01, 2.5):
        stt = make_stt(OFFICIAL, buffer_size_seconds=seconds)
        stt.update_options(buffer_size_seconds=seconds)
        with pytest.raises(ValueError, match="buffer_size_seconds"):
            make_stt(OURS, buffer_size_seconds=seconds)
        stt = make_stt(OURS)
        with pytest.raises(ValueError, match="buffer_size_seconds"):
            stt.update_options(buffer_size_seconds=seconds)
    played = Script(tail_ms=60)
    official, ours = await both(played, buffer_size_seconds=0.06)
    assert list(map(len, official.connection.chunks)) == [1882, 38]
    assert list(map(len, ours.connection.chunks)) == [1920]


async def test_difference_range_checks() -> None:
    values: list[dict[str, Any]] = [
        {"vad_threshold": 1.5},
        {"interruption_delay": -1},
        {"keyterms_prompt": ["x"] * 101},
        {"prompt": "x" * 1751},
        {"language_codes": ["not a language"]},
        {"max_turn_silence": -1},
        {"end_of_turn_confidence_threshold": float("nan")},
    ]
    at_first: list[dict[str, Any]] = [
        {"sample_rate": 96_001},
        {"previous_context_n_turns": 101},
        {"voice_focus_threshold": 2},
        {"max_speakers": 0},
    ]
    for value in values + at_first:
        make_stt(OFFICIAL, **value)
        with pytest.raises(ValueError, match=r"."):
            make_stt(OURS, **value)
    for value in values:
        stt = make_stt(OFFICIAL)
        stt.update_options(**value)
        stt = make_stt(OURS)
        with pytest.raises(ValueError, match=r"."):
            stt.update_options(**value)
    async with ScriptServer(Script()).running() as server:
        plugins = [make_stt(side, base_url=server.url) for side in SIDES]
        for stt in plugins:
            stt._update_session_keyterms([f"term {n}" for n in range(122)])
        async with aiohttp.ClientSession() as http:
            plugins[0]._session = http
            asked = [query for query, _ in await handshakes(server, *plugins)]
    assert [len(query["keyterms_prompt"]) for query in asked] == [122, 100]


async def test_difference_language_argument() -> None:
    asked = {}
    for side in (OFFICIAL, OURS):
        async with ScriptServer(Script()).running() as server:
            for model in ("universal-3-6-pro", "universal-streaming-multilingual"):
                async with aiohttp.ClientSession() as http:
                    stt = make_stt(
                        side, base_url=server.url, http_session=http, model=model
                    )
                    stream = stt.stream(language="es-ES", conn_options=NO_RETRY)
                    stream.end_input()
                    assert [event async for event in stream] == []
                    await stream.aclose()
            asked[side] = [meaning(c.query) for c in server.connections]
    assert asked[OURS][0] == asked[OFFICIAL][0] | {"language_codes": ["es"]}
    assert asked[OURS][1] == asked[OFFICIAL][1]


async def test_difference_offline_recognize() -> None:
    data = bytes(2 * RATE // 2)
    frame = rtc.AudioFrame(data, RATE, 1, RATE // 2)
    async with (
        ScriptServer(script(final("Hi."))).running() as server,
        aiohttp.ClientSession() as http,
    ):
        stt = make_stt(OFFICIAL, base_url=server.url, http_session=http)
        assert not stt.capabilities.offline_recognize
        with pytest.raises(NotImplementedError):
            await stt.recognize(frame)
        stt = make_stt(OURS, base_url=server.url, http_session=http)
        assert stt.capabilities.offline_recognize
        event = await within(5, stt.recognize(frame))
    assert event.alternatives[0].text == "Hi."


async def test_difference_preflight_reset() -> None:
    official, ours = await both(scripts.AT_ONCE)
    expected = copy.deepcopy(official.events)
    (wrong,) = (
        event["alternatives"][0]
        for event in expected
        if event["type"] == "preflight_transcript"
        and event["alternatives"][0]["text"] == "Four."
    )
    assert wrong["start_time"] == 0.85
    wrong["start_time"] = 0.9
    assert ours.events == expected


async def test_difference_pending_speaker() -> None:
    official, ours = await both(scripts.PENDING)
    expected = copy.deepcopy(official.events)
    told = [data for event in expected for data in event["alternatives"]]
    assert {data["speaker_id"] for data in told} == {"PENDING", "A"}
    for data in told:
        if data["speaker_id"] == "PENDING":
            data["speaker_id"] = None
    assert ours.events == expected


async def test_difference_stereo() -> None:
    left = np.full(RATE // 10, 1000, np.int16)
    audio = np.stack([left, 3 * left], axis=1).tobytes()
    heard = {}
    for side in (OFFICIAL, OURS):
        heard[side] = await sent(side, rtc.AudioFrame(audio, RATE, 2, len(left)))
    assert heard[OFFICIAL] == audio
    assert heard[OURS] == (2 * left).tobytes()


async def test_difference_changing_rate() -> None:
    for side in (OFFICIAL, OURS):
        async with (
            ScriptServer(Script()).running() as server,
            open_stream(side, server) as (_, stream),
        ):
            (connection,) = server.connections
            push(stream, 100)
            if side == OFFICIAL:
                with pytest.raises(ValueError, match="consistent"):
                    push(stream, 100, rate=24_000)
                continue
            push(stream, 100, rate=24_000)
            stream.end_input()
            await until(lambda: connection.asked("Terminate") > 0)  # noqa: B023
            assert 200 <= connection.heard_ms < 250  # with what pads the tail


async def test_difference_mu_law() -> None:
    audio = np.linspace(-30_000, 30_000, RATE // 10).astype(np.int16)
    frame = rtc.AudioFrame(audio.tobytes(), RATE, 1, len(audio))
    heard = {}
    for side in (OFFICIAL, OURS):
        heard[side] = await sent(side, frame, encoding="pcm_mulaw")
    assert heard[OFFICIAL] == audio.tobytes()
    assert heard[OURS] == bytes(map(encode_mulaw, audio.tolist()))


async def sent(side: str, frame: rtc.AudioFrame, **options: Any) -> bytes:
    """What the server gets of a frame."""
    async with (
        ScriptServer(Script()).running() as server,
        open_stream(side, server, **options) as (_, stream),
    ):
        (connection,) = server.connections
        stream.push_frame(frame)
        stream.end_input()
        await until(lambda: connection.asked("Terminate") > 0)
        return b"".join(connection.chunks)


async def test_difference_nulls() -> None:
    for name, played in scripts.NULLS.items():
        official, ours = await both(played)
        assert official.events == [], name
        ((turn,),) = (step.messages for step in played.steps)
        assert isinstance(turn, dict)
        there = json.loads(json.dumps(turn), object_hook=without_nulls)
        left_out = await play(OFFICIAL, script(there))
        assert ours.events == left_out.events, name
        assert ours.events != [], name
    # Not lost, but nothing that one would like to read.
    named_none = script(final("Hi", words=[words("Hi")[0] | {"text": None}]))
    official, ours = await both(named_none)
    assert official.events[0]["alternatives"][0]["text"] == "None"
    assert ours.events[0]["alternatives"][0]["text"] == ""
    no_text = script(final("Hi", transcript=None))
    official, ours = await both(no_text)
    assert official.events[-3]["alternatives"][0]["text"] is None
    assert ours.events[-3]["alternatives"][0]["text"] == ""


async def test_difference_side_remarks() -> None:
    official, ours = await both(script(final("Hi", language_code=7)))
    assert official.events == []
    left_out = final("Hi")
    left_out.pop("language_code", None)
    assert ours.events == (await play(OFFICIAL, script(left_out))).events != []


def without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


async def test_difference_newer_models() -> None:
    asked = {}
    for side in (OFFICIAL, OURS):
        async with (
            ScriptServer(Script()).running() as server,
            aiohttp.ClientSession() as http,
        ):
            for model in ("universal-9-pro", "universal-3-6-pro"):
                stt = make_stt(
                    side, base_url=server.url, http_session=http, model=model
                )
                ((query, _),) = await handshakes(server, stt)
                del query["speech_model"]
                asked[side, model] = query, stt.capabilities.chat_context
    assert asked[OURS, "universal-9-pro"] == asked[OURS, "universal-3-6-pro"]
    assert asked[OFFICIAL, "universal-9-pro"][0]["language_detection"] is False
    with pytest.raises(ValueError, match="prompt"):
        make_stt(OFFICIAL, model="universal-9-pro", prompt="Names")
    make_stt(OURS, model="universal-9-pro", prompt="Names")


async def test_difference_connection_metrics() -> None:
    told: dict[str, list[STTMetrics]] = {OFFICIAL: [], OURS: []}
    for side, metrics in told.items():
        async with (
            ScriptServer(script(final("Hi."))).running() as server,
            aiohttp.ClientSession() as http,
        ):
            stt = make_stt(side, base_url=server.url, http_session=http)
            stt.on("metrics_collected", metrics.append)
            stream = stt.stream(conn_options=NO_RETRY)
            push(stream, 500)
            stream.end_input()
            assert len([event async for event in stream]) == 5
            await stream.aclose()
    (official,) = told[OFFICIAL]
    connected, usage = told[OURS]
    assert usage.audio_duration == pytest.approx(official.audio_duration) == 0.5
    assert connected.audio_duration == 0.0
    assert connected.acquire_time > 0.0


async def test_difference_aclose() -> None:
    told = {}
    for side in (OFFICIAL, OURS):
        async with ScriptServer(Script()).running() as server:
            async with open_stream(side, server) as (stt, stream):
                push(stream, 100)
                (connection,) = server.connections
                await until(lambda: connection.heard_ms == 100)  # noqa: B023
                await stt.aclose()
                assert stream._task.done() is (side == OURS)
                await stream.aclose()
            await until(lambda: connection.closed)  # noqa: B023
            told[side] = list(connection.texts)
    assert told == {OFFICIAL: [], OURS: [{"type": "Terminate"}]}
