"""A real browser that looks at a server's console: Debian's chromium."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

from aai_stream.emulator.server import Emulator

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 30_000


@asynccontextmanager
async def looking_at(
    server: Emulator,
    *,
    width: int = 1280,
    height: int = 800,
    scheme: Literal["dark", "light"] = "light",
    microphone: Path | None = None,
) -> AsyncIterator[Page]:
    """The console in a browser; fails if it has errors or asks another host.

    `microphone` is a WAV file that the browser hears in a microphone's place.
    """
    api = pytest.importorskip("playwright.async_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    assert server.console_url is not None
    arguments = ["--no-sandbox", "--use-fake-ui-for-media-stream"]
    if microphone is not None:
        arguments.append("--use-fake-device-for-media-stream")
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    strangers: list[str] = []
    troubles: list[str] = []
    own = urlsplit(server.console_url).netloc

    def note(url: str) -> None:
        if urlsplit(url).netloc != own:
            strangers.append(url)

    async def check(route: Route) -> None:
        note(route.request.url)
        await route.continue_()

    async with api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments
        )
        context = await browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        context.set_default_timeout(PATIENCE_MS)
        await context.route("**/*", check)
        page = await context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console",
            lambda said: troubles.append(said.text) if said.type == "error" else None,
        )
        page.on(
            "websocket",
            lambda ws: (
                None if urlsplit(ws.url).netloc == own else strangers.append(ws.url)
            ),
        )
        await page.goto(server.console_url)
        if server.console_token is not None:
            await page.get_by_label("token").fill(server.console_token)
            await page.get_by_role("button", name="Open").click()
        await page.wait_for_selector("#link.live")
        yield page
        await browser.close()
    assert strangers == []
    assert troubles == []
