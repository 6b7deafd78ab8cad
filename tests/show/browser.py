"""A real browser that looks at a page of a recorded call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.browsers import PATIENCE_MS

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Request


@asynccontextmanager
async def looking_at(
    browser: Browser,
    file: Path,
    *,
    width: int = 1280,
    height: int = 900,
    scheme: Literal["dark", "light"] = "light",
) -> AsyncIterator[Page]:
    """The page, once it is ready; fails if it has errors, or asks for anything."""
    asked: list[str] = []
    troubles: list[str] = []
    own = file.as_uri()

    def note(request: Request) -> None:
        if request.url != own and not request.url.startswith(("data:", "blob:")):
            asked.append(request.url)

    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        timezone_id="UTC",
    )
    async with context:
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
    assert asked == []
    assert troubles == []
