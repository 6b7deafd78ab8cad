"""Words in an outage: LiveKit's AssemblyAI plugin and ours, side by side.

    python -m benchmarks.reliability

Both hear the same twelve words in real time from an embedded server that fails on
purpose, with LiveKit's default retries. The words are numbered in their samples, so
that the finals themselves tell which were heard. Prints the table in
docs/comparison.md.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import aiohttp
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.stt import STT
from livekit.plugins import assemblyai

from aai_stream.emulator.engines.marked import MarkedEngine
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.livekit import STT as OurSTT
from tests.outages.calls import WORDS, Outcome, through_plugin

LONGEST_SECONDS = 60
"""A client that isn't done by then counts as hanging."""

TOO_MANY = (
    "close,at=open,code=1008,lasts=10,"
    "error=Unauthorized Connection: Too many concurrent sessions"
)

OUTAGES: dict[str, list[str]] = {
    "none": [],
    "the first connect is refused (TCP)": ["refuse,seconds=0.2,on=1"],
    "the first connect is answered with HTTP 503": ["status,code=503,on=1"],
    "… with HTTP 429, Retry-After 1": ["status,code=429,retry-after=1,on=1"],
    "the first handshake is never answered": ["freeze,at=connect,on=1"],
    "Begin never comes": ["mute,at=open,on=1"],
    "Begin comes after 11 s": ["late-begin,seconds=11,on=1"],
    "too many concurrent sessions for 10 s": [TOO_MANY],
    "TCP reset in a turn": ["reset,at=2500ms,on=1"],
    "… and the next connect is answered with 503": [
        "reset,at=2500ms,on=1",
        "status,code=503,on=2",
    ],
    "… and there are too many concurrent sessions for 10 s": [
        "reset,at=2500ms,on=1",
        f"{TOO_MANY},on=2-",
    ],
    "connection closed without a close frame": ["drop,at=2500ms,on=1"],
    "closed with 1011": ["close,code=1011,at=2500ms,on=1"],
    "Error 3005, then closed": ["close,code=3005,error=x,at=2500ms,on=1"],
    "the session expires (3008)": ["expire,at=2500ms,on=1"],
    "half-open: silent from here on": ["freeze,at=2500ms,on=1"],
    "the server stops reading, then resets": ["stop-reading,at=2500ms,on=1,cut=2"],
    "the server falls mute, then resets": ["mute,at=2500ms,on=1,cut=2"],
    "a final is left out, then a reset": ["no-final,at=2500ms,on=1,cut=0.1"],
    "every Turn comes twice": ["duplicate,at=begin,on=1"],
    "Turns come out of order": ["reorder,at=begin,on=1"],
    "broken JSON, wrong types, a huge message": [
        "garbage,at=1000ms,on=1",
        "wrong-types,at=1500ms,on=1",
        "huge,at=2000ms,on=1",
    ],
    "the last final comes 8 s after Terminate": ["late-final,seconds=8,at=terminate"],
    "Termination comes after 11 s": ["late-termination,seconds=11"],
    "reset at the end, before the last turn is told": ["reset,at=terminate,on=1"],
}


def ours(url: str, http: aiohttp.ClientSession) -> STT[Any]:
    """Our plugin; unpaced, for what is counted is words and not seconds."""
    return OurSTT(api_key="k", base_url=url, catch_up_rate=math.inf)


def official(url: str, http: aiohttp.ClientSession) -> STT[Any]:
    """The published plugin."""
    return assemblyai.STT(api_key="k", base_url=url, http_session=http)


async def suffer(make: Any, faults: list[str]) -> str:
    """What became of the words, in words."""
    async with (
        Emulator(MarkedEngine(), faults=[fault(text) for text in faults]) as server,
        aiohttp.ClientSession() as http,
    ):
        call = asyncio.ensure_future(
            through_plugin(
                make(server.url, http),
                16_000,
                pace=1,
                retry=DEFAULT_API_CONNECT_OPTIONS,
            )
        )
        await asyncio.wait([call], timeout=LONGEST_SECONDS)
        if call.done():
            return summary(call.result())
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return "hangs"


def summary(outcome: Outcome) -> str:
    """`all 12`, or what is wrong."""
    said = [f"{outcome.missing} of {WORDS} lost"] if outcome.missing else []
    if outcome.repeated > 0:
        said.append(f"{outcome.repeated} twice or damaged")
    if outcome.failure is not None:
        said.append(f"ends with {type(outcome.failure).__name__}")
    return ", ".join(said) or f"all {WORDS}"


async def main() -> None:
    """Run all outages at once, each with servers of its own."""
    logging.disable(logging.CRITICAL)
    peers = {"livekit-plugins-assemblyai 1.8.9": official, "aai_stream.livekit": ours}
    results = await asyncio.gather(
        *(
            suffer(make, faults)
            for faults in OUTAGES.values()
            for make in peers.values()
        )
    )
    print("| outage |", " | ".join(peers), "|")
    print("|---|---|---|")
    for number, name in enumerate(OUTAGES):
        print(f"| {name} |", " | ".join(results[2 * number : 2 * number + 2]), "|")


if __name__ == "__main__":
    asyncio.run(main())
