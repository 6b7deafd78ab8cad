"""A program with streams, for test_top.py.

    python -m tests.telemetry.speaking URL COUNT [--fork]

Says "ready" when they are open, then waits for a line. With `--fork` they are opened
by a fork, while the parent has one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

import aai_stream


async def hold(url: str, count: int, then: str) -> None:
    """Hold `count` streams, with half a second of audio each, and do `then`."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            stream = aai_stream.connect(api_key="none", base_url=url)
            await stack.enter_async_context(stream)
            stream.push(bytes(16_000))
        if then == "fork" and os.fork() == 0:
            asyncio.events._set_running_loop(None)
            asyncio.run(hold(url, 2, "wait"))
            os._exit(0)
        if then == "fork":
            os.wait()  # noqa: ASYNC222, the parent shall be held, too
        else:
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    url, count, *fork = sys.argv[1:]
    asyncio.run(hold(url, int(count), "fork" if fork else "wait"))
