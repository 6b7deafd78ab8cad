"""A program whose call is recorded, for test_crash.py.

    python -m tests.recorder.speaking URL FOLDER end|hang|leave

Says "spoken" when a second of audio is on file. Then it ends its stream; or waits to
be killed; or leaves without closing anything.
"""

from __future__ import annotations

import asyncio
import os
import sys

import aai_stream
from aai_stream.recorder import recorder
from tests.servers import until
from tests.talks import SECOND


async def main(url: str, folder: str, then: str) -> None:
    recorder.TAKE_SECONDS = 0.01
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
    elif then == "end":
        await stream._runner.close()  # and don't wait until all is written


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
