"""A real browser that looks at a server's console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aai_stream.emulator.server import Emulator
from tests.browsers import browsing

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page


@asynccontextmanager
async def looking_at(
    browser: Browser, server: Emulator, **options: Any
) -> AsyncIterator[Page]:
    """The console, once it is live; `options` as for `browsing`."""
    assert server.console_url is not None
    async with browsing(browser, server.console_url, **options) as page:
        if server.console_token is not None:
            await page.get_by_label("token").fill(server.console_token)
            await page.get_by_role("button", name="Open").click()
        await page.wait_for_selector("#link.live")
        yield page
