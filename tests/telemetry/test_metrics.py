"""Metrics: what they say after real calls to the embedded server."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import aai_stream
from aai_stream import metrics
from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.emulator.faults.kinds import fault
from aai_stream.emulator.server.emulator import Emulator
from aai_stream.errors import BusyError, OptionError, RefusedError, SessionError
from aai_stream.livekit import STT
from aai_stream.messages import AudioLost, SilenceSkipped, Turn
from aai_stream.telemetry import labels, loops
from aai_stream.telemetry.counting import Counting
from tests.outages.calls import LAYOUT
from tests.runs import Run, in_virtual_time
from tests.servers import until, within
from tests.telemetry.counted import Counted, all_values

pytestmark = pytest.mark.usefixtures("impatience")

WORDS = 6
AUDIO = marked_audio(WORDS, layout=LAYOUT).tobytes()
SECONDS = len(AUDIO) / 32_000


async def call(url: str, **options: Any) -> list[Any]:
    """Say it all, as fast as it goes; gives what was told."""
    told: list[Any] = []
    options = {"catch_up_rate": math.inf, **options}
    async with aai_stream.connect(api_key="k", base_url=url, **options) as stream:

        async def listen() -> None:
            async for event in stream:
                told.append(event)

        listening = asyncio.ensure_future(listen())
        for start in range(0, len(AUDIO), 3200):
            stream.push(AUDIO[start : start + 3200])
            await stream.drain()
        await within(20, stream.end())
        await within(5, listening)
    return told


async def calling(*faults: str, **options: Any) -> list[Any]:
    """A call to a server with these faults."""
    async with Emulator(MarkedEngine(), faults=map(fault, faults)) as server:
        return await call(server.url, **options)


async def test_a_call() -> None:
    counted = Counted()
    told = await calling(speech_model="universal-3-6-pro")
    finals = [each for each in told if isinstance(each, Turn) and each.is_final]
    assert len(finals) == 2
    which = {"model": "universal-3-6-pro", "region": "local"}
    assert counted("turns_total", **which) == 2
    assert counted.of_each("sessions_total", "outcome") == {"ended": 1}
    audio = counted.of_each("audio_seconds_total", "outcome")
    assert audio == {"sent": pytest.approx(SECONDS, abs=0.05)}
    assert counted("connect_seconds_count", **which) == 1
    assert counted("admission_wait_seconds_count", **which) == 1
    assert counted("final_delay_seconds_count", **which) == 2
    assert counted.of_each("errors_total", "code") == {}
    assert counted.of_each("reconnects_total", "cause") == {}


async def test_gauges_rise_and_fall() -> None:
    counted = Counted()
    gauges = "streams", "sessions_open"
    async with (
        Emulator(MarkedEngine()) as server,
        aai_stream.connect(api_key="k", base_url=server.url) as one,
    ):
        assert [counted(gauge) for gauge in gauges] == [1, 1]
        async with aai_stream.connect(api_key="k", base_url=server.url):
            assert [counted(gauge) for gauge in gauges] == [2, 2]
        assert [counted(gauge) for gauge in gauges] == [1, 1]
        one.push(bytes(16_000))
        loops.this_loops_watched().sample(0.0)
        assert counted("replay_buffer_seconds") == 0.5
    assert [counted(gauge) for gauge in (*gauges, "replay_buffer_seconds")] == [0, 0, 0]


async def test_an_outage() -> None:
    """What is sent again is counted on its own; what was new is counted once."""
    counted = Counted()
    told = await calling("reset,at=1300ms,on=1", "status,code=503,on=2")
    assert len([each for each in told if isinstance(each, Turn) and each.is_final]) == 2
    outcomes = counted.of_each("sessions_total", "outcome")
    assert outcomes == {"lost": 1, "not_opened": 1, "ended": 1}
    assert counted("reconnects_total", cause="dropped", code="1006") == 1
    assert counted("reconnects_total", cause="dropped", code="503") == 1
    assert counted.of_each("errors_total", "code") == {"1006": 1, "503": 1}
    audio = counted.of_each("audio_seconds_total", "outcome")
    assert audio.pop("sent") == pytest.approx(SECONDS, abs=0.2)
    assert audio.pop("replayed") >= 0.5
    assert audio == {}


async def test_a_loss() -> None:
    """The one number that matters most, to the sample."""
    counted = Counted()
    async with Emulator(MarkedEngine()) as server:
        stream = aai_stream.connect(
            api_key="k", base_url=server.url, replay_seconds=1, skip_silence=False
        )
        stream.push(AUDIO)
        told = []
        async with stream:
            await within(20, stream.end())
            async for event in stream:
                told.append(event)
    lost = [each for each in told if isinstance(each, AudioLost)]
    samples = sum(each.end_sample - each.start_sample for each in lost)
    assert samples > 16_000
    audio = counted.of_each("audio_seconds_total", "outcome")
    assert audio["lost"] == round(samples / 16_000, 6)
    assert audio["sent"] == pytest.approx(SECONDS - samples / 16_000, abs=0.05)
    assert set(audio) == {"lost", "sent"}


async def test_silence_that_is_skipped() -> None:
    counted = Counted()
    async with Emulator(MarkedEngine()) as server:
        stream = aai_stream.connect(api_key="k", base_url=server.url)
        stream.push(bytes(32_000 * 20))
        told = []
        async with stream:
            await within(20, stream.end())
            async for event in stream:
                told.append(event)
    skipped = [each for each in told if isinstance(each, SilenceSkipped)]
    samples = sum(each.end_sample - each.start_sample for each in skipped)
    assert samples > 16_000
    left_out = counted("audio_seconds_total", outcome="skipped")
    assert left_out == round(samples / 16_000, 6)
    sent = counted("audio_seconds_total", outcome="sent")
    assert sent == pytest.approx(20 - samples / 16_000, abs=0.05)
    assert counted("catch_up_seconds_count") == 1


@pytest.mark.parametrize(
    ("failing", "code", "outcome"),
    [("status,code=401", "401", RefusedError), ("status,code=429", "429", BusyError)],
)
async def test_a_refusal(failing: str, code: str, outcome: type[SessionError]) -> None:
    counted = Counted()
    with pytest.raises(outcome):
        await calling(failing, max_retries=0)
    assert counted.of_each("errors_total", "code") == {code: 1}
    assert counted.of_each("sessions_total", "outcome") == {"not_opened": 1}
    assert counted("streams") == counted("sessions_open") == 0


async def test_the_plugin_is_counted_too() -> None:
    counted = Counted()
    async with Emulator(MarkedEngine()) as server:
        stt = STT(base_url=server.url, api_key="k", model="universal-3-6-pro")
        stream = stt.stream()
        await until(lambda: stream.session_id is not None)
        assert counted("streams") == 1
        await stream.aclose()
        await stt.aclose()
    assert counted("streams") == 0
    assert counted.of_each("sessions_total", "outcome") == {"closed": 1}


async def test_the_lag_of_an_event_loop() -> None:
    """It is the loop's, however many streams there are."""
    async with (
        Emulator(MarkedEngine()) as server,
        aai_stream.connect(api_key="k", base_url=server.url),
        aai_stream.connect(api_key="k", base_url=server.url),
    ):
        counted = Counted()
        loops.this_loops_watched().sample(0.3)
        assert counted("event_loop_lag_seconds_count") == 1
        assert counted("event_loop_lag_seconds_sum") == 0.3
        assert counted("event_loop_lag_seconds_bucket", le="0.2") == 0
        assert counted("event_loop_lag_seconds_bucket", le="0.5") == 1


