"""Workers of examples/fleet and a Prometheus that scrapes them, as processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import wave
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from examples.fleet.dispatcher import Dispatcher
from tests.fleet.test_files import FLEET, ROOT, load
from tests.servers import http_server, within

SECONDS = 2.5
"""Of a recording: two turns. The example adds two seconds of silence."""
SCRIPT = [say("hello world", at_ms=200), say("how are you", at_ms=1400)]


@asynccontextmanager
async def process(*command: str | Path, **options: Any) -> AsyncIterator[Process]:
    """A process, which gets SIGTERM at the end if it is there yet, and must obey."""
    running = await asyncio.create_subprocess_exec(*command, **options)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
        await within(10, running.wait())


def free_port() -> int:
    """A port of loopback's that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def record(path: Path, seconds: float) -> Path:
    """A recording, for the script to be told over."""
    with wave.open(str(path), "w") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(round(2 * 16_000 * seconds)))
    return path


class Fleet:
    """Stand-ins for AssemblyAI's server and for LiveKit's, and workers of theirs."""

    def __init__(self, emulator: Emulator, livekit: str) -> None:
        self.emulator = emulator
        self._livekit = livekit

    @asynccontextmanager
    async def worker(
        self,
        directory: Path,
        *before: str,
        seconds: float = SECONDS,
        **environment: str,
    ) -> AsyncIterator[Worker]:
        """A worker that keeps what it writes there, with calls of so many seconds;
        `before` starts the command."""
        worker = Worker(free_port(), free_port())
        settings = {
            "ASSEMBLYAI_BASE_URL": self.emulator.url,
            "HEALTH_PORT": str(worker.health_port),
            "LIVEKIT_API_KEY": "key",
            "LIVEKIT_API_SECRET": "x" * 32,
            "LIVEKIT_URL": self._livekit,
            "LOAD_THRESHOLD": "inf",  # the machine may be busy
            "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"),
            "PROMETHEUS_PORT": str(worker.metrics_port),
            "RECORDING": str(record(directory / "call.wav", seconds)),
            "XDG_RUNTIME_DIR": str(directory),
            **environment,
        }
        async with process(
            *(*before, sys.executable, "-m", "livekit.agents", "start"),
            str(FLEET / "worker.py"),
            env={**os.environ, **settings},
            cwd=ROOT,
        ) as worker.process:
            yield worker


class Worker:
    """One, and where it listens."""

    process: Process

    def __init__(self, health_port: int, metrics_port: int) -> None:
        self.health_port = health_port
        self.metrics_port = metrics_port


@asynccontextmanager
async def fleet(calls: int, faults: list[str]) -> AsyncIterator[Fleet]:
    """Both servers; each worker gets so many calls at a time."""
    async with (
        Emulator(ScriptEngine(SCRIPT), faults=[*map(fault, faults)]) as server,
        http_server(Dispatcher(calls).serve) as livekit,
    ):
        yield Fleet(server, livekit)


class Prometheus:
    """A real one; `ask` is its HTTP API."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def ask(self, path: str, **parameters: str) -> Any:
        """What `/api/v1/…` answers."""
        url = f"{self._url}/api/v1/{path}"
        async with self._http.get(url, params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def values(self, query: str) -> list[float]:
        """Those of a query now; no NaN, which is how it says that there is nothing."""
        data = await self.ask("query", query=query)
        values = [float(each["value"][1]) for each in data["result"]]
        return [value for value in values if value == value]


@asynccontextmanager
async def prometheus(
    directory: Path, target: str, labels: dict[str, str]
) -> AsyncIterator[Prometheus]:
    """One that scrapes `target` and keeps what it sees in a new directory."""
    port = free_port()
    write_config(directory, target, labels)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await stack.enter_async_context(
            process(
                "prometheus",
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            )
        )
        await answers(http, f"http://127.0.0.1:{port}/-/ready")
        yield Prometheus(f"http://127.0.0.1:{port}", http)


def write_config(directory: Path, target: str, labels: dict[str, str]) -> None:
    """The example's, but for what is scraped, and how often."""
    config = load(FLEET / "prometheus" / "prometheus.yml")
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target], "labels": labels}]
    directory.mkdir()
    shutil.copy(FLEET / "prometheus" / "rules.yml", directory)
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))


async def answers(http: aiohttp.ClientSession, url: str) -> None:
    """Wait until it says 200."""

    async def answered() -> bool:
        try:
            async with http.get(url) as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    await eventually(answered)


async def eventually(
    condition: Callable[[], Awaitable[bool]], left: object = None
) -> None:
    """Ask until it holds; it should take no 20 s. `left` is what it waits for."""

    async def ask() -> None:
        while not await condition():  # noqa: ASYNC110, it is another process's
            await asyncio.sleep(0.1)

    try:
        await within(20, ask())
    except AssertionError as exc:
        raise AssertionError(f"still left: {left}") from exc
