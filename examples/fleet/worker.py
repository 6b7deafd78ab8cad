"""A worker of a fleet: the agent of examples/agent.py as an operator runs it.

    python -m livekit.agents start examples/fleet/worker.py

docs/fleet.md goes on from there. It takes from the environment:

    HEALTH_PORT=8081      where a probe is told OK
    PROMETHEUS_PORT=9464  where /metrics is
    DRAIN_TIMEOUT=1800    seconds that calls may go on when the worker has to stop
    LOAD_THRESHOLD=0.7    the load from which on it takes no more calls
    ASSEMBLYAI_BASE_URL   another region, or the embedded server
    SESSIONS_PER_MINUTE   new sessions that the account may open, if not 100
    MAX_SESSIONS          sessions that it may have at once, if that has an end
    RECORDING             a WAV file that every call hears, instead of its room

Others take theirs from there, too: LiveKit LIVEKIT_URL, LIVEKIT_API_KEY and
LIVEKIT_API_SECRET, aai-stream ASSEMBLYAI_API_KEY and AAI_STREAM_BUDGET. Both need
PROMETHEUS_MULTIPROC_DIR, where the processes of calls leave their metrics: it has to be
set before Python starts, so it is no option here. LiveKit empties it at the start.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from livekit.agents import Agent, AgentServer, AgentSession, JobContext

from aai_stream.livekit import STT
from aai_stream.livekit.load import load_fnc
from examples.agent import Recording, build_session

OPTIONS: dict[str, tuple[str, type]] = {
    "ASSEMBLYAI_BASE_URL": ("base_url", str),
    "SESSIONS_PER_MINUTE": ("sessions_per_minute", float),
    "MAX_SESSIONS": ("max_sessions", int),
}
"""Of `STT`, by variable."""


def options(*names: str) -> dict[str, Any]:
    """Those that the environment gives."""
    given = [name for name in names if name in os.environ]
    return {OPTIONS[name][0]: OPTIONS[name][1](os.environ[name]) for name in given}


server = AgentServer(
    port=int(os.environ.get("HEALTH_PORT", "8081")),
    prometheus_port=int(os.environ.get("PROMETHEUS_PORT", "9464")),
    drain_timeout=int(os.environ.get("DRAIN_TIMEOUT", "1800")),
    load_fnc=load_fnc(**options("ASSEMBLYAI_BASE_URL", "MAX_SESSIONS")),
    load_threshold=float(os.environ.get("LOAD_THRESHOLD", "0.7")),
)


@server.rtc_session()
async def join(ctx: JobContext) -> None:
    """What the worker does with each room: put the agent into it."""
    session = build_session(STT(**options(*OPTIONS)))
    if recording := os.environ.get("RECORDING"):
        await listen(ctx, session, recording)
        return
    await session.start(Agent(instructions=""), room=ctx.room)
    session.output.set_audio_enabled(False)  # there is no `tts` to speak with


async def listen(ctx: JobContext, session: AgentSession[None], path: str) -> None:
    """A call without LiveKit's media servers: one that a recording makes."""
    microphone = session.input.audio = Recording(path)
    await session.start(Agent(instructions=""))

    async def hang_up() -> None:
        await microphone.over.wait()
        ctx.shutdown("the recording is over")

    # LiveKit waits for `join` before it ends a call: that must not take as long.
    ctx.proc.userdata["call"] = asyncio.create_task(hang_up())
