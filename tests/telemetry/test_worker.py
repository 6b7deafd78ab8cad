"""LiveKit's worker, with a process for each job: one /metrics for all of them."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.server.emulator import Emulator
from aai_stream.telemetry.looking import look
from tests.servers import within
from tests.workers import worker


def scrape(port: int) -> dict[str, float]:
    """Each metric of ours, by name: the sum over its labels."""
    url = f"http://127.0.0.1:{port}/metrics"
    text = urllib.request.urlopen(url, timeout=30).read().decode()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("aai_stream_"):
                assert "pid" not in sample.labels
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def until_scraped(
    port: int, is_so: Callable[[dict[str, float]], bool]
) -> dict[str, float]:
    while True:
        try:
            found = await asyncio.to_thread(scrape, port)
        except urllib.error.HTTPError as error:
            # prometheus_client stumbles over the file, still empty, of a process that
            # has just begun.
            if error.code != 500:
                raise
        else:
            if is_so(found):
                return found
        await asyncio.sleep(0.05)


async def test_jobs_count_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when one was killed: the next one sees to that."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with (
        Emulator(ScriptEngine([])) as server,
        worker(server.url, tmp_path) as started,
    ):
        port = started.metrics_port
        started.start(2)
        two = until_scraped(port, lambda m: m.get("aai_stream_sessions_open") == 2)
        found = await within(60, two)
        assert found["aai_stream_streams"] == 2
        assert found["aai_stream_connect_seconds_count"] == 2
        killed, left = [process.pid for process in await look()]
        assert started.pid not in (killed, left)
        os.kill(killed, signal.SIGKILL)
        started.start(1)
        await within(
            60,
            until_scraped(
                port,
                lambda m: (
                    m["aai_stream_connect_seconds_count"] == 3
                    and m["aai_stream_streams"] == 2
                ),
            ),
        )
        started.stop_jobs()
        ended = until_scraped(port, lambda m: m["aai_stream_streams"] == 0)
        await within(60, ended)
        # Once more: counters are read from other files than gauges, some before.
        found = await asyncio.to_thread(scrape, port)
        assert found["aai_stream_sessions_open"] == 0
        assert found["aai_stream_sessions_total"] == 2
