"""Makes the picture of a recorded call in the docs:

python -m tests.show.picture docs/recorded-call.png
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from aai_stream.recorder.reading import read_call
from aai_stream.show.page import page
from tests.browsers import launched
from tests.pictures import make
from tests.show.browser import looking_at
from tests.show.calls import write_call

CURSOR_MS = 11_000


async def take(path: Path, *, dark: bool, width: int, height: int) -> None:
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    with tempfile.TemporaryDirectory() as folder:
        call = write_call(Path(folder) / "20261128-120000-5f0a93c1.aai")
        file = call.with_suffix(".html")
        file.write_text(page(read_call(call)))
        size = {"width": width, "height": height}
        async with (
            launched() as browser,
            looking_at(browser, file, **size, scheme=scheme) as shown,
        ):
            canvas = shown.locator("#timeline")
            await canvas.focus()
            for _ in range(round(CURSOR_MS / 1000)):
                await shown.keyboard.press("ArrowRight")
            await shown.mouse.click(2, height - 2)
            await shown.screenshot(path=path)


if __name__ == "__main__":
    make(take, __doc__, height=860)
