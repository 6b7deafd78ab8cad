"""What importing the plugin does, and what it doesn't, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest


def run(program: str) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def imported() -> dict[str, Any]:
    """What was seen of the import, LiveKit having been imported before."""
    program = """
import asyncio, json, sys, threading

import livekit.agents
before = list(livekit.agents.Plugin.registered_plugins)
loaded = set(sys.modules)

watched = {"socket.__new__", "socket.connect", "socket.getaddrinfo", "os.fork",
           "subprocess.Popen"}
started = []
sys.addaudithook(lambda name, args: name in watched and started.append(name))
asyncio.BaseEventLoop.__init__ = lambda self: started.append("loop")
threading.Thread.start = lambda self: started.append("thread")

import aai_stream.livekit

plugins = [p for p in livekit.agents.Plugin.registered_plugins if p not in before]
print(json.dumps({
    "started": started,
    "modules": list(sys.modules),
    "added": list({name.split(".")[0] for name in sys.modules.keys() - loaded}),
    "plugins": [[p.title, p.package, p.version, p.logger.name] for p in plugins],
    "version": aai_stream.__version__,
}))
"""
    seen: dict[str, Any] = json.loads(run(program))
    return seen


def test_importing_starts_nothing(imported: dict[str, Any]) -> None:
    """LiveKit's server imports every plugin, and then forks."""
    assert imported["started"] == []


def test_importing_loads_what_a_job_needs(imported: dict[str, Any]) -> None:
    """So that it is loaded once, before the fork; and not what else there is."""
    for name in ("_core", "runner", "livekit.stream", "connection.wire.picows"):
        assert f"aai_stream.{name}" in imported["modules"]
    for name in ("aai_stream.emulator", "aai_stream.cli", "soxr"):
        assert name not in imported["modules"]


def test_importing_adds_few_packages_to_what_livekit_loads(
    imported: dict[str, Any],
) -> None:
    """What that costs is for benchmarks/test_importing.py to say."""
    added = {*imported["added"]} - sys.stdlib_module_names
    websocket = {"picows", "aiofastnet", "python_socks"}
    assert added <= {"aai_stream", "msgspec", *websocket, "async_timeout"}  # 3.10's


def test_a_job_loads_nothing_once_forked() -> None:
    """All of a call: a stream, its session and its frames at LiveKit's rate."""
    program = """
import asyncio, sys
import aai_stream.livekit
from aai_stream.connection.wire import picows
from livekit import rtc
# What serves the job is no part of it.
from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.server.emulator import Emulator

async def call(server):
    async with aai_stream.livekit.STT(base_url=server.url) as stt:
        stream = stt.stream()
        for _ in range(20):
            stream.push_frame(rtc.AudioFrame(bytes(2400), 24000, 1, 1200))
            await asyncio.sleep(0.01)
        stream.end_input()
        return [event.type async for event in stream]

async def main():
    async with Emulator(ScriptEngine()) as server:
        before = set(sys.modules)
        await call(server)
        loaded = sorted(sys.modules.keys() - before)
        print(loaded, picows.tls_context.cache_info().misses)

asyncio.run(main())
"""
    assert run(program) == "[] 1\n"


def test_importing_registers_one_plugin(imported: dict[str, Any]) -> None:
    name = "aai_stream.livekit"
    assert imported["plugins"] == [[name, name, imported["version"], name]]


def test_without_livekit_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["livekit.agents"] = None
from aai_stream.errors import MissingExtraError
try:
    import aai_stream.livekit
except MissingExtraError as exc:
    print(exc)
    assert isinstance(exc, ImportError)
    assert exc.__cause__ is None and exc.__suppress_context__
"""
    assert "pip install livekit-agents" in run(program)


def test_the_package_alone_is_light() -> None:
    program = """
import sys
import aai_stream
heavy = {"aiohttp", "livekit", "numpy", "picows", "soxr"}
print([name for name in sys.modules if name in heavy])
"""
    assert run(program) == "[]\n"
