"""Processes that die, end and fork while a call is recorded."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from aai_stream.recorder.format import Finished
from aai_stream.recorder.reading import read_call
from tests.recorder.keeping import (
    assert_in_order,
    bytes_of,
    entries_of,
    names_in,
    the_call,
)
from tests.servers import within
from tests.talks import SECOND, Server, connect, well


async def speak(url: str, folder: Path, then: str) -> asyncio.subprocess.Process:
    """Run `speaking` up to where it has spoken."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.recorder.speaking", url, str(folder), then),
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdout is not None
    assert await within(20, process.stdout.readline()) == b"spoken\n"
    return process


async def record_another(url: str, folder: Path) -> Path:
    async with connect(base_url=url, record=folder) as stream:
        assert stream.recording is not None
        await within(5, stream.end())
    return stream.recording


async def test_a_process_that_is_killed_leaves_a_call_that_can_be_read(
    tmp_path: Path,
) -> None:
    async with Server(well).serve() as url:
        process = await speak(url, tmp_path, "hang")
        (part,) = names_in(tmp_path)
        await record_another(url, tmp_path)
        assert part.exists()  # its process is alive
        process.kill()
        await process.communicate()
        with (part / "events.jsonl").open("ab") as events:
            events.write(b'{"kind":"pushed","unix":17')
        before = read_call(part)
        another = await record_another(url, tmp_path)
    assert not part.exists()
    assert another.exists()
    after = read_call(part.with_suffix(""))
    for call in (before, after):
        assert bytes_of(call) == SECOND
        assert_in_order(call)
        assert not entries_of(call, Finished)
    assert before.entries == after.entries
    assert len(names_in(tmp_path)) == 3


@pytest.mark.parametrize(
    ("then", "whys"), [("end", ["closed"]), ("leave", ["closed"]), ("stop", [])]
)
async def test_a_process_that_ends_writes_what_it_has(
    tmp_path: Path, then: str, whys: list[str]
) -> None:
    async with Server(well).serve() as url:
        process = await speak(url, tmp_path, then)
        await within(20, process.communicate())
        assert process.returncode == 0
    call = the_call(tmp_path)
    assert bytes_of(call) == SECOND
    assert_in_order(call)
    assert [entry.why for entry in entries_of(call, Finished)] == whys


@pytest.mark.parametrize("wire", ["picows", "aiohttp"])
async def test_forks_leave_the_parent_s_recording_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wire: str
) -> None:
    monkeypatch.setenv("AAI_STREAM_RECORD", str(tmp_path))
    server = Server(well)
    async with server.serve() as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.forked", url, wire, "asyncio")
        )
        await within(30, process.wait())
        assert process.returncode == 0
    call = the_call(tmp_path)
    assert bytes_of(call) == SECOND == server.talks[0].audio
    assert_in_order(call)
