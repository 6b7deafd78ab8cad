"""A stream's reporter: lines with fields, and nothing loaded that nobody wants."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest

from aai_stream.emulator.engines.marked import MarkedEngine
from aai_stream.emulator.server.emulator import Emulator
from tests.livekit.servers import streaming
from tests.runs import Run
from tests.servers import until
from tests.telemetry.test_metrics import calling

pytestmark = pytest.mark.usefixtures("impatience")

FIELDS = "stream", "session", "code", "cause", "seconds"


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Those that are ours; all must be there."""
    return {name: vars(record)[name] for name in FIELDS}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "aai_stream")
    return caplog


async def test_an_outage_in_the_log(log: pytest.LogCaptureFixture) -> None:
    """A line for each incident, at whatever level: nothing says it twice."""
    await calling("reset,at=1300ms,on=1", "status,code=503,on=2")
    records = [record for record in log.records if record.name == "aai_stream"]
    opened, lost, refused, again = records
    assert [record.levelno for record in records] == [20, 30, 30, 20]
    assert len({fields(record)["stream"] for record in records}) == 1
    told = fields(opened)
    assert told["session"] in opened.getMessage()
    assert (told["code"], told["cause"]) == (None, None)
    assert 0 < told["seconds"] < 5
    assert fields(lost) == {
        **told,
        "code": 1006,
        "cause": "dropped",
        "seconds": fields(lost)["seconds"],
    }
    assert fields(lost)["seconds"] <= 0.1
    refusal = fields(refused)
    assert (refusal["session"], refusal["code"]) == (None, 503)
    assert fields(again)["session"] not in (None, told["session"])


async def test_a_line_for_what_is_no_retry(log: pytest.LogCaptureFixture) -> None:
    run = Run()
    wire = await run.open()
    log.clear()
    wire.say({"type": "Turn", "words": 1})
    (unread,) = log.records
    assert fields(unread)["session"] == "session-1"
    log.clear()
    await run.runner.close()
    assert log.records == []


async def test_a_server_s_warning_in_livekit(log: pytest.LogCaptureFixture) -> None:
    async with (
        Emulator(MarkedEngine()) as server,
        streaming(server.url, api_key="k") as stream,
    ):
        await until(lambda: stream.session_id is not None)
        runner = stream._runner
        assert runner is not None
        link = next(iter(runner._links.values()))
        link.received(b'{"type":"Warning","warning":"careful"}')
        (record,) = [each for each in log.records if each.levelno == 30]
        assert record.name == "aai_stream.livekit"
        told = fields(record)
        assert told["session"] == stream.session_id
        assert told["stream"] == runner.reporter.name


def test_nothing_is_loaded_that_nobody_wants() -> None:
    """In a program that has neither LiveKit nor Prometheus loaded."""
    program = """
import asyncio, sys
from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.server.emulator import Emulator
import aai_stream

async def main():
    async with Emulator(ScriptEngine([])) as server:
        async with aai_stream.connect(api_key="k", base_url=server.url) as stream:
            stream.push(bytes(3200))
            await stream.end()

asyncio.run(main())
for name in ("prometheus_client", "opentelemetry", "rich", "aai_stream.metrics",
             "aai_stream.telemetry.counting", "aai_stream.telemetry.instruments",
             "aai_stream.telemetry.spans", "aai_stream.telemetry.looking"):
    assert name not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_metrics_without_their_package() -> None:
    """To ask for them says what is missing; streams do without."""
    program = """
import asyncio, sys
sys.modules["prometheus_client"] = None
from aai_stream.errors import MissingExtraError
from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.server.emulator import Emulator
import aai_stream

try:
    import aai_stream.metrics
except MissingExtraError as exc:
    assert "pip install prometheus_client" in str(exc)
else:
    sys.exit("nothing is missing")

async def main():
    async with Emulator(ScriptEngine([])) as server:
        async with aai_stream.connect(api_key="k", base_url=server.url) as stream:
            await stream.end()

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True)
