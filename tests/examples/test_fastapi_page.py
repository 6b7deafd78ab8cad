"""examples/fastapi in a browser that hears a call as its microphone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aai_stream.emulator.engines.pocketsphinx import PocketsphinxEngine
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from examples.fastapi.app import app, calls
from tests.browsers import browsing, launched
from tests.examples.pages import SECONDS, SENTENCES, cut_call, is_heard, serving
from tests.proxy import Proxy
from tests.servers import until, within

if TYPE_CHECKING:
    from playwright.async_api import WebSocket

SECOND = 20
"""Frames that a second of audio has."""

LOST = "WebSocket connection to"


async def frames_sent(socket: WebSocket, count: int) -> None:
    """Wait until the page has sent so many more."""
    enough = asyncio.Event()
    sent: list[object] = []

    def note(frame: object) -> None:
        sent.append(frame)
        if len(sent) == count:
            enough.set()

    socket.on("framesent", note)
    await enough.wait()


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
            launched(microphone=recording) as browser,
            browsing(browser, proxy.url, noise=[LOST]) as page,
        ):
            sockets: list[WebSocket] = []
            page.on("websocket", lambda socket: sockets.append(socket))
            await page.get_by_role("button", name="Start").click()
            await page.wait_for_selector("#said p")
            await page.wait_for_selector("#saying:not(:empty)")
            for link in proxy.links:
                link.stall()
            await within(5, frames_sent(sockets[0], SECOND))
            for link in proxy.links:
                link.cut()
            await page.wait_for_selector("#said p:nth-child(2)")
            await page.get_by_role("button", name="Stop").click()
            await page.wait_for_selector("#status:has-text('Press Start')")
            said = await page.locator("#said p").all_text_contents()
            assert is_heard(said, SENTENCES), said
            assert await page.locator("#problem").text_content() == ""
            assert len(sockets) == 2
            await until(lambda: server.sessions == 0)
    assert server.sessions_opened == 2
    assert calls == {}


async def test_a_server_that_has_forgotten_the_call_begins_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart: what was final stays on the page."""
    script = ScriptEngine([say("hello world", at_ms=200)])
    recording = cut_call(tmp_path / "call.wav", 1)
    async with Emulator(script) as server:
        monkeypatch.setenv("ASSEMBLYAI_BASE_URL", server.url)
        async with (
            serving(app) as url,
            Proxy(url) as proxy,
            launched(microphone=recording) as browser,
            browsing(browser, proxy.url, noise=[LOST]) as page,
        ):
            await page.get_by_role("button", name="Start").click()
            await page.wait_for_selector("#said p")
            (forgotten,) = calls.values()
            calls.clear()
            for link in proxy.links:
                link.cut()
            await page.wait_for_selector("#said p:nth-child(2)")
            await page.get_by_role("button", name="Stop").click()
            await page.wait_for_selector("#status:has-text('Press Start')")
            said = await page.locator("#said p").all_text_contents()
            await asyncio.wait([forgotten.hang_up()])
    assert said == ["Hello world.", "Hello world."]


async def test_without_a_microphone_the_page_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_BASE_URL", "ws://127.0.0.1:1")
    async with (
        serving(app) as url,
        launched() as browser,
        browsing(browser, url) as page,
    ):
        await page.get_by_role("button", name="Start").click()
        await page.wait_for_selector("#problem:has-text('There is no microphone')")
        assert await page.get_by_role("button", name="Start").is_enabled()
    assert calls == {}
