"""The engine and its processes: sessions side by side, deaths, ends. Linux only."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.importorskip("pocketsphinx", reason="needs the extra `local`")
if sys.platform != "linux":
    pytest.skip("looks for processes in /proc", allow_module_level=True)

from aai_stream.emulator.engines.engine import (
    Broken,
    Engine,
    Finished,
    Heard,
    Hypothesis,
    Recognizer,
    Silence,
    SpeechStarted,
    TurnSettings,
)
from aai_stream.emulator.engines.pocketsphinx import PocketsphinxEngine
from aai_stream.errors import EngineError

HERE = str(Path(__file__).parent)
CALL = Path(__file__).parents[3] / "examples" / "call.wav"
RATE = 16_000
SECOND = RATE * 2
SETTINGS = TurnSettings(min_silence_ms=400, max_silence_ms=1280)


def beginning(duration_ms: int) -> bytes:
    """So much of the demo call: "Hello, this is John Miller speaking." """
    with wave.open(str(CALL)) as call:
        return bytes(call.readframes(duration_ms * RATE // 1000))


SENTENCE = beginning(3700)
HELLO = beginning(1400)


@pytest.fixture
async def engine() -> AsyncIterator[PocketsphinxEngine]:
    engine = PocketsphinxEngine()
    await engine.start()
    yield engine
    await engine.aclose()


class Session:
    """A recogniser and what it has told."""

    def __init__(self, engine: Engine, settings: TurnSettings = SETTINGS) -> None:
        self.heard: list[Heard] = []
        self._more = asyncio.Event()
        self.recognizer: Recognizer = engine.open(RATE, settings, self._tell)

    def _tell(self, heard: Heard) -> None:
        self.heard.append(heard)
        self._more.set()

    async def until(self, *kinds: type[Heard]) -> Heard:
        """The first event of these kinds, told already or to come."""
        while True:
            for each in self.heard:
                if isinstance(each, kinds):
                    return each
            self._more.clear()
            await self._more.wait()

    async def until_alive(self) -> Heard:
        """Have the worker answer."""
        await self.hear(bytes(2 * SECOND))
        return await self.until(Silence, Broken)

    async def hear(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), SECOND // 20):
            await self.recognizer.hear(pcm[at : at + SECOND // 20])

    async def run(self, pcm: bytes) -> list[Heard]:
        await self.hear(pcm)
        self.recognizer.finish()
        await self.until(Finished)
        return self.heard


def texts(heard: list[Heard]) -> list[str]:
    return [
        " ".join(word.text for word in each.words)
        for each in heard
        if isinstance(each, Hypothesis) and each.end_of_turn
    ]


def children(pid: int) -> list[int]:
    """Its child processes, but for one of multiprocessing's that stays with it."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(c) for t in tasks for c in (t / "children").read_text().split()]
    return [child for child in found if b"resource_tracker" not in command(child)]


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def fork_server() -> int:
    (pid,) = (pid for pid in children(os.getpid()) if b"worker.main" in command(pid))
    return pid


