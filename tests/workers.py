"""A LiveKit worker in a process, with job processes: `tests.telemetry.worker`."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.servers import within


class Worker:
    """One, whose jobs hold a stream each."""

    def __init__(self, process: Process, directory: Path) -> None:
        self.pid = process.pid
        self.metrics_port = 0
        self._process = process
        self._directory = directory

    async def begin(self) -> None:
        """Wait until it takes jobs."""
        assert self._process.stdout is not None
        self.metrics_port = int(await within(60, self._process.stdout.readline()))

    def start(self, jobs: int) -> None:
        """Give it so many more jobs."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"job\n" * jobs)

    def stop_jobs(self) -> None:
        """Let all its jobs end."""
        (self._directory / "stop").touch()

    async def end(self) -> None:
        """Give it no more jobs, and wait until it has ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await within(60, self._process.wait())


@asynccontextmanager
async def worker(url: str, directory: Path) -> AsyncIterator[Worker]:
    """A worker whose streams go to `url`, and whose metrics are in `directory`. It has
    ended by itself when this is left, unless something is raised."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.telemetry.worker", url, str(directory)),
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        started = Worker(process, directory)
        await started.begin()
        yield started
        await started.end()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
