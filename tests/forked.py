"""A program that forks while its stream is open, for test_forks.py.

    python -m tests.forked URL picows|aiohttp asyncio|uvloop

Each child does something else with the stream that it inherits; the parent goes on.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import uvloop

import aai_stream
from aai_stream.errors import StateError
from aai_stream.stream import Stream
from tests.talks import SECOND

CALLS: list[Callable[[Stream], Any]] = [
    lambda stream: stream.push(SECOND),
    lambda stream: stream.push_threadsafe(SECOND),
    Stream.flush,
    Stream.force_endpoint,
    Stream.keep_alive,
    lambda stream: stream.update(keyterms_prompt=["term"]),
    lambda stream: stream.end().send(None),
]

DEEDS = ["use it", "close it", "drop it", "run on", "exit"]
PART = 5000  # bytes


async def main(url: str, wire: str) -> None:
    http_session = aiohttp.ClientSession() if wire == "aiohttp" else None
    streams = [
        aai_stream.connect(
            api_key="k", base_url=url, http_session=http_session, catch_up_rate=math.inf
        )
    ]
    await streams[0].__aenter__()
    for number, deed in enumerate(DEEDS):
        streams[0].push(SECOND[number * PART : (number + 1) * PART])
        if os.fork() == 0:
            await inherit(streams, deed)
            os._exit(0)
        _, status = os.wait()  # noqa: ASYNC222, the parent shall not interfere
        # A fork of uvloop's that exits crashes, also without anything of ours.
        assert status == 0 or deed == "exit", (deed, status)
    streams[0].push(SECOND[len(DEEDS) * PART :])
    await streams[0].end()
    if http_session is not None:
        await http_session.close()


async def inherit(streams: list[Stream], deed: str) -> None:
    """What a child does."""
    if deed == "use it":
        for call in CALLS:
            with pytest.raises(StateError, match="fork"):
                call(streams[0])
    elif deed == "close it":
        await streams[0].aclose()
    elif deed == "drop it":
        streams.clear()
        gc.collect()
    elif deed == "exit":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # asyncio and aiohttp complain
        sys.exit(0)
    for _ in range(100):  # without a running loop it can't sleep for longer
        await asyncio.sleep(0)


if __name__ == "__main__":
    url, wire, loop = sys.argv[1:]
    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(main(url, wire))
