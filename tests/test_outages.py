"""Every fault of the embedded server, at every moment, through both faces: nothing is
lost, nothing is told twice, and every time is right."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from livekit.agents import APIConnectOptions

from aai_stream import retries
from aai_stream.emulator.faults import fault
from aai_stream.emulator.marked import MarkedEngine
from aai_stream.emulator.server import Emulator
from aai_stream.livekit import STT
from tests.outages import ON_MESSAGES, Outcome, through_plugin, through_stream
from tests.servers import within

RETRY = APIConnectOptions(max_retry=5, retry_interval=0.01, timeout=1)

BEFORE = [
    "refuse,seconds=0.1,on=1",
    "status,code=429,retry-after=0,on=1-2",
    "status,code=500,on=1-2",
    "status,code=503,on=1",
    "reset,at=connect,on=1",
    "drop,at=connect,on=1-2",
    "freeze,at=connect,on=1",
    "mute,at=open,on=1",
    "reset,at=open,on=1",
    "close,at=open,code=1011,on=1",
    "close,at=open,code=3005,error=no,on=1",
]
"""What happens before a session begins."""

STRIKES = [
    "reset",
    "drop",
    "close,code=1011",
    "close,code=1013,error=busy",
    "close,code=3005",
    "close,code=3005,error=sorry",
    "close,code=3007,error=too fast",
    "close,code=3008,error=expired",
    "expire",
    "freeze",
    "stop-reading,cut=0.1",
    "mute,cut=0.1",
    "trickle,seconds=0.001,size=3",
    *ON_MESSAGES,
]
MOMENTS = [
    "begin",
    "50ms",
    "700ms",
    "1300ms",
    "turn:2",
    "final:1",
    "final:3",
    "terminate",
]

AT_THE_END = [
    "no-termination,on=1,cut=0.05",
    "ignore-terminate,on=1,cut=0.05",
    "freeze,at=terminate,on=1",
]


def at_each_moment(strike: str) -> list[str]:
    """The faults that strike at each moment, on the first connection."""
    kind, *options = strike.split(",")
    shapes = kind in ("duplicate", "reorder", "no-final")  # no Turns come after the end
    moments = MOMENTS[:-1] if shapes else MOMENTS
    return [",".join([kind, f"at={at}", "on=1", *options]) for at in moments]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(retries, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(retries, "FIRST_BUSY_SECONDS", 0.01)


async def suffer(face: str, rate: int, *faults: str, **options: Any) -> Outcome:
    """Send the marked audio to a server with these faults, which must happen."""
    async with Emulator(MarkedEngine(), faults=[fault(f) for f in faults]) as server:
        if face == "stream":
            call = through_stream(
                server.url, rate, close_timeout=0.5, connect_timeout=1, **options
            )
        else:
            stt = STT(
                api_key="k",
                base_url=server.url,
                catch_up_rate=math.inf,
                dead_after=0.4,
                **options,
            )
            call = through_plugin(stt, rate, retry=RETRY)
        outcome: Outcome = await within(20, call)
        assert server.faults.applied, f"{faults} didn't happen"
    return outcome


@pytest.mark.parametrize("rate", [16_000, 24_000])
@pytest.mark.parametrize("face", ["stream", "plugin"])
@pytest.mark.parametrize(
    "faults", [BEFORE, *map(at_each_moment, STRIKES), AT_THE_END], ids=lambda f: f[0]
)
async def test_nothing_is_lost(faults: list[str], face: str, rate: int) -> None:
    outcomes = await asyncio.gather(*(suffer(face, rate, said) for said in faults))
    wrong = {
        said: (outcome.problems, outcome.lost)
        for said, outcome in zip(faults, outcomes, strict=True)
        if outcome.problems or outcome.lost
    }
    assert wrong == {}
