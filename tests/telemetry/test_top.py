"""`aai-stream top`, and the windows that it looks through."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import pty
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import aai_stream
from aai_stream.cli.top import table
from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.server.emulator import Emulator
from aai_stream.telemetry import looking, window
from aai_stream.telemetry.looking import look
from aai_stream.telemetry.loops import this_loops_watched
from aai_stream.telemetry.snapshot import ProcessShown, StreamShown, shown
from tests.runs import RATE, Run, turns_of_the_loop
from tests.servers import within
from tests.talks import turn


class Sockets:
    """Where they are in a test; the directory is yet to be made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self, mode: int) -> None:
        self.path.mkdir()
        self.path.chmod(mode)

    @property
    def mode(self) -> int:
        return self.path.stat().st_mode & 0o777

    @property
    def names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()]


@pytest.fixture(autouse=True)
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sockets:
    """Those of this test alone."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(window, "_is_told", False)
    return Sockets(tmp_path / "aai-stream")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Of a server that has nothing to say."""
    async with Emulator(ScriptEngine([])) as server:
        yield server.url


@contextlib.asynccontextmanager
async def program(
    url: str, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process with streams, which are open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.telemetry.speaking", url, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert await within(30, process.stdout.readline()) == b"ready\n"
        yield process
        process.stdin.write(b"\n")
        await within(30, process.wait())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def aai_stream_top(*arguments: str) -> str:
    """What the command prints."""
    code = "from aai_stream.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "top", *arguments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )
    out: bytes = (await within(30, process.communicate()))[0]
    assert process.returncode == 0
    return out.decode()


async def test_the_streams_of_two_processes(url: str, sockets: Sockets) -> None:
    async with program(url, "1") as one, program(url, "2") as two:
        processes: list[dict[str, Any]] = json.loads(
            await aai_stream_top("--once", "--json")
        )
        counts = {each["pid"]: len(each["streams"]) for each in processes}
        assert counts == {one.pid: 1, two.pid: 2}
        stream = processes[0]["streams"][0]
        assert stream["state"] == "listening"
        assert (stream["buffer_seconds"], stream["lag_seconds"]) == (0.5, 0.0)
        assert stream["region"] == "local"
        assert stream["session"]
        lines = (await aai_stream_top("--once")).splitlines()
        assert lines[0].startswith("3 streams")
        assert sum("listening" in line for line in lines) == 3
        two.send_signal(signal.SIGKILL)
        await two.wait()
        assert [process.pid for process in await look()] == [one.pid]
        assert len(sockets.names) == 1  # what it left is gone
    assert await look() == []
    assert sockets.names == []


async def test_on_a_terminal_until_it_is_stopped(url: str) -> None:
    ours, theirs = pty.openpty()
    async with program(url, "1"):
        code = "from aai_stream.cli import main; main()"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, "top", "--interval", "0.1"),
            stdout=theirs,
            env={**os.environ, "COLUMNS": "200", "LINES": "20", "TERM": "xterm"},
        )
        os.close(theirs)
        shown = b""
        while shown.count(b"listening") < 3:  # it is shown again and again
            shown += await within(30, asyncio.to_thread(os.read, ours, 4096))
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the terminal is gone with it
            while await within(30, asyncio.to_thread(os.read, ours, 4096)):
                pass
        assert await within(30, process.wait()) == 128 + signal.SIGINT
    os.close(ours)


async def test_a_fork_has_its_own(url: str, sockets: Sockets) -> None:
    async with program(url, "1", "--fork") as parent:
        found = sockets.names
        assert len(found) == 2
        assert any(name.startswith(f"{parent.pid}-") for name in found)
        (child,) = [each for each in await look() if each.pid != parent.pid]
        assert len(child.streams) == 2
    assert sockets.names == []


async def test_no_streams() -> None:
    assert await look() == []
    assert (await aai_stream_top()).splitlines()[0].startswith("0 streams")
    assert json.loads(await aai_stream_top("--once", "--json")) == []


async def test_a_socket_that_only_its_user_can_open(url: str, sockets: Sockets) -> None:
    async with aai_stream.connect(api_key="k", base_url=url):
        assert sockets.mode == 0o700
        async with aai_stream.connect(api_key="k", base_url=url):
            assert len(sockets.names) == 1
        (process,) = await look()
        assert process.pid == os.getpid()
        assert len(process.streams) == 1
    assert sockets.names == []


async def test_many_look_at_once(url: str) -> None:
    async with aai_stream.connect(api_key="k", base_url=url):
        found = await asyncio.gather(*(look() for _ in range(50)))
    assert all(len(processes) == 1 for processes in found)


