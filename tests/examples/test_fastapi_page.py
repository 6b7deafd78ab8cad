"""examples/fastapi in a browser that hears a call as its microphone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aai_stream.emulator.engines.pocketsphinx import PocketsphinxEngine
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from examples.fastapi.app import app, calls
from tests.browsers import browsing
from tests.examples.pages import SECONDS, SENTENCES, cut_call, serving
from tests.proxy import Proxy
from tests.servers import until

if TYPE_CHECKING:
    from playwright.async_api import WebSocket

LOST = "WebSocket connection to"


async def test_every_word_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the server is lost in the first sentence, the page's own connection in
    the second."""
    pytest.importorskip("pocketsphinx", reason="needs the extra `local`")
    faults = [fault("reset,at=1500ms,on=1")]
    async with Emulator(PocketsphinxEngine(capacity=2), faults=faults) as server:
        monkeypatch.setenv("ASSEMBLYAI_BASE_URL", server.url)
        recording = cut_call(tmp_path / "call.wav", SECONDS)
        async with (
            serving(app) as url,
            Proxy(url) as proxy,
            browsing(proxy.url, microphone=recording, noise=[LOST]) as page,
        ):
            sockets: list[WebSocket] = []
            page.on("websocket", lambda socket: sockets.append(socket))
            await page.get_by_role("button", name="Start").click()
            await page.wait_for_selector("#said p")
            await page.wait_for_selector("#saying:has-text('change')")
            for link in proxy.links:
                link.cut()
            await page.wait_for_selector("#said p:nth-child(2)")
            await page.get_by_role("button", name="Stop").click()
            await page.wait_for_selector("#status:has-text('Press Start')")
            assert await page.locator("#said p").all_text_contents() == SENTENCES
            assert await page.locator("#problem").text_content() == ""
            assert len(sockets) == 2
            await until(lambda: server.sessions == 0)
    assert server.sessions_opened == 2
    assert calls == {}
