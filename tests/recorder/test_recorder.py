"""Streams over sockets whose calls are kept on file."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import stat
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import aiohttp
import numpy as np
import pytest

from aai_stream._core import Backlog, pcm_of_mulaw
from aai_stream.errors import RefusedError, UnreachableError
from aai_stream.messages import Turn
from aai_stream.recorder import thread, writing
from aai_stream.recorder.format import (
    Closed,
    Connected,
    Decided,
    Finished,
    Meta,
    Opening,
    Pushed,
    Received,
    Said,
    Sent,
    Told,
)
from aai_stream.recorder.thread import writing_thread
from tests.audio import count_up, noise
from tests.recorder.keeping import (
    assert_in_order,
    bytes_of,
    decided,
    entries_of,
    names_in,
    names_of,
    raw_events,
    the_call,
)
from tests.servers import BEGIN, until, within
from tests.talks import (
    SECOND,
    Server,
    Talk,
    all_events,
    closed_with,
    connect,
    final,
    impatient,
    lost_after,
    turn,
    well,
)

KEY = "key-that-nobody-may-see"
TOKEN = "token+that/nobody=may-see"
MARK = "query-that-nobody-may-see"
HI = ("hi", 0, 200)


def sent_samples(sent: list[Sent], session: int) -> list[int]:
    """Those of the stream, in the order in which they were sent to the session."""
    return [
        sample
        for entry in sent
        if entry.session == session
        for start, samples, _, _ in entry.chunks
        for sample in range(start, start + samples)
    ]


@pytest.mark.every_loop
async def test_a_call_is_kept_as_it_was(
    tmp_path: Path, http_session: aiohttp.ClientSession | None
) -> None:
    async def act(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(500)
        await talk.say(turn(0, HI), final(0, HI))
        await talk.finish()

    server = Server(act)
    async with server.serve() as url:
        stream = connect(
            base_url=url, record=tmp_path, http_session=http_session, prompt="a prompt"
        )
        assert stream.recording is not None
        stream.push(SECOND[:1000])  # before it is entered
        async with stream:
            stream.push(SECOND[1000:16_000])
            stream.push_threadsafe(SECOND[16_000:20_000])
            await asyncio.sleep(0)
            stream.update(prompt="another")
            stream.push(SECOND[20_000:31_990])
            await within(5, stream.end())
            told = await all_events(stream)
    call = the_call(tmp_path)
    assert call.path == stream.recording
    (talk,) = server.talks
    pushed = bytes_of(call)
    assert talk.audio[: len(pushed)] == pushed == SECOND[:31_990]
    assert_in_order(call)
    assert names_of(call)[-1] == "Finished"
    (opening,) = entries_of(call, Opening)
    assert opening.query == talk.query
    assert len(entries_of(call, Connected)) == 1
    sent = entries_of(call, Sent)
    assert sent_samples(sent, 1) == list(range(len(pushed) // 2))
    lengths = [2 * (n + padding) for e in sent for _, n, padding, _ in e.chunks]
    assert lengths == [len(chunk) for chunk in talk.chunks]
    assert [e.message for e in entries_of(call, Said)] == talk.commands
    assert [e.message["type"] for e in entries_of(call, Received)] == [
        *("Begin", "Turn", "Turn", "Termination")
    ]
    said = [json.loads(json.dumps(e.message)) for e in entries_of(call, Told)]
    assert [m["type"] for m in said] == [type(event).__name__ for event in told]
    turns = [event for event in told if isinstance(event, Turn)]
    assert [m["is_final"] for m in said if m["type"] == "Turn"] == [False, True]
    assert said[2]["words"][0]["text"] == turns[1].words[0].text == "hi"
    assert ("Opened", 1) in decided(call)
    assert ("Over", 1) in decided(call)
    pushes = [sample for e in entries_of(call, Pushed) for sample, _ in e.pushes]
    assert pushes[0] == 500
    assert pushes[-1] == len(pushed) // 2


async def test_what_is_the_same_for_the_whole_call(tmp_path: Path) -> None:
    async with (
        Server(well).serve() as url,
        connect(
            base_url=url,
            record=tmp_path,
            sample_rate=8000,
            encoding="pcm_mulaw",
            chunk_ms=100,
            replay_seconds=30,
        ) as stream,
    ):
        name = stream._runner.reporter.name
        await within(5, stream.end())
    meta = the_call(tmp_path).meta
    assert (meta.stream, meta.host, meta.sample_rate) == (name, "127.0.0.1", 8000)
    assert (meta.encoding, meta.chunk_ms) == ("pcm_mulaw", 100)
    assert meta.settings["replay_seconds"] == 30
    assert meta.settings["catch_up_rate"] == "inf"
    assert meta.settings["begin_timeout"] == 20
    assert "budget" not in meta.settings
    assert stream.recording is not None
    assert stream.recording.name.endswith(f"-{name}.aai")


async def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    async with (
        Server(well).serve() as url,
        connect(base_url=url) as stream,
    ):
        assert stream.recording is None
        assert stream._protocol.ring.tap is None
        stream.push(SECOND)
        await within(5, stream.end())
    assert not names_in(tmp_path)


async def test_the_environment_names_a_folder_and_the_keyword_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AAI_STREAM_RECORD", str(tmp_path / "environment"))
    async with Server(well).serve() as url:
        for keyword in (None, tmp_path / "keyword"):
            async with connect(base_url=url, record=keyword) as stream:
                await within(5, stream.end())
    assert the_call(tmp_path / "environment").seconds == 0
    assert the_call(tmp_path / "keyword").seconds == 0


async def test_mu_law_is_kept_as_the_server_hears_it(tmp_path: Path) -> None:
    server = Server(well)
    async with (
        server.serve() as url,
        connect(base_url=url, record=tmp_path, encoding="pcm_mulaw") as stream,
    ):
        stream.push(noise(8000))
        await within(5, stream.end())
    assert bytes_of(the_call(tmp_path)) == pcm_of_mulaw(server.talks[0].audio)


async def test_resampled_audio_is_kept_as_it_is_sent(tmp_path: Path) -> None:
    server = Server(well)
    async with (
        server.serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        for rate, channels in ((48_000, 2), (24_000, 1), (44_100, 1)):
            stream.push(
                noise(rate // 4, channels), sample_rate=rate, num_channels=channels
            )
            stream.push(noise(rate // 7), sample_rate=rate)
        stream.flush()
        await within(5, stream.end())
    kept, heard = bytes_of(the_call(tmp_path)), server.talks[0].audio
    assert kept == heard[: len(kept)]
    assert not any(heard[len(kept) :])


async def test_audio_that_is_dropped_is_kept(tmp_path: Path) -> None:
    async with Server(well).serve() as url:
        stream = connect(base_url=url, record=tmp_path, replay_seconds=1)
        audio = count_up(0, 48_000)
        stream.push(audio)
        async with stream:
            await within(5, stream.end())
            assert stream.stats.dropped_samples == 32_000
    assert bytes_of(the_call(tmp_path)) == audio


async def test_audio_of_another_thread_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "WRITE_SECONDS", 0.001)
    server = Server(well)
    pieces = [SECOND[start : start + 200] for start in range(0, len(SECOND), 200)]

    def play(push: Callable[[bytes], None]) -> None:
        for piece in pieces:
            push(piece)

    async with (
        server.serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        await asyncio.to_thread(play, stream.push_threadsafe)
        await within(5, stream.end())
    call = the_call(tmp_path)
    assert_in_order(call)
    assert bytes_of(call) == SECOND == server.talks[0].audio
    pushes = [sample for e in entries_of(call, Pushed) for sample, _ in e.pushes]
    assert pushes == list(range(100, len(SECOND) // 2 + 1, 100))


async def test_a_session_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    server = Server(lost_after(300, turn(0, HI)), (503, {}), closed_with(1011), well)
    async with (
        server.serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        stream.push(SECOND[:16_000])
        await until(lambda: len(server.talks) == 3)
        stream.push(SECOND[16_000:])
        await within(5, stream.end())
    call = the_call(tmp_path)
    assert_in_order(call)
    assert bytes_of(call) == SECOND
    assert [e.session for e in entries_of(call, Opening)] == [1, 2, 3, 4]
    assert [e.session for e in entries_of(call, Connected)] == [1, 3, 4]
    closes = [(e.session, e.code) for e in entries_of(call, Closed)]
    assert closes == [(1, 1006), (3, 1011)]
    sent = entries_of(call, Sent)
    assert sent_samples(sent, 4) == list(range(16_000))  # again from the beginning
    overs = [number for what, number in decided(call) if what == "Over"]
    assert overs == [1, 2, 3, 4]
    (failed,) = [
        e.fields["failure"]
        for e in entries_of(call, Decided)
        if e.what == "Over" and e.session == 2
    ]
    assert (failed["type"], failed["code"]) == ("DroppedError", 503)
    assert [what for what, _ in decided(call)].count("Retry") == 3


async def test_a_stream_that_fails_is_kept_though_it_was_never_open(
    tmp_path: Path,
) -> None:
    async with Server((401, {})).serve() as url:
        with pytest.raises(RefusedError):
            async with connect(base_url=url, record=tmp_path):
                raise AssertionError
    call = the_call(tmp_path)
    assert names_of(call)[0] == "Opening"
    assert call.entries[-1] == Finished(
        unix=call.entries[-1].unix, stream_ms=0, why="failed"
    )


async def test_a_refused_connect(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        async with connect(base_url="ws://127.0.0.1:1", record=tmp_path, max_retries=0):
            raise AssertionError
    assert ("Over", 1) in decided(the_call(tmp_path))


async def test_a_stream_that_is_closed(tmp_path: Path) -> None:
    async with (
        Server(well).serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        stream.push(SECOND[:3000])
    call = the_call(tmp_path)
    assert bytes_of(call) == SECOND[:3000]
    (finished,) = entries_of(call, Finished)
    assert finished.why == "closed"
    await stream.aclose()  # again


async def test_a_stream_that_is_never_entered_leaves_nothing(tmp_path: Path) -> None:
    stream = connect(base_url="ws://127.0.0.1:1", record=tmp_path)
    stream.push(SECOND)
    await stream.aclose()
    assert not names_in(tmp_path)


async def test_what_the_caller_does_with_a_turn_is_not_kept(tmp_path: Path) -> None:
    async def act(talk: Talk) -> None:
        await talk.begin()
        await talk.say(final(0, HI))
        await talk.finish()

    async with (
        Server(act).serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        async for event in stream:
            if isinstance(event, Turn):
                event.transcript = "changed"
                event.words.clear()
                break
        await within(5, stream.end())
    kept = [e.message for e in entries_of(the_call(tmp_path), Told)]
    assert [(m["transcript"], len(m["words"])) for m in kept if "words" in m] == [
        ("hi", 1)
    ]


async def test_what_is_noted_is_written_while_the_call_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "WRITE_SECONDS", 0.01)
    async with (
        Server(well).serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        stream.push(SECOND)
        assert stream.recording is not None
        part = stream.recording.with_name(stream.recording.name + ".part")
        await until(lambda: (part / "audio.pcm").exists())
        await until(lambda: (part / "audio.pcm").stat().st_size == len(SECOND))
        assert not stream.recording.exists()
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in names_in(part)}
        assert modes == dict.fromkeys(
            ["audio.pcm", "events.jsonl", "meta.json", "lock"], 0o600
        )
        assert stat.S_IMODE(part.stat().st_mode) == 0o700
    assert stat.S_IMODE(stream.recording.stat().st_mode) == 0o600
    assert bytes_of(the_call(tmp_path)) == SECOND


async def test_it_is_said_that_a_call_is_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "aai_stream"):
        async with (
            Server(well).serve() as url,
            connect(base_url=url, record=tmp_path) as stream,
        ):
            await within(5, stream.end())
    (line,) = [r for r in caplog.records if "is recorded" in r.getMessage()]
    assert str(stream.recording) in line.getMessage()
    assert vars(line)["stream"] == the_call(tmp_path).meta.stream


# ---- what may go wrong ----


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
async def test_a_disk_that_fails_ends_the_recording_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    def fail(file: Any, data: bytes) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(thread, "WRITE_SECONDS", 0.01)
    monkeypatch.setattr(writing, "_write", fail)
    server = Server(well)
    async with (
        server.serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        recorder = stream._runner.recorder
        assert recorder is not None
        stream.push(SECOND[:16_000])
        await until(lambda: not recorder._tap.is_open)
        stream.push(SECOND[16_000:])
        await within(5, stream.end())
    assert server.talks[0].audio == SECOND
    (warning,) = warnings_of(caplog)
    assert os.strerror(code) in warning
    assert not stream.recording or not stream.recording.exists()


async def test_a_writer_that_is_too_slow_ends_the_recording_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(thread, "WRITE_SECONDS", 0.01)
    monkeypatch.setattr(writing_thread(), "backlog", Backlog(20_000))
    go = threading.Event()
    write = writing._write

    def write_late(file: IO[bytes], data: bytes) -> None:
        if data.startswith(SECOND[:100]):
            assert go.wait(20)
        write(file, data)

    monkeypatch.setattr(writing, "_write", write_late)
    server = Server(well)
    async with (
        server.serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        recorder = stream._runner.recorder
        assert recorder is not None
        stream.push(SECOND[:16_000])
        await until(lambda: writing_thread().backlog.used < 16_000)
        stream.push(SECOND)
        await until(lambda: not recorder._tap.is_open)
        go.set()
        await within(5, stream.end())
    assert server.talks[0].audio == SECOND[:16_000] + SECOND
    (warning,) = warnings_of(caplog)
    assert "too much waits" in warning
    call = the_call(tmp_path)
    assert server.talks[0].audio.startswith(bytes_of(call))
    assert not entries_of(call, Finished)


async def test_more_than_can_wait_for_the_stream_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writing_thread(), "backlog", Backlog(20_000))
    server = Server(well)
    async with server.serve() as url:
        stream = connect(base_url=url, record=tmp_path)
        stream.push(SECOND)
        async with stream:
            await within(5, stream.end())
    assert server.talks[0].audio == SECOND
    (warning,) = warnings_of(caplog)
    assert "too much waits" in warning
    call = the_call(tmp_path)
    assert SECOND.startswith(bytes_of(call))
    assert not entries_of(call, Finished)


async def test_a_call_that_is_too_large_for_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(thread, "WRITE_SECONDS", 0.01)
    server = Server(well)
    audio = noise(16_000 * 40)
    async with (
        server.serve() as url,
        connect(base_url=url, record=tmp_path, record_mb=1) as stream,
    ):
        recorder = stream._runner.recorder
        assert recorder is not None
        for start in range(0, len(audio), 64_000):
            stream.push(audio[start : start + 64_000])
            await stream.drain()
            await asyncio.sleep(0.02)
        await until(lambda: not recorder._tap.is_open)
        await within(5, stream.end())
    assert server.talks[0].audio == audio
    call = the_call(tmp_path)
    assert call.path.stat().st_size < 1_010_000
    assert len(bytes_of(call)) > 800_000
    assert audio.startswith(bytes_of(call))
    assert [e.why for e in entries_of(call, Finished)] == ["full"]
    (warning,) = warnings_of(caplog)
    assert "holds 1 MB (record_mb)" in warning


# ---- secrets ----


@pytest.mark.parametrize(
    ("secret", "credential"),
    [
        (KEY, {"api_key": KEY}),
        (TOKEN, {"api_key": None, "token": TOKEN}),
        (TOKEN, {"api_key": None, "token": lambda: TOKEN}),
    ],
)
async def test_no_key_and_no_token_is_on_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    secret: str,
    credential: dict[str, Any],
) -> None:
    """Wherever it might come from: the handshake, the server, the caller."""
    impatient(monkeypatch)
    # What a source will give isn't known when the session is asked for.
    echo = "" if callable(credential.get("token")) else f"my {secret}"

    async def refuse(talk: Talk) -> None:
        await talk.say(BEGIN, {"type": "Warning", "warning": f"old {secret}"})
        await talk.say({"type": "New", secret: [secret, {"url": f"/v3/ws?x={MARK}"}]})
        await talk.socket.send_str(f"no JSON: {secret}, {quote(secret, '')}")
        await talk.hear(100)
        await talk.say({"type": "Error", "error_code": 3005, "error": f"no {secret}"})
        await talk.close(3005, f"bad {secret}")

    async def finish(talk: Talk) -> None:
        await talk.begin(configuration={"echo": secret})
        await talk.finish()

    async with (
        Server(refuse, (429, {"Retry-After": "0"}), finish).serve() as url,
        connect(
            base_url=url,
            record=tmp_path,
            extra_params={"echo": echo, "token": "another-token"},
            **credential,
        ) as stream,
    ):
        stream.push(SECOND)
        stream.update(prompt=f"they said {secret}")
        await until(lambda: stream.stats.sessions == 2)
        await within(5, stream.end())
    path = the_call(tmp_path).path
    assert "no JSON: ***, ***" in raw_events(path).decode()
    with zipfile.ZipFile(path) as archive:
        contents = b"".join(archive.read(name) for name in archive.namelist())
    for hidden in (secret, quote(secret, ""), MARK, "another-token"):
        assert hidden.encode() not in contents


async def begin_and_finish(talk: Talk) -> None:
    await talk.begin()
    await talk.finish()


async def test_no_secret_of_another_service_is_on_file(tmp_path: Path) -> None:
    async with (
        Server(begin_and_finish).serve() as url,
        connect(
            base_url=url,
            record=tmp_path,
            webhook_url=f"https://user:{MARK}@example.com/hook?x={MARK}",
            webhook_auth_header_name="X-Auth",
            webhook_auth_header_value=MARK,
            extra_params={"their_api_key": MARK, "llm_gateway": f"key {MARK}"},
            keyterms_prompt=["Zoe"],
        ) as stream,
    ):
        await within(5, stream.end())
    contents = raw_events(the_call(tmp_path).path)
    assert MARK.encode() not in contents
    assert b"Zoe" in contents
    assert b"X-Auth" in contents


async def test_what_a_lost_session_was_not_told_is_not_on_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to terminate where that can be."""
    impatient(monkeypatch)

    async def leave(talk: Talk) -> None:
        await talk.begin()
        await talk.close(1011, "oops")

    async with (
        Server(leave, begin_and_finish).serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        await until(lambda: stream.stats.sessions == 2)
        await within(5, stream.end())
    said = [
        (entry.session, entry.message["type"])
        for entry in the_call(tmp_path).entries
        if isinstance(entry, Said)
    ]
    assert said == [(2, "Terminate")]


async def test_no_password_of_a_budget_is_on_file(tmp_path: Path) -> None:
    """Its Redis refuses, of which may be told."""
    async with (
        Server(lost_after(100), well).serve() as url,
        connect(
            base_url=url,
            record=tmp_path,
            budget=f"redis://user:{KEY}@127.0.0.1:1/0",
            max_sessions=3,
        ) as stream,
    ):
        stream.push(SECOND)
        await until(lambda: stream.stats.sessions == 2)
        await within(5, stream.end())
    call = the_call(tmp_path)
    assert bytes_of(call) == SECOND
    with zipfile.ZipFile(call.path) as archive:
        contents = b"".join(archive.read(name) for name in archive.namelist())
    for hidden in (KEY, "redis:"):
        assert hidden.encode() not in contents


def test_meta_has_no_place_for_a_secret() -> None:
    names = set(Meta.__struct_fields__)
    assert names == {
        *("version", "library", "stream", "began", "host", "sample_rate"),
        *("encoding", "chunk_ms", "settings"),
    }


async def test_long_silence_costs_no_memory(tmp_path: Path) -> None:
    async with (
        Server(well).serve() as url,
        connect(base_url=url, record=tmp_path) as stream,
    ):
        stream.push(np.zeros(160_000, np.int16))
        await within(5, stream.end())
    call = the_call(tmp_path)
    assert call.seconds == 10
    assert call.path.stat().st_size < 20_000
