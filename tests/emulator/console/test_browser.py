"""The page in a real browser: a call comes, is cut by a click, and goes on."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytest_asyncio

import aai_stream
from aai_stream.emulator.engines.marked import (
    MarkedEngine,
    MarkedLayout,
    Samples,
    marked_audio,
)
from aai_stream.emulator.server import Emulator
from tests.browsers import launched
from tests.emulator.console.browser import looking_at
from tests.emulator.faults.helpers import turn
from tests.emulator.helpers import PLAIN, PuppetEngine, connection
from tests.servers import within

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = 12
CALL = marked_audio(COUNT)
WORDS = [f"w{number:04d}" for number in range(COUNT)]
MIDDLE = MarkedLayout().start_ms(8) * 16  # samples; the second turn goes on there
CHUNK = 800  # 50 ms


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[Emulator]:
    async with Emulator(MarkedEngine(), service=PLAIN, console=True) as emulator:
        yield emulator


@asynccontextmanager
async def calling(server: Emulator) -> AsyncIterator[aai_stream.Stream]:
    """A stream that nobody reads yet."""
    async with aai_stream.connect(api_key="k", base_url=server.url) as stream:
        yield stream


def push(stream: aai_stream.Stream, samples: Samples) -> None:
    for at in range(0, len(samples), CHUNK):
        stream.push(samples[at : at + CHUNK].tobytes())


async def finals(page: Page) -> list[str]:
    """The words in the first lane, without capitals and stops."""
    said = await page.locator(".lane .finals").first.text_content()
    return (said or "").lower().replace(".", "").split()


SAID = ".lane .finals:not(:empty)"
SAYING = ".lane .partial:has-text('w0006')"
SAID_ALL = f".lane .finals:has-text('{WORDS[-1]}')"


REPLAYED = """() => {
    const canvas = document.querySelector("canvas");
    const {data} = canvas.getContext("2d").getImageData(
        0, 0, canvas.width, canvas.height);
    let pixels = 0;
    for (let i = 0; i < data.length; i += 4)
        pixels += data[i] === 176 && data[i + 1] === 124 && data[i + 2] === 216;
    return pixels;
}"""
"""How many pixels of the waveform have the colour of a replay."""


async def test_a_click_resets_a_call_which_goes_on_in_its_lane(
    browser: Browser,
    server: Emulator,
) -> None:
    """The replay is shown as that, and every word is there once."""
    async with looking_at(browser, server) as page, calling(server) as stream:
        push(stream, CALL[:MIDDLE])
        await page.wait_for_selector(".lane .badge.live")
        await page.wait_for_selector(SAYING)
        await page.get_by_role("button", name="Reset").click()
        await page.wait_for_selector("#applied li:has-text('reset')")
        push(stream, CALL[MIDDLE:])
        await stream.end()
        heard = [event async for event in stream]
        assert heard
        await page.wait_for_selector(SAID_ALL)
        assert await page.locator(".lane").count() == 1
        assert await finals(page) == WORDS
        await page.wait_for_selector(".facts:has-text('2 sessions')")
        assert await page.evaluate(REPLAYED) > 50
        await page.get_by_role("button", name="Details").click()
        options = page.locator(".session option")
        assert await options.all_text_contents() == [
            "1 (connection 1)",
            "2 (connection 2)",
        ]
        await page.wait_for_selector(".messages li:has-text('Termination')")
    assert [a.fault.kind for a in server.faults.applied] == ["reset"]


async def test_the_next_connection_is_refused_by_a_key(
    browser: Browser, server: Emulator
) -> None:
    """Without a mouse: n for the next connection, 3 for 503."""
    async with looking_at(browser, server) as page:
        await page.keyboard.press("n")
        await page.keyboard.press("3")
        await page.wait_for_selector("#on li:has-text('status')")
        async with calling(server) as stream:
            push(stream, CALL)
            await stream.end()
            await within(5, _read(stream))
        await page.wait_for_selector("#applied li:has-text('status')")
        await page.wait_for_selector(SAID_ALL)
        assert await finals(page) == WORDS
        await page.keyboard.press("?")
        assert await page.locator("dialog[open] kbd").count() > 10
        await page.keyboard.press("Escape")


async def _read(stream: aai_stream.Stream) -> None:
    async for _ in stream:
        pass


async def test_a_bad_fault_is_told_in_the_page_and_all_goes_off(
    browser: Browser,
    server: Emulator,
) -> None:
    async with looking_at(browser, server) as page:
        await page.get_by_label("All, and to come").check()
        await page.get_by_label("Any fault").fill("rest")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#fault-error:has-text(\"did you mean 'reset'\")")
        await page.get_by_label("Any fault").fill("late-final,seconds=3")
        await page.get_by_role("button", name="Apply").click()
        await page.wait_for_selector("#on li:has-text('late-final')")
        assert await page.locator("#fault-error").text_content() == ""
        await page.get_by_role("button", name="All off").click()
        await page.wait_for_selector("#on:empty", state="attached")
    assert list(server.faults) == []


async def test_a_transcript_is_text(browser: Browser, engine: PuppetEngine) -> None:
    """Whatever is said, and whatever a handshake asks for, is no HTML."""
    evil = "<img src=x onerror=alert(1)>"
    async with (
        Emulator(engine, service=PLAIN, console=True) as server,
        looking_at(browser, server) as page,
        connection(server, domain=evil) as client,
    ):
        await client.audio(100)
        await client.settle()
        engine.puppets[0].tell(turn(evil, end=True))
        await page.wait_for_selector(".finals:has-text('onerror')")
        await page.keyboard.press("d")
        await page.wait_for_selector(".options dd:has-text('onerror')")
        await page.wait_for_selector(".messages li:has-text('onerror')")
        assert await page.locator("img").count() == 0


async def test_a_narrow_window_scrolls_down_only(
    browser: Browser, server: Emulator
) -> None:
    wide = "document.documentElement.scrollWidth > innerWidth"
    async with looking_at(browser, server, width=390, height=844) as page:
        assert not await page.evaluate(wide)
        async with calling(server) as stream:
            push(stream, CALL)
            await page.wait_for_selector(".lane .badge.live")
            await page.keyboard.press("d")
            await page.get_by_role("button", name="Outages").click()
            await page.get_by_label("All, and to come").check()
            await page.keyboard.press("6")
            await page.wait_for_selector("#on li")
            await page.wait_for_selector(".messages li")
            assert not await page.evaluate(wide)
            await stream.end()
            await within(5, _read(stream))


def write_wav(path: Path, samples: Samples, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


async def test_a_file_is_streamed_and_survives_a_reset(
    browser: Browser, server: Emulator, tmp_path: Path
) -> None:
    """The page's own client sends again what was not final."""
    path = tmp_path / "call.wav"
    write_wav(path, CALL, 16_000)
    async with looking_at(browser, server) as page:
        await page.locator("#file").set_input_files(path)
        await page.wait_for_selector(SAYING)
        await page.keyboard.press("1")
        await page.wait_for_selector(SAID_ALL)
        assert await finals(page) == WORDS
        assert await page.locator(".lane").count() == 1
        await page.wait_for_selector(".badge:has-text('ended')")
    assert [a.fault.kind for a in server.faults.applied] == ["reset"]


