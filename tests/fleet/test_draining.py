"""Workers that have to stop: by Kubernetes' preStop hook, and by SIGTERM alone."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.fleet.running import Fleet, Worker, eventually, fleet
from tests.fleet.test_files import container
from tests.servers import within

CONTAINER = "unshare", "--pid", "--fork", "--mount-proc", "--kill-child"
"""As much of one as makes the worker number 1."""


def has_containers() -> bool:
    """Whether this user may make such namespaces here."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    return subprocess.run([*CONTAINER, "true"], capture_output=True).returncode == 0


@pytest.fixture
def closed(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """How sessions ended, as AssemblyAI's server sees it."""
    caplog.set_level(logging.INFO, "aai_stream.emulator")

    def codes() -> list[str]:
        ends = (re.search(r"closed \((\w+)\)", each) for each in caplog.messages)
        return [end[1] for end in ends if end]

    return codes


async def both_are_heard(calls: Fleet) -> bool:
    """Whether that many have a session."""
    return calls.emulator.sessions == 2


async def exit_status(worker: Worker) -> int:
    """Of one that drains.

    LiveKit 1.8.9 may spin there for ever: `drain` awaits a job's process that is over,
    which lets nobody else in, so that the process stays on the list.
    """
    try:
        status: int = await within(10, worker.process.wait())
        return status
    except AssertionError:
        running = psutil.Process(worker.process.pid)
        spins = [each.cpu_percent(1) for each in (running, *running.children())]
        worker.process.kill()
        if max(spins) < 20:
            raise
    pytest.xfail("LiveKit's drain spins")


@pytest.mark.skipif(not has_containers(), reason="no PID namespaces for this user")
async def test_the_hook_lets_calls_end(
    tmp_path: Path, closed: Callable[[], list[str]]
) -> None:
    hook = container()["lifecycle"]["preStop"]["exec"]["command"]
    async with fleet(2, []) as calls, calls.worker(tmp_path, *CONTAINER) as worker:
        await eventually(lambda: both_are_heard(calls))
        (inside,) = psutil.Process(worker.process.pid).children()
        hooked = await asyncio.create_subprocess_exec(
            *("nsenter", "--target", str(inside.pid), "--pid", "--mount"), *hook
        )
        assert await exit_status(worker) == 0
        # The container is gone, and what ran in it, the hook included.
        assert await within(10, hooked.wait()) == -signal.SIGKILL
    assert closed() == ["1000", "1000"]


async def test_calls_that_last_too_long_are_ended(
    tmp_path: Path, closed: Callable[[], list[str]]
) -> None:
    async with (
        fleet(2, []) as calls,
        calls.worker(tmp_path, seconds=600, DRAIN_TIMEOUT="1") as worker,
    ):
        await eventually(lambda: both_are_heard(calls))
        worker.process.terminate()
        assert await exit_status(worker) == 0
    assert closed() == ["1000", "1000"]
