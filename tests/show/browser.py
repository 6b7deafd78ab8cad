"""A real browser that looks at a page of a recorded call: Debian's chromium."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Page, Request

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 30_000


@asynccontextmanager
async def looking_at(
    file: Path,
    *,
    width: int = 1280,
    height: int = 900,
    scheme: Literal["dark", "light"] = "light",
) -> AsyncIterator[Page]:
    """The page in a browser; fails if it has errors, or asks for anything at all."""
    api = pytest.importorskip("playwright.async_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    asked: list[str] = []
    troubles: list[str] = []
    own = file.as_uri()

    def note(request: Request) -> None:
        if request.url != own and not request.url.startswith(("data:", "blob:")):
            asked.append(request.url)

    async with api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            timezone_id="UTC",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("request", note)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console",
            lambda said: troubles.append(said.text) if said.type == "error" else None,
        )
        await page.goto(own)
        await page.wait_for_selector("html[data-ready]")
        yield page
        await browser.close()
    assert asked == []
    assert troubles == []