async def test_what_is_no_audio_is_told(
    browser: Browser, server: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(b"no audio at all")
    async with looking_at(browser, server) as page:
        await page.locator("#file").set_input_files(path)
        await page.wait_for_selector("#notice:has-text('call.wav is no audio')")


async def test_the_microphone_is_heard(server: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    write_wav(path, np.tile(marked_audio(5, sample_rate=48_000), 4), 48_000)
    async with (
        launched(microphone=path) as browser,
        looking_at(browser, server) as page,
    ):
        await page.keyboard.press("m")
        await page.wait_for_selector(".lane .badge.live")
        await page.wait_for_selector(SAID)
        await page.get_by_role("button", name="Stop microphone").click()
        await page.wait_for_selector(".badge:has-text('ended')")


async def test_a_page_that_comes_late_sees_what_was_said(
    browser: Browser, server: Emulator
) -> None:
    async with looking_at(browser, server) as page:
        async with calling(server) as stream:
            push(stream, CALL)
            await stream.end()
            await within(5, _read(stream))
        await page.reload()
        await page.wait_for_selector(SAID_ALL)
        assert await finals(page) == WORDS


async def test_who_has_the_token_is_let_in(
    browser: Browser, engine: PuppetEngine
) -> None:
    async with (
        Emulator(engine, service=PLAIN, allow_remote=True, console=True) as server,
        looking_at(browser, server) as page,
    ):
        assert await page.locator("#empty").is_visible()


async def test_a_page_of_another_origin_is_refused(
    browser: Browser, server: Emulator
) -> None:
    """It reads nothing of the console, and makes nothing go wrong."""
    attempt = """url => new Promise(done => {
        const socket = new WebSocket(url);
        socket.onopen = () => socket.send('{"do":"stop"}');
        socket.onmessage = () => done("told");
        socket.onclose = ({code}) => done(code);
    })"""
    async with looking_at(browser, server) as page:
        live = f"{server.url}/console/live"
        assert await page.evaluate(attempt, live) == "told"
        stranger = await page.context.new_page()  # about:blank, whose origin is null
        assert await stranger.evaluate(attempt, live) == 1006
