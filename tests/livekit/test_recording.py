"""Calls kept on file: `record` of `STT`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from livekit.agents import APIStatusError

from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.server.emulator import Emulator
from aai_stream.recorder.format import Finished, Opening, Received
from aai_stream.recorder.reading import read_call
from tests.livekit.scripts import final, turn
from tests.livekit.servers import NO_RETRY, Server, make_stt, silence, to_frames
from tests.recorder.keeping import (
    assert_in_order,
    bytes_of,
    entries_of,
    names_in,
    the_call,
)
from tests.servers import until, within
from tests.workers import worker

HELLO = [(0.2, turn("Hello")), (0.5, final("Hello world.", 200))]


async def test_a_stream_s_call_is_on_file_soon_after_it_is_closed(
    tmp_path: Path,
) -> None:
    async with Server(script=HELLO) as server:
        stt = make_stt(server.url, record=tmp_path)
        stream = stt.stream()
        assert stream.recording is not None
        for frame in to_frames(silence(1)):
            stream.push_frame(frame)
        stream.end_input()
        told = [event async for event in stream]
        assert told
        await stream.aclose()
        await until(lambda: names_in(tmp_path) == [stream.recording])
    call = the_call(tmp_path)
    assert call.path == stream.recording
    assert_in_order(call)
    assert call.seconds == 1
    assert bytes_of(call) == server.talks[0].audio
    said = [entry.message["type"] for entry in entries_of(call, Received)]
    assert said == ["Begin", "Turn", "Turn", "Termination"]
    (opening,) = entries_of(call, Opening)
    assert opening.query == server.talks[0].query


async def test_each_stream_has_its_own(tmp_path: Path) -> None:
    async with Server(script=HELLO) as server:
        stt = make_stt(server.url, record=tmp_path)
        streams = [stt.stream() for _ in range(3)]
        files = {stream.recording for stream in streams}
        await until(lambda: len(server.talks) == 3)
        await stt.aclose()
        await until(lambda: {*names_in(tmp_path)} == files)
    assert len(files) == 3


async def test_a_native_rate_is_that_of_the_first_frame(tmp_path: Path) -> None:
    async with Server() as server:
        stt = make_stt(server.url, record=tmp_path, sample_rate="native")
        stream = stt.stream()
        assert stream.recording is None
        stream.push_frame(to_frames(silence(1))[0])
        file = stream.recording
        assert file is not None
        await until(lambda: bool(server.talks))
        await stream.aclose()
        await until(lambda: names_in(tmp_path) == [file])
    assert the_call(tmp_path).meta.sample_rate == 16_000


async def test_without_the_keyword_nothing_is_kept(tmp_path: Path) -> None:
    async with Server() as server:
        stream = make_stt(server.url).stream()
        await until(lambda: bool(server.talks))
        assert stream.recording is None
        await stream.aclose()


async def test_recognize_is_kept_when_it_returns(tmp_path: Path) -> None:
    async with Server(script=HELLO) as server:
        stt = make_stt(server.url, record=tmp_path)
        await within(10, stt.recognize(to_frames(silence(1))))
    call = the_call(tmp_path)
    assert call.seconds == 1
    (finished,) = entries_of(call, Finished)
    assert finished.why == "ended"


async def test_recognize_that_fails_is_kept(tmp_path: Path) -> None:
    async with Server(refuse=[401]) as server:
        stt = make_stt(server.url, record=tmp_path)
        with pytest.raises(APIStatusError):
            await stt.recognize(to_frames(silence(1)), conn_options=NO_RETRY)
    (finished,) = entries_of(the_call(tmp_path), Finished)
    assert finished.why == "failed"


async def test_a_job_s_process_writes_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs are forks of a process that has loaded all; each has a thread of its own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    calls = tmp_path / "calls"
    monkeypatch.setenv("AAI_STREAM_RECORD", str(calls))
    async with (
        Emulator(ScriptEngine([])) as server,
        worker(server.url, tmp_path) as started,
    ):
        started.start(2)
        await within(6, until_there(calls, "*.aai.part/lock", 2))
        started.stop_jobs()
        await within(6, until_there(calls, "*.aai", 2))
    assert not found(calls, "*.part")
    for path in found(calls, "*.aai"):
        (finished,) = entries_of(read_call(path), Finished)
        assert finished.why == "closed"


def found(folder: Path, pattern: str) -> list[Path]:
    return [*folder.glob(pattern)]


async def until_there(folder: Path, pattern: str, count: int) -> None:
    while len(found(folder, pattern)) != count:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
