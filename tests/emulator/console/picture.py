"""Makes the picture of the console in the docs:

    python -m tests.emulator.console.picture docs/console.png

A real call in real time, really recognised, that is reset by a click.
"""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path
from typing import Literal

import aai_stream
from aai_stream.emulator.engines.pocketsphinx import PocketsphinxEngine
from aai_stream.emulator.server import Emulator
from tests.browsers import launched
from tests.emulator.console.browser import looking_at
from tests.pictures import make

CALL = Path(__file__).parents[3] / "examples" / "call.wav"
CHUNK_SECONDS = 0.05
CUT_SECONDS, END_SECONDS = 5.7, 11.2


async def talk(server: Emulator) -> None:
    """The call, as somebody would speak it."""
    with wave.open(str(CALL)) as file:
        rate = file.getframerate()
        pcm = file.readframes(file.getnframes())
    size = 2 * round(rate * CHUNK_SECONDS)
    loop = asyncio.get_running_loop()
    connected = aai_stream.connect(api_key="k", base_url=server.url, sample_rate=rate)
    async with connected as stream:
        began = loop.time()
        for number, at in enumerate(range(0, len(pcm), size)):
            stream.push(pcm[at : at + size])
            due = began + (number + 1) * CHUNK_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))


async def take(path: Path, *, dark: bool, width: int, height: int) -> None:
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    async with (
        Emulator(PocketsphinxEngine(), console=True) as server,
        launched() as browser,
        looking_at(browser, server, width=width, height=height, scheme=scheme) as page,
    ):
        call = asyncio.create_task(talk(server))
        await asyncio.sleep(CUT_SECONDS)
        await page.keyboard.press("1")
        await asyncio.sleep(END_SECONDS - CUT_SECONDS)
        await page.mouse.click(2, height - 2)
        await page.screenshot(path=path)
        call.cancel()
        await asyncio.wait([call])


if __name__ == "__main__":
    make(take, __doc__, height=680)
