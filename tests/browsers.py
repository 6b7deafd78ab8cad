"""A page in a real browser, Debian's chromium, that may hear a file as a microphone.

To start a browser takes longer than to test most pages, so the tests of a module share
one, and its event loop. Each test has a context of its own in it.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Route

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 30_000


@asynccontextmanager
async def launched(
    *arguments: str, microphone: Path | None = None
) -> AsyncIterator[Browser]:
    """A browser without pages; skips the test where there is none.

    `microphone` is a WAV file that the browser hears, once, in a microphone's place.
    """
    api = pytest.importorskip("playwright.async_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    options = ["--no-sandbox", "--use-fake-ui-for-media-stream", *arguments]
    if microphone is not None:
        options.append("--use-fake-device-for-media-stream")
        options.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=options
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def browsing(
    browser: Browser,
    url: str,
    *,
    width: int = 1280,
    height: int = 800,
    scheme: Literal["dark", "light"] = "light",
    hosts: Collection[str] = (),
    noise: Collection[str] = (),
) -> AsyncIterator[Page]:
    """The page at `url`; fails if it has errors, but for those that hold a text of
    `noise`, or asks another host than its own and `hosts`."""
    strangers: list[str] = []
    troubles: list[str] = []
    known = {urlsplit(url).netloc, *hosts}

    def note(url: str) -> None:
        if urlsplit(url).netloc not in known:
            strangers.append(url)

    def trouble(text: str) -> None:
        if not any(each in text for each in noise):
            troubles.append(text)

    async def check(route: Route) -> None:
        note(route.request.url)
        await route.continue_()

    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme
    )
    async with context:
        context.set_default_timeout(PATIENCE_MS)
        await context.route("**/*", check)
        page = await context.new_page()
        page.on("pageerror", lambda error: trouble(str(error)))
        page.on(
            "console",
            lambda said: trouble(said.text) if said.type == "error" else None,
        )
        page.on("websocket", lambda ws: note(ws.url))
        await page.goto(url)
        yield page
    assert strangers == []
    assert troubles == [], troubles