async def gone(pid: int) -> None:
    """Wait until this process, which lives, has ended."""
    ended = asyncio.Event()
    fd = os.pidfd_open(pid)
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def stop(pid: int) -> None:
    """Stop this process, as a debugger does, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    state = ""
    while state != "T":
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        state = stat.rpartition(")")[2].split()[0]


async def test_same_text_in_parallel_and_again(engine: PocketsphinxEngine) -> None:
    both = [Session(engine).run(SENTENCE) for _ in range(2)]
    one, other = await asyncio.gather(*both)
    assert texts(one) == ["hello this is john miller speaking"]
    assert other == one
    assert await Session(engine).run(SENTENCE) == one


async def test_orders_reach_the_worker_in_order(engine: PocketsphinxEngine) -> None:
    session = Session(engine, TurnSettings(5000, 5000))
    await session.hear(SENTENCE[: 18 * SECOND // 10])
    session.recognizer.force_endpoint()
    session.recognizer.configure(SETTINGS)
    heard = await session.run(SENTENCE[18 * SECOND // 10 :])
    assert len(texts(heard)) == 2
    assert isinstance(heard[0], SpeechStarted)
    final = heard[-2]
    assert isinstance(final, Hypothesis)
    assert final.heard_ms < 3700


async def test_nothing_is_told_after_close(engine: PocketsphinxEngine) -> None:
    session = Session(engine)
    await session.until_alive()
    await session.hear(HELLO)
    (worker,) = children(fork_server())
    session.recognizer.close()
    told = list(session.heard)
    await gone(worker)
    assert session.heard == told
    await session.recognizer.hear(bytes(SECOND * 10))


async def test_hear_waits_while_seconds_are_queued(engine: PocketsphinxEngine) -> None:
    session = Session(engine)
    await session.until_alive()
    (worker,) = children(fork_server())
    stop(worker)
    await session.recognizer.hear(bytes(2 * SECOND))
    waiting = asyncio.create_task(session.recognizer.hear(bytes(2 * SECOND)))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    os.kill(worker, signal.SIGCONT)
    await waiting


async def test_a_dead_worker_is_told_and_the_engine_goes_on(
    engine: PocketsphinxEngine,
) -> None:
    session = Session(engine)
    await session.until_alive()
    (worker,) = children(fork_server())
    neighbour = Session(engine)
    os.kill(worker, signal.SIGKILL)
    await session.until(Broken)
    await session.recognizer.hear(bytes(10 * SECOND))
    session.recognizer.finish()
    assert texts(await neighbour.run(HELLO)) == texts(await Session(engine).run(HELLO))
    assert isinstance(session.heard[-1], Broken)


async def test_a_dead_fork_server_is_replaced(
    engine: PocketsphinxEngine, caplog: pytest.LogCaptureFixture
) -> None:
    survivor = Session(engine)
    await survivor.until_alive()
    os.kill(fork_server(), signal.SIGKILL)
    while isinstance(await Session(engine).until_alive(), Broken):
        pass
    assert "starting another" in caplog.text
    later = await Session(engine).run(HELLO)
    assert texts(later) == ["hello"]
    assert isinstance((await survivor.run(HELLO))[-1], Finished)


async def test_aclose_leaves_no_process() -> None:
    engine = PocketsphinxEngine()
    await engine.start()
    session, other = Session(engine), Session(engine)
    await session.until_alive()
    await other.until_alive()
    await other.hear(HELLO)
    server = fork_server()
    workers = children(server)
    assert len(workers) == 2
    await engine.aclose()
    assert not children(os.getpid())
    for pid in [server, *workers]:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not any(isinstance(each, Broken) for each in session.heard)
    await engine.aclose()
    with pytest.raises(EngineError):
        engine.open(RATE, SETTINGS, print)


async def test_aclose_ends_a_stopped_worker() -> None:
    engine = PocketsphinxEngine()
    await engine.start()
    await Session(engine).until_alive()
    (worker,) = children(fork_server())
    stop(worker)
    await engine.aclose()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


async def test_it_starts_again_after_aclose() -> None:
    engine = PocketsphinxEngine()
    for _ in range(2):
        await engine.start()
        assert isinstance(await Session(engine).until_alive(), Silence)
        await engine.aclose()


async def test_processes_end_with_the_one_that_started_them() -> None:
    program = """
        import asyncio, os, signal, sys
        from test_pocketsphinx import PocketsphinxEngine, Session, children, fork_server

        async def main():
            engine = PocketsphinxEngine()
            await engine.start()
            await Session(engine).until_alive()
            print(fork_server(), *children(fork_server()), flush=True)
            sys.stdin.read()

        asyncio.run(main())
    """
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([HERE, *sys.path])},
    )
    assert owner.stdout is not None
    pids = [int(pid) for pid in (await owner.stdout.readline()).split()]
    assert len(pids) == 2
    ends = [asyncio.create_task(gone(pid)) for pid in pids]
    await asyncio.sleep(0)
    owner.kill()
    await asyncio.gather(*ends)
    _, errors = await owner.communicate()
    assert errors == b""


async def test_ctrl_c_does_not_reach_the_processes(engine: PocketsphinxEngine) -> None:
    assert os.getpgid(fork_server()) != os.getpgrp()


async def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = "raise ModuleNotFoundError(\"No module named 'pocketsphinx'\")"
    (tmp_path / "pocketsphinx.py").write_text(missing, encoding="ascii")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError, match=r"pip install pocketsphinx"):
        await PocketsphinxEngine().start()
    assert not children(os.getpid())


def test_capacity() -> None:
    assert PocketsphinxEngine().capacity == 2 * len(os.sched_getaffinity(0))
    assert PocketsphinxEngine(capacity=3).capacity == 3


def test_open_before_start() -> None:
    with pytest.raises(EngineError, match="started"):
        PocketsphinxEngine().open(RATE, SETTINGS, print)
