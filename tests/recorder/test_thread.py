"""The writing thread: how long it lives, and whose end it notices."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from aai_stream._core import Tap
from aai_stream.recorder import thread
from aai_stream.recorder.entries import Scribe
from aai_stream.recorder.format import Connected, Finished
from aai_stream.recorder.reading import read_call
from aai_stream.recorder.recording import RecordSettings
from aai_stream.recorder.thread import WritingThread
from aai_stream.recorder.writing import CallWriter
from tests.recorder.keeping import META, names_in, names_of, the_call
from tests.servers import until, within


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "WRITE_SECONDS", 0.01)


def make_call(writing: WritingThread, folder: Path) -> CallWriter:
    """One at whose start something was noted."""
    tap = Tap(lambda: 0.0, writing.backlog)
    tap.note((Connected, {"session": 1}))
    scribe = Scribe(META, 0.0, str)
    file = folder / "20260101-000001-0123abcd.aai"
    recording = RecordSettings(folder, 1e6, {})
    return CallWriter(recording, file, tap, meta=META, scribe=scribe, fields={})


def end(writing: WritingThread, call: CallWriter) -> None:
    call.tap.note((Finished, {"why": "ended"}))
    call.tap.close()
    writing.write_soon(call)


async def test_it_lives_as_long_as_there_are_calls(tmp_path: Path) -> None:
    others = set(threading.enumerate())
    writing, folders = WritingThread(), [tmp_path / str(n) for n in range(3)]
    for number in range(2):  # it begins anew
        calls = []
        for folder in folders:
            folder.mkdir(exist_ok=True)
            calls.append(make_call(writing, folder))
            writing.add(calls[-1])
        (writer,) = set(threading.enumerate()) - others
        for call in calls:
            assert writer.is_alive()
            done = writing.done(call)
            assert done is not None
            end(writing, call)
            await within(5, asyncio.wrap_future(done))
            assert writing.done(call) is None
        writer.join()
        for folder in folders:
            assert names_of(the_call(folder)) == ["Connected", "Finished"]
            if number == 0:
                the_call(folder).path.unlink()
    assert writing.backlog.used == 0


@pytest.mark.parametrize("daemon", [False, True])
async def test_a_call_whose_thread_has_ended_ends(tmp_path: Path, daemon: bool) -> None:
    """Unless it is a daemon, which the interpreter's end ends."""
    writing = WritingThread()
    call = make_call(writing, tmp_path)
    owner = threading.Thread(target=writing.add, args=[call], daemon=daemon)
    owner.start()
    await asyncio.to_thread(owner.join)
    if daemon:
        await until(lambda: writing.backlog.used == 0)
        assert call.tap.is_open
        end(writing, call)
    await until(lambda: writing.done(call) is None)
    finished = ["Finished"] if daemon else []
    assert names_of(the_call(tmp_path)) == ["Connected", *finished]


async def test_who_no_longer_waits_does_not_keep_it_from_being_written(
    tmp_path: Path,
) -> None:
    writing = WritingThread()
    call = make_call(writing, tmp_path)
    writing.add(call)
    done = writing.done(call)
    assert done is not None
    waiting = asyncio.wrap_future(done)
    waiting.cancel()
    await asyncio.sleep(0)
    end(writing, call)
    await within(5, asyncio.wrap_future(done))
    assert names_of(the_call(tmp_path)) == ["Connected", "Finished"]


def test_what_nobody_writes_does_not_wait(tmp_path: Path) -> None:
    writing = WritingThread()
    call = make_call(writing, tmp_path)
    assert writing.backlog.used > 0
    end(writing, call)
    assert writing.backlog.used == 0
    assert not names_in(tmp_path)


def test_a_fork_leaves_the_files_to_its_parent(tmp_path: Path) -> None:
    writing = WritingThread()
    call = make_call(writing, tmp_path)
    call.write()
    call.tap.note((Connected, {"session": 2}))
    call.abandon()
    assert call.is_over
    assert not call.tap.is_open
    assert writing.backlog.used == 0
    (part,) = names_in(tmp_path)
    assert names_of(read_call(part)) == ["Connected"]
