"""A LiveKit worker with job processes, for test_worker.py. It has no LiveKit server.

    python -m tests.telemetry.worker URL DIRECTORY

Says the port of its /metrics, then starts a job at each line "job". A job holds one
stream until there is a file `stop` in DIRECTORY. Processes count in its `metrics`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from livekit.agents import AgentServer, JobContext, JobExecutorType

from aai_stream.livekit import STT

SERVER = AgentServer(
    job_executor_type=JobExecutorType.PROCESS,
    ws_url="ws://127.0.0.1:1",
    api_key="key",
    api_secret="a secret that is long enough to be one",
    host="127.0.0.1",
    port=0,
    num_idle_processes=1,
    prometheus_port=0,
    prometheus_multiproc_dir=os.path.join(sys.argv[-1], "metrics"),
)


@SERVER.rtc_session()
async def job(context: JobContext) -> None:
    """Hold a stream."""
    url, directory = sys.argv[-2:]
    stt = STT(base_url=url, api_key="none", model="universal-3-6-pro")
    stream = stt.stream()
    while not Path(directory, "stop").exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.02)
    await stream.aclose()
    await stt.aclose()
    context.shutdown()


async def main() -> None:
    started = asyncio.Event()
    SERVER.on("worker_started", started.set)
    running = asyncio.ensure_future(SERVER.run(devmode=True, unregistered=True))
    waiting = asyncio.ensure_future(started.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    assert SERVER._prometheus_server is not None
    print(SERVER._prometheus_server.port, flush=True)
    count = 0
    while (await asyncio.to_thread(sys.stdin.readline)) == "job\n":
        count += 1
        await SERVER.simulate_job(f"room-{count}", fake_job=True)
    await SERVER.aclose()
    await running


if __name__ == "__main__":
    asyncio.run(main())