@pytest.mark.parametrize("obstacle", ["open to others", "no directory", "a file"])
async def test_a_stream_does_without(
    obstacle: str, url: str, sockets: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    """And says so once."""
    if obstacle == "open to others":
        sockets.make(0o755)
    elif obstacle == "a file":
        os.close(os.open(sockets.path, os.O_CREAT))
    else:
        os.environ["XDG_RUNTIME_DIR"] = str(sockets.path / "nowhere")
    caplog.set_level(logging.INFO, "aai_stream")
    for _ in range(2):
        async with aai_stream.connect(api_key="k", base_url=url) as stream:
            stream.push(bytes(3200))
    texts = [record.getMessage() for record in caplog.records]
    assert sum("top can't show this process" in text for text in texts) == 1


async def test_a_directory_of_others_is_not_looked_into(sockets: Sockets) -> None:
    sockets.make(0o777)
    with pytest.raises(PermissionError, match="not a directory of this user alone"):
        await look()


async def test_a_link_is_no_directory(sockets: Sockets, tmp_path: Path) -> None:
    os.mkdir(tmp_path / "elsewhere", 0o700)
    os.symlink(tmp_path / "elsewhere", sockets.path)
    with pytest.raises(PermissionError):
        await look()


async def test_a_directory_of_another_user(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets.make(0o700)
    assert await look() == []
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(PermissionError):
        await look()


async def test_a_fork_leaves_its_parent_s_alone(sockets: Sockets) -> None:
    """It neither listens on it, nor removes it when its copy of a stream ends."""
    made = window.Window(lambda: b"{}")
    if (child := os.fork()) == 0:
        copy = socket.socket(fileno=os.dup(made.fileno()))
        listens = copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        made.close()
        os._exit(listens)
    _, status = os.waitpid(child, 0)  # noqa: ASYNC222, the child's is no process
    assert status == 0
    assert len(sockets.names) == 1
    path = str(sockets.path / sockets.names[0])
    reader, writer = await asyncio.open_unix_connection(path)
    assert await within(5, reader.read()) == b"{}"
    writer.close()
    made.close()
    assert sockets.names == []


async def test_a_process_that_is_held(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "ANSWER_SECONDS", 0.05)
    sockets.make(0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(sockets.path / "123-0.sock"))
        listening.listen()
        found = await look()
    assert found == [ProcessShown(pid=123, program="", streams=[], answers=False)]


async def test_what_is_no_snapshot_is_left_out(sockets: Sockets) -> None:
    sockets.make(0o700)

    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"pid": "none"}')
        writer.close()

    path = str(sockets.path / "123-0.sock")
    async with await asyncio.start_unix_server(answer, path):
        assert await look() == []


async def test_without_a_runtime_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert window.directory() == f"/dev/shm/aai-stream-{os.geteuid()}"
    monkeypatch.setattr(window, "MEMORY", str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert window.directory() == str(tmp_path / f"aai-stream-{os.geteuid()}")


# ---- what is shown ----


async def test_states() -> None:
    run = Run(wait=10.0, catch_up_rate=1.25)
    run.connector.opens.clear()
    states: list[str] = []

    def look_now() -> StreamShown:
        return shown(run.runner.reporter, run.runner.now())

    run.runner.start()
    states.append(look_now().state)
    run.push(5 * RATE)
    run.connector.opens.set()
    await turns_of_the_loop()
    states.append(look_now().state)
    assert 0 < look_now().lag_seconds < 5
    assert look_now().buffer_seconds == 5
    run.wire.end(1011)
    states.append(look_now().state)
    assert look_now().reconnects == 1
    await run.runner.close()
    assert states == ["connecting", "catching up", "waiting"]


async def test_the_age_of_words() -> None:
    run = Run()
    wire = await run.open()
    run.push(RATE)
    reporter = run.runner.reporter
    assert shown(reporter, run.runner.now()).turn_seconds is None
    wire.say({"type": "Turn", "turn_order": 0})
    assert shown(reporter, run.runner.now()).turn_seconds is None
    wire.say(turn(0, ("secret", 0, 500)))
    assert reporter.turn_at is not None
    assert shown(reporter, reporter.turn_at + 3.0).turn_seconds == 3.0
    said = this_loops_watched().snapshot()
    assert b"secret" not in said
    run.runner.end()
    assert shown(reporter, run.runner.now()).state == "ending"
    await run.runner.close()


def test_a_row_is_shown_as_it_is() -> None:
    """Neither control characters nor markup of a server's get through."""
    stream = StreamShown(
        stream="0123abcd",
        state="listening",
        model="[red]x\x1b[2J",
        session=None,
        region="eu",
        buffer_seconds=1.0,
        lag_seconds=0.0,
        age_seconds=1.0,
        turn_seconds=None,
        reconnects=0,
    )
    made = table([ProcessShown(pid=1, program="x", streams=[stream])])
    (model,) = made.columns[3].cells
    assert str(model) == "[red]x [2J"


def test_a_process_that_does_not_answer_has_a_row() -> None:
    held = ProcessShown(pid=123, program="", streams=[], answers=False)
    made = table([held])
    assert made.title == "0 streams"
    process, _, says = (list(column.cells) for column in made.columns[:3])
    assert (process, says) == (["123"], ["no answer in 1 s"])


def test_a_loop_that_is_closed_takes_its_window_with_it(sockets: Sockets) -> None:
    """Streams may be left open in it."""

    async def leave_open() -> None:
        window.Window(lambda: b"")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_open())
    assert len(sockets.names) == 1
    loop.close()
    del loop
    gc.collect()
    assert sockets.names == []
