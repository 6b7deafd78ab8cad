"""A program whose call is recorded, for test_crash.py.

    python -m tests.recorder.speaking URL FOLDER end|hang|leave|stop

Says "spoken" when a second of audio is on file. Then it ends its stream; or waits to
be killed; or leaves without closing anything; or even stops its event loop.
"""

from __future__ import annotations

import asyncio
import os
import sys

import aai_stream
from aai_stream.recorder import thread
from tests.servers import until
from tests.talks import SECOND

KEPT: list[object] = []  # streams that nobody closes, nor drops


async def main(url: str, folder: str, then: str) -> None:
    thread.WRITE_SECONDS = 0.01
    stream = aai_stream.connect(api_key="k", base_url=url, record=folder)
    await stream.__aenter__()
    stream.push(SECOND)
    assert stream.recording is not None
    part = f"{stream.recording}.part"
    audio, events = f"{part}/audio.pcm", f"{part}/events.jsonl"
    await until(lambda: os.path.exists(audio) and os.path.getsize(audio) == len(SECOND))
    await until(lambda: os.path.getsize(events) > 0)
    print("spoken", flush=True)
    if then == "hang":
        await asyncio.to_thread(sys.stdin.readline)
    elif then == "stop":
        KEPT.append(stream)
    elif then == "end":
        await stream._runner.close()  # and don't wait until all is written


if __name__ == "__main__":
    if sys.argv[-1] == "stop":
        KEPT.append(loop := asyncio.new_event_loop())
        loop.run_until_complete(main(*sys.argv[1:]))
    else:
        asyncio.run(main(*sys.argv[1:]))
