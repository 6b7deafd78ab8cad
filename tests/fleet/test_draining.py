"""Kubernetes' preStop hook, as its kubelet runs it: in the worker's container."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.fleet.running import eventually, fleet
from tests.fleet.test_files import container
from tests.servers import within

CONTAINER = "unshare", "--pid", "--fork", "--mount-proc", "--kill-child"
"""As much of one as makes the worker number 1."""


def has_containers() -> bool:
    """Whether this user may make such namespaces here."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    return subprocess.run([*CONTAINER, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_containers(), reason="no PID namespaces for this user")
async def test_the_hook_lets_calls_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aai_stream.emulator")
    hook = container()["lifecycle"]["preStop"]["exec"]["command"]
    async with fleet(2, []) as calls, calls.worker(tmp_path, *CONTAINER) as worker:

        async def both_are_heard() -> bool:
            return calls.emulator.sessions == 2

        await eventually(both_are_heard)
        (inside,) = psutil.Process(worker.process.pid).children()
        hooked = await asyncio.create_subprocess_exec(
            *("nsenter", "--target", str(inside.pid), "--pid", "--mount"), *hook
        )
        assert await within(10, worker.process.wait()) == 0
        # The container is gone, and what ran in it, the hook included.
        assert await within(10, hooked.wait()) == -signal.SIGKILL
    ends = [re.search(r"closed \((\w+)\)", message) for message in caplog.messages]
    assert [end[1] for end in ends if end] == ["1000", "1000"]
