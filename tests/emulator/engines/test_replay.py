"""A recorded call is told again: through sockets, to any client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt
import pytest

from aai_stream._core import AudioRing
from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.emulator.engines.replay import ReplayEngine
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.errors import InputError
from aai_stream.recorder.format import Connected
from tests.emulator.helpers import (
    PLAIN,
    ManualClock,
    Message,
    connection,
    raw_connection,
)
from tests.recorded_calls import Driver, Recorder, Session, noise, turn
from tests.servers import until, within

NOISE = noise(6000)
HELLO = turn(0, ("hello", 200, 500), ("there", 500, 900), end=True)
AGAIN = turn(1, ("again", 1300, 1600), end=True)


@asynccontextmanager
async def driver(
    server: Emulator,
    audio: npt.NDArray[np.int16] = NOISE,
    rate: int = 16_000,
    *,
    session: Session | None = None,
    encode: Any = None,
    **query: str,
) -> AsyncIterator[Driver]:
    """A session that has begun; recorded in `session`."""
    if encode is not None:
        query["encoding"] = "pcm_mulaw"
    async with connection(server, query, sample_rate=rate) as client:
        if session is not None:
            session.connect()
        yield Driver(client.ws, audio, rate, session=session, encode=encode)


def server(path: Path, **options: Any) -> Emulator:
    options.setdefault("service", PLAIN)
    return Emulator(ReplayEngine(path), **options)


def simple(path: Path) -> Path:
    """One session with two turns, the second after Terminate."""
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect(mode="max_accuracy")
    session.send(0, 1000)
    session.hear(HELLO)
    session.send(1000, 1700)
    session.terminate(AGAIN)
    return recorder.write(path / "call.aai")


def lost(path: Path) -> Path:
    """A session that is reset at 1500 ms with a turn open, and one that hears it
    again from 1000 ms on."""
    recorder = Recorder(NOISE)
    first = recorder.session()
    first.connect()
    first.send(0, 1000)
    first.hear(HELLO)
    first.send(1000, 1450)
    first.hear(turn(1, ("aga", 1300, 1400)))
    first.send(1450, 1500)
    first.close(1006)
    first.say("Terminate")  # too late: nobody heard it
    first.over("lost", "DroppedError", 1006)
    second = recorder.session()
    second.connect()
    second.send(1000, 1800)
    second.hear(turn(0, ("again", 300, 600)))
    second.send(1800, 2000)
    second.hear(turn(0, ("again", 300, 600), end=True))
    second.send(2000, 6000)
    second.terminate()
    return recorder.write(path / "call.aai")


# ---- an identical client ----


async def both_sessions(
    emulator: Emulator, recorder: Recorder | None, audio: npt.NDArray[np.int16]
) -> list[list[Message]]:
    """What a client is told that is cut off after 3 s, and goes on from 1900 ms."""
    told = []
    for stretch in ((0, 8000), (1900, 8000)):
        session = recorder.session() if recorder is not None else None
        async with driver(emulator, audio, session=session) as client:
            if await client.send(*stretch):
                await client.terminate()
            if session is not None:
                session.over("lost" if client.close_code == 1006 else "ended")
            told.append(client.told)
    return told


async def test_an_identical_client_hears_the_call_message_for_message(
    tmp_path: Path,
) -> None:
    audio = marked_audio(20, noise_rms=20)[: 8 * 16_000]
    recorder = Recorder(audio)
    faults = [fault("reset,at=3000ms,on=1")]
    async with Emulator(MarkedEngine(), service=PLAIN, faults=faults) as service:
        recorded = await both_sessions(service, recorder, audio)
    assert sum(m["type"] == "Turn" for m in recorded[0]) > 3
    assert sum(m["type"] == "Turn" for m in recorded[1]) > 10
    async with server(recorder.write(tmp_path / "call.aai")) as replay:
        assert await both_sessions(replay, None, audio) == recorded
        # and so does the next one
        assert await both_sessions(replay, None, audio) == recorded
    engine = ReplayEngine(tmp_path / "call.aai")
    assert len(engine.sessions) == 2


async def test_messages_come_at_their_places(tmp_path: Path) -> None:
    async with server(simple(tmp_path)) as replay, driver(replay) as client:
        await client.send(0, 950)
        assert client.told == []
        await client.send(950, 1000)
        assert client.told == [HELLO]
        await client.send(1000, 1700)
        assert client.told == [HELLO]
        await client.terminate()
        assert client.told[:-1] == [HELLO, AGAIN]
        assert client.told[-1] == {
            "type": "Termination",
            "audio_duration_seconds": 2,
            "session_duration_seconds": 0,
        }
        assert client.close_code == 1000


async def test_begin_is_the_servers_own_with_the_recorded_configuration(
    tmp_path: Path,
) -> None:
    async with server(simple(tmp_path)) as replay, connection(replay) as client:
        assert client.begin["configuration"] == {
            "model": "universal-3-6-pro",
            "mode": "max_accuracy",
        }
        assert client.begin["id"] != "recorded-1"


@pytest.mark.parametrize("chunk_ms", [50, 100, 170, 1000])
async def test_chunks_may_be_of_another_length(tmp_path: Path, chunk_ms: int) -> None:
    async with server(simple(tmp_path)) as replay, driver(replay) as client:
        await client.send(0, 1700, chunk_ms)
        await client.terminate()
        assert client.told[:-1] == [HELLO, AGAIN]


async def test_mulaw_is_known_as_what_it_was(tmp_path: Path) -> None:
    """The client of a PCM call may send mu-law."""

    def encode(pcm: npt.NDArray[np.int16]) -> bytes:
        ring = AudioRing(16_000, encoding="pcm_mulaw", chunk_ms=50)
        ring.write(pcm.tobytes(), 16_000, 1)
        chunk = ring.next_chunk()
        assert chunk is not None
        return bytes(chunk)

    async with server(lost(tmp_path)) as replay:
        async with driver(replay, encode=encode) as client:
            assert not await client.send(0, 3000)
            assert client.told == [HELLO, turn(1, ("aga", 1300, 1400))]
        async with driver(replay, encode=encode) as client:
            await client.send(900, 2000)  # it begins elsewhere, which is found out
            assert client.told == [
                turn(0, ("again", 400, 700)),
                turn(0, ("again", 400, 700), end=True),
            ]


async def test_padding_keeps_times_as_they_were(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.send(0, 430, padding_ms=20)
    session.send(430, 1030)
    session.hear(said := turn(0, ("hello", 420, 700), end=True))
    session.terminate()
    async with server(recorder.write(tmp_path / "call.aai")) as replay:
        async with connection(replay) as client:
            data = NOISE.tobytes()
            await client.ws.send_bytes(data[: 430 * 32] + bytes(20 * 32))
            await client.ws.send_bytes(data[430 * 32 : 1030 * 32])
            assert await client.receive() == said
        async with driver(replay) as client2:  # which doesn't pad
            await client2.send(0, 1030)
            (told,) = client2.told
            assert [(w["start"], w["end"]) for w in told["words"]] == [(420, 680)]


# ---- how sessions end ----


async def test_a_reset_comes_at_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        server(lost(tmp_path)) as replay,
        driver(replay) as client,
    ):
        assert await client.send(0, 1450)
        assert not await client.send(1450, 3000)
        assert client.close_code == 1006
        assert [(a.fault.kind, a.audio_ms) for a in replay.faults.applied] == [
            ("reset", 1500)
        ]
        async with driver(replay) as client:
            await client.send(1000, 6000)
            await client.terminate()
            assert client.told[:-1] == [
                turn(0, ("again", 300, 600)),
                turn(0, ("again", 300, 600), end=True),
            ]
    assert "fault on connection 1, 1500 ms of audio: reset,at=1500ms,on=1" in (
        caplog.text
    )


async def test_a_close_has_its_code_its_reason_and_its_error(tmp_path: Path) -> None:
    error = {"type": "Error", "error_code": 3005, "error": "oh", "retryable": False}
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.send(0, 500)
    session.hear(error)
    session.close(3005, "because")
    session.over("lost", "DroppedError", 3005)
    async with (
        server(recorder.write(tmp_path / "call.aai")) as replay,
        connection(replay) as client,
    ):
        await client.ws.send_bytes(NOISE[:8000].tobytes())
        assert await client.rest() == [error]
        assert (client.close_code, client.close_reason) == (3005, "because")


async def test_refused_handshakes_are_refused(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    recorder.session().over("not_opened", "DroppedError", 503)
    recorder.session().over("not_opened", "RefusedError", 401)
    session = recorder.session()
    session.connect()
    session.send(0, 1000)
    session.hear(HELLO)
    session.terminate()
    async with server(recorder.write(tmp_path / "call.aai")) as replay:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            async with driver(replay):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            async with driver(replay):
                pass
        async with driver(replay) as client:
            await client.send(0, 1000)
            assert client.told == [HELLO]
        assert [str(applied.fault) for applied in replay.faults.applied] == [
            "status,at=connect,on=1,code=503",
            "status,at=connect,on=2,code=401",
        ]


async def test_an_unreachable_server_is_unreachable(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    for _ in range(2):  # aiohttp itself tries twice
        recorder.session().over("not_opened", "UnreachableError")
    async with server(recorder.write(tmp_path / "call.aai")) as replay:
        with pytest.raises(aiohttp.ClientConnectionError):
            async with driver(replay):
                pass
        assert {a.fault.kind for a in replay.faults.applied} == {"reset"}


async def test_a_handshake_that_was_not_answered_is_not(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    recorder.session().over("not_opened", "TimedOutError")
    async with server(recorder.write(tmp_path / "call.aai")) as replay:
        asking = asyncio.ensure_future(connection(replay).__aenter__())
        await until(lambda: bool(replay.faults.applied))
        assert replay.faults.applied[0].fault.kind == "freeze"
        assert not asking.done()
    with pytest.raises(aiohttp.ClientConnectionError):  # the server has stopped
        await asking


@pytest.mark.parametrize("ends", [True, False])
async def test_a_begin_that_never_came_never_comes(tmp_path: Path, ends: bool) -> None:
    error = {"type": "Error", "error_code": 1008, "error": "Too many"}
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.add(Connected)
    if ends:
        session.hear(error)
        session.close(1008, "no")
    session.over("not_opened", "TimedOutError")
    async with (
        server(recorder.write(tmp_path / "call.aai")) as replay,
        raw_connection(replay) as client,
    ):
        if ends:
            assert await client.rest() == [error]
            assert client.close_code == 1008
        else:
            await client.ws.ping(b"there?")
            pong = await client.ws.receive()
            assert pong.data == b"there?"  # and nothing before it


async def test_a_server_that_took_no_audio_is_frozen(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.send(0, 1000)
    session.hear(HELLO)
    session.send(1000, 6000)
    session.over("lost", "TimedOutError")  # "the server took no audio for 20 s"
    recorder.session().over("closed")
    async with (
        server(recorder.write(tmp_path / "call.aai")) as replay,
        connection(replay) as client,
    ):
        await client.ws.send_bytes(NOISE[:16_000].tobytes())
        assert await client.receive() == HELLO
        await until(lambda: bool(replay.faults.applied))
        assert replay.faults.applied[0].fault.kind == "freeze"
        await client.ws.ping(b"there?")
        with pytest.raises(TimeoutError):
            await client.ws.receive(timeout=0.05)


async def test_a_server_that_fell_silent_is_silent(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.send(0, 1000)
    session.hear(HELLO)
    session.send(1000, 6000)
    session.over("lost", "DroppedError")  # "the server did not end a turn"
    path = recorder.write(tmp_path / "call.aai")
    async with server(path) as replay, driver(replay) as client:
        assert await client.send(0, 6000)
        await client.say("Terminate")
        assert client.told == [HELLO]


async def test_a_termination_that_never_came_never_comes(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.send(0, 1000)
    session.say("Terminate")
    session.hear(HELLO)
    session.over("lost", "UnfinishedError")
    async with (
        server(recorder.write(tmp_path / "call.aai")) as replay,
        connection(replay) as client,
    ):
        await client.ws.send_bytes(NOISE[:16_000].tobytes())
        await client.send("Terminate")
        assert await client.receive() == HELLO
        await client.ws.ping(b"there?")
        assert (await client.ws.receive()).data == b"there?"


@pytest.mark.parametrize("outcome", ["replaced", "closed"])
async def test_a_termination_that_nobody_waited_for_comes(
    tmp_path: Path, outcome: str
) -> None:
    recorder = Recorder(NOISE)
    first = recorder.session()
    first.connect()
    first.send(0, 1000)
    first.hear(HELLO)
    first.say("Terminate")
    first.over(outcome)
    second = recorder.session()
    second.connect()
    second.send(1000, 1700)
    second.terminate()
    path = recorder.write(tmp_path / "call.aai")
    async with server(path) as replay, driver(replay) as client:
        await client.send(0, 1000)
        await client.terminate()
        assert [m["type"] for m in client.told] == ["Turn", "Termination"]
        assert client.close_code == 1000


async def test_a_session_that_was_lost_at_its_end_is_followed_by_the_next(
    tmp_path: Path,
) -> None:
    recorder = Recorder(NOISE)
    first = recorder.session()
    first.connect()
    first.send(0, 6000)
    first.say("Terminate")
    first.lose()
    second = recorder.session()
    second.connect()
    second.send(1000, 6000)
    second.terminate(HELLO)
    async with server(recorder.write(tmp_path / "call.aai")) as replay:
        async with driver(replay) as client:
            await client.send(0, 6000)
            await client.terminate()
            assert (client.told, client.close_code) == ([], 1006)
        async with driver(replay) as client:
            await client.send(1000, 6000)
            await client.terminate()
            assert client.told[0] == HELLO


async def test_what_is_no_message_is_told_as_it_is(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.hear({"type": "Warning", "warning": "mind", "warning_code": 1})
    session.send(0, 1000)
    session.hear('{"type": "Tu', [1], {"no": "type"}, {"type": "New", "words": [1]})
    session.terminate()
    async with (
        server(recorder.write(tmp_path / "call.aai")) as replay,
        driver(replay) as client,
    ):
        await client.send(0, 1000)
        assert client.told == [
            {"type": "Warning", "warning": "mind", "warning_code": 1},
            '{"type": "Tu',
            [1],
            {"no": "type"},
            {"type": "New", "words": [1]},
        ]


async def test_the_answer_to_force_endpoint_waits_for_it(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.send(0, 1000)
    session.say("ForceEndpoint")
    session.hear(HELLO)
    session.send(1000, 2000)
    session.terminate()
    async with server(recorder.write(tmp_path / "call.aai")) as replay:
        async with driver(replay) as client:
            await client.send(0, 1000)
            assert client.told == []
            await client.say("ForceEndpoint")
            assert client.told == [HELLO]
        async with driver(replay) as client:  # which does not ask for it
            await client.send(0, 1050)
            assert client.told == [HELLO]


async def test_parameters_change_nothing_and_the_log_does_not_speak_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        server(simple(tmp_path)) as replay,
        driver(replay, format_turns="true", nonsense="1") as client,
    ):
        await client.say("UpdateConfiguration")
        await client.send(0, 1000)
        assert client.told == [HELLO]
    assert "ignored" not in caplog.text


async def test_heartbeats_are_the_recorded_ones(tmp_path: Path) -> None:
    beat = {"type": "Heartbeat", "total_audio_received_ms": 1000}
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.send(0, 1000)
    session.hear(beat)
    session.terminate()
    clock = ManualClock()
    path = recorder.write(tmp_path / "call.aai")
    async with (
        server(path, clock=clock) as replay,
        driver(replay, session_heartbeat="true") as client,
    ):
        clock.advance(30)
        await client.send(0, 1000)
        assert client.told == [beat]


# ---- a client that is another ----


async def lose_first(replay: Emulator) -> None:
    async with driver(replay) as client:
        assert not await client.send(0, 2000)


async def test_a_session_that_begins_later_is_told_less(tmp_path: Path) -> None:
    async with server(lost(tmp_path)) as replay:
        await lose_first(replay)
        async with driver(replay) as client:
            await client.send(1250, 6000)
            assert client.told[-1] == turn(0, ("again", 50, 350), end=True)
    async with server(lost(tmp_path)) as replay:
        await lose_first(replay)
        async with driver(replay) as client:
            await client.send(1500, 6000)  # in the middle of the word
            await client.terminate()
            assert [m["type"] for m in client.told] == ["Termination"]


async def test_a_session_that_begins_earlier_is_told_what_was_said_before(
    tmp_path: Path,
) -> None:
    async with server(lost(tmp_path)) as replay:
        await lose_first(replay)
        async with driver(replay) as client:
            await client.send(400, 6000)
            assert client.told == [
                turn(0, ("there", 100, 500), end=True),  # and "hello" is left out
                turn(1, ("again", 900, 1200)),
                turn(1, ("again", 900, 1200), end=True),
            ]


async def test_sessions_more_than_recorded_hear_what_the_last_one_did(
    tmp_path: Path,
) -> None:
    async with server(lost(tmp_path)) as replay:
        await lose_first(replay)
        async with driver(replay) as client:
            await client.send(1000, 1400)
            replay.faults.append(fault("reset"))
            assert not await client.send(1400, 2000)
            replay.faults.clear()
        async with driver(replay) as client:
            await client.send(600, 6000)
            assert client.told == [
                turn(0, ("there", 0, 300), end=True),  # it began 100 ms before
                turn(1, ("again", 700, 1000)),
                turn(1, ("again", 700, 1000), end=True),
            ]
            await client.terminate()
            assert client.close_code == 1000


async def test_terminate_ends_the_turns_that_were_heard(tmp_path: Path) -> None:
    """Their ends had come later, when more audio had."""
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.send(0, 2000)
    session.hear(turn(0, ("hello", 200, 500), ("there", 500, 900), end=True))
    session.terminate()
    async with (
        server(recorder.write(tmp_path / "call.aai")) as replay,
        driver(replay) as client,
    ):
        await client.send(0, 600)
        await client.terminate()
        assert client.told[:-1] == [turn(0, ("hello", 200, 500), end=True)]


async def test_other_audio_is_counted_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        server(simple(tmp_path)) as replay,
        driver(replay, noise(6000, seed=2)) as client,
    ):
        await client.send(0, 2000)
        await client.terminate()
        assert client.told[:-1] == [HELLO, AGAIN]
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "the audio is not the recorded one (mono, 16000 Hz)" in warning.message


async def test_another_rate_is_other_audio(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        server(simple(tmp_path)) as replay,
        driver(replay, noise(6000, 8000), 8000) as client,
    ):
        await client.send(0, 950)
        assert client.told == []
        await client.send(950, 1000)
        assert client.told == [HELLO]
    assert "is not the recorded one" in caplog.text


# ---- quiet audio, which is the same in many places ----


def spoken(loudest: int) -> npt.NDArray[np.int16]:
    """200 ms of quiet, 1 s of sound, 2 s of quiet and 1 s of sound."""
    faint = np.random.default_rng(5).integers(-loudest, loudest + 1, 4200 * 16)
    audio = faint.astype(np.int16)
    audio[200 * 16 : 1200 * 16] = NOISE[: 1000 * 16]
    audio[3200 * 16 :] = NOISE[1000 * 16 : 2000 * 16]
    return audio


def paused(path: Path, audio: npt.NDArray[np.int16]) -> Path:
    """A session that is reset in the pause, and one that begins there."""
    recorder = Recorder(audio)
    first = recorder.session()
    first.connect()
    first.send(0, 1700)
    first.hear(turn(0, ("hello", 300, 1100), end=True))
    first.send(1700, 2000)
    first.lose()
    second = recorder.session()
    second.connect()
    second.send(1500, 2500)
    second.hear({"type": "Silence", "start_ms": 0, "end_ms": 900})
    second.send(2500, 4200)
    second.hear(turn(0, ("again", 1800, 2500), end=True))
    second.terminate()
    return recorder.write(path / "call.aai")


@pytest.mark.parametrize("loudest", [0, 4])
@pytest.mark.parametrize("begin", [1300, 1490, 1500, 1550, 2700])
async def test_a_session_may_begin_anywhere_in_a_pause(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, loudest: int, begin: int
) -> None:
    audio = spoken(loudest)
    async with server(paused(tmp_path, audio)) as replay:
        async with driver(replay, audio) as client:
            assert not await client.send(0, 4200)
        async with driver(replay, audio) as client:
            await client.send(begin, 4200)
            start = 3300 - begin
            assert client.told[-1] == turn(0, ("again", start, start + 700), end=True)
    assert "not the recorded one" not in caplog.text


async def test_what_is_due_in_the_quiet_comes_with_the_sound(tmp_path: Path) -> None:
    audio = spoken(0)
    async with server(paused(tmp_path, audio)) as replay:
        async with driver(replay, audio) as client:
            assert not await client.send(0, 4200)
        async with driver(replay, audio) as client:
            await client.send(1500, 3200)
            assert client.told == []
            await client.send(3200, 3250)
            assert client.told == [{"type": "Silence", "start_ms": 0, "end_ms": 900}]


async def test_a_session_of_nothing_but_quiet_is_the_recorded_one(
    tmp_path: Path,
) -> None:
    audio = spoken(0)
    async with server(paused(tmp_path, audio)) as replay:
        async with driver(replay, audio) as client:
            assert not await client.send(0, 4200)
        async with driver(replay, audio) as client:
            await client.send(1500, 3000)
            await client.terminate()
            assert client.told[0] == {"type": "Silence", "start_ms": 0, "end_ms": 900}


@pytest.mark.parametrize("loudest", [0, 4])
@pytest.mark.parametrize("leaves", ["by Terminate", "without a word"])
async def test_who_starts_again_in_silence_hears_it_from_its_beginning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, loudest: int, leaves: str
) -> None:
    audio = spoken(loudest)
    async with server(paused(tmp_path, audio)) as replay:
        async with driver(replay, audio) as client:
            assert await client.send(0, 800)
            if leaves == "by Terminate":
                await client.terminate()
        for _ in range(2):
            async with driver(replay, audio) as client:
                assert not await client.send(0, 4200)
                assert client.told == [turn(0, ("hello", 300, 1100), end=True)]
            async with driver(replay, audio) as client:
                await client.send(1500, 4200)
                await client.terminate()
                assert client.told[-2]["words"][0]["text"] == "again"
    assert "not the recorded one" not in caplog.text


# ---- which call ----


async def test_two_clients_at_once_each_hear_the_whole_call(tmp_path: Path) -> None:
    async with server(lost(tmp_path)) as replay:
        async with driver(replay) as one, driver(replay) as other:
            assert await one.send(0, 1400)
            assert not await other.send(0, 3000)
            assert not await one.send(1400, 3000)
            assert one.told == other.told
            assert len(one.told) == 2
        async with driver(replay) as one, driver(replay) as other:
            for client in (one, other):
                await client.send(1000, 6000)
                await client.terminate()
                assert client.told[-2] == turn(0, ("again", 300, 600), end=True)
        async with driver(replay) as one:  # a call later
            assert not await one.send(0, 3000)


async def test_who_starts_again_hears_it_from_its_beginning(tmp_path: Path) -> None:
    async with server(lost(tmp_path)) as replay:
        async with driver(replay) as client:
            assert await client.send(0, 1200)  # and goes, without a word
        async with driver(replay) as client:
            assert not await client.send(0, 3000)
            assert client.told[0] == HELLO


async def test_who_was_cut_off_may_send_everything_again(tmp_path: Path) -> None:
    async with server(lost(tmp_path)) as replay:
        await lose_first(replay)
        async with driver(replay) as client:
            assert await client.send(0, 6000)
            assert client.told[0] == HELLO


async def test_a_recording_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "call.aai"
    path.write_bytes(b"no zip")
    with pytest.raises(InputError, match="is no recorded call"):
        ReplayEngine(path)


async def test_a_call_that_was_cut_off_has_an_open_session(tmp_path: Path) -> None:
    recorder = Recorder(NOISE)
    session = recorder.session()
    session.connect()
    session.send(0, 1000)
    session.hear(HELLO)
    async with (
        server(recorder.write(tmp_path / "call.aai")) as replay,
        driver(replay) as client,
    ):
        await client.send(0, 2000)
        await client.terminate()
        assert client.told[0] == HELLO
        assert client.close_code == 1000


async def test_nothing_hangs_when_the_server_stops(tmp_path: Path) -> None:
    async with server(lost(tmp_path)) as replay, driver(replay) as client:
        await client.send(0, 500)
        await within(5, replay.__aexit__())
        assert not await client.send(500, 1000)
        assert client.close_code == 1001
