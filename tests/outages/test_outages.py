"""Every fault of the embedded server, at every moment, through both faces: nothing is
lost, nothing is told twice, and every time is right."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.outages.calls import FACES, ON_MESSAGES
from tests.outages.rows import Caller

pytestmark = pytest.mark.usefixtures("impatience")

HANGS = "freeze,at=connect,on=1"

BEFORE = [
    "refuse,seconds=0.1,on=1",
    "status,code=429,retry-after=0,on=1-2",
    "status,code=500,on=1-2",
    "status,code=503,on=1",
    "reset,at=connect,on=1",
    "drop,at=connect,on=1-2",
    HANGS,
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

NEVER_BEGIN = ["mute,at=open,on=1", "freeze,at=open,on=1"]


def at_each_moment(strike: str) -> list[str]:
    """The faults that strike at each moment, on the first connection."""
    kind, *options = strike.split(",")
    shapes = kind in ("duplicate", "reorder", "no-final")  # no Turns come after the end
    moments = MOMENTS[:-1] if shapes else MOMENTS
    return [",".join([kind, f"at={at}", "on=1", *options]) for at in moments]


async def suffer(caller: Caller, said: str) -> list[str]:
    """What goes wrong. The client is in a hurry only where it has to be."""
    outcome = await caller.suffer(
        said,
        connect_timeout=1 if said == HANGS else 10,
        dead_after=1 if said.startswith("freeze") else 30,
        close_timeout=1 if said in AT_THE_END else 10,
        begin_timeout=1 if said in NEVER_BEGIN else 30,
    )
    return outcome.problems


@pytest.mark.parametrize(
    "faults",
    [BEFORE, NEVER_BEGIN, *map(at_each_moment, STRIKES), AT_THE_END],
    ids=lambda f: f[0],
)
async def test_nothing_is_lost(
    faults: list[str], http_session: aiohttp.ClientSession | None
) -> None:
    # With resampling over one wire, without it over the other.
    rate = 16_000 if http_session else 24_000
    rows = [(face, said) for face in FACES for said in faults]
    found = await asyncio.gather(
        *(suffer(Caller(face, http_session, rate), said) for face, said in rows)
    )
    assert {row: each for row, each in zip(rows, found, strict=True) if each} == {}