def test_they_are_sampled_every_second() -> None:
    async def hold() -> None:
        run = Run()
        watched = loops.this_loops_watched()
        run.runner.reporter.counting = Counting(run.protocol, "local")
        watched.add(run.runner.reporter)
        counted = Counted()
        await asyncio.sleep(10.5)
        assert counted("event_loop_lag_seconds_count") == 10
        assert counted("event_loop_lag_seconds_sum") < 0.001
        watched.remove(run.runner.reporter)
        await asyncio.sleep(10)
        assert counted("event_loop_lag_seconds_count") == 10

    in_virtual_time(hold)


async def test_streams_that_end_leave_no_timer() -> None:
    async with Emulator(MarkedEngine()) as server:
        async with aai_stream.connect(api_key="k", base_url=server.url):
            before = loops.this_loops_watched()
        assert not before.reporters
        assert before is not loops.this_loops_watched()


# ---- labels ----


def test_labels_are_of_a_few_words() -> None:
    assert labels.model_of("universal-3-6-pro") == "universal-3-6-pro"
    assert labels.model_of("what-somebody-said") == "other"
    assert labels.code_of(RefusedError("no", code=4001)) == "4001"
    assert labels.code_of(RefusedError("no", code=31_337)) == "other"
    assert labels.code_of(RefusedError("no")) == "none"
    assert labels.cause_of(RefusedError("no")) == "refused"
    assert labels.cause_of(ValueError("no")) == "other"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("streaming.assemblyai.com", "global"),
        ("streaming.eu.assemblyai.com", "eu"),
        ("streaming.us.assemblyai.com", "us"),
        ("streaming.xx.assemblyai.com", "other"),
        ("streaming.eu.assemblyai.com.example.com", "other"),
        ("127.0.0.1", "local"),
        ("localhost", "local"),
        ("example.com", "other"),
    ],
)
def test_regions(host: str, region: str) -> None:
    assert labels.region_of(host) == region


def test_every_error_of_a_session_is_a_cause() -> None:
    def all_of(kind: type[SessionError]) -> set[type[SessionError]]:
        return {kind}.union(*map(all_of, kind.__subclasses__()))

    abstract = {SessionError, aai_stream.errors.TransientError}
    told = all_of(SessionError) - abstract - {aai_stream.errors.LostAudioError}
    assert told == set(labels.CAUSES)


# ---- for other programs ----


async def test_they_are_served() -> None:
    port = metrics.serve(0)
    await calling()
    url = f"http://127.0.0.1:{port}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
    shown = text.decode()
    names = {name for name, _ in all_values()}
    assert len(names) > 20
    assert all(name in shown for name in names)


def test_those_of_all_processes_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which keep them in files of their own, as a worker's jobs do."""
    shared = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    counts = "import prometheus_client as p; p.Counter('calls', 'of a process').inc()"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", counts], env=shared, check=True)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    with urllib.request.urlopen(
        f"http://127.0.0.1:{metrics.serve(0)}/metrics"
    ) as answer:
        text = answer.read()
    assert "calls_total 2.0" in text.decode().splitlines()


@pytest.mark.parametrize("port", [-1, 65_536, True, "80", None])
def test_a_port_that_is_none(port: Any) -> None:
    with pytest.raises(OptionError, match="port must be from 0 to 65535"):
        metrics.serve(port)
