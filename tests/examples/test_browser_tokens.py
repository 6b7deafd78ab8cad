"""examples/browser_tokens: the endpoint, and its page in a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

import aai_stream
from aai_stream.emulator.engines.pocketsphinx import PocketsphinxEngine
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import DOCUMENTED, Emulator
from examples.browser_tokens import app as example
from tests.browsers import browsing, launched
from tests.examples.pages import SENTENCES, cut_call, is_heard, serving
from tests.servers import until

SAME = {"Sec-Fetch-Site": "same-origin"}
KEY = "a-secret-key"


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    """It takes one key, and tokens for one session, as AssemblyAI documents."""
    script = ScriptEngine([say("hello world", at_ms=200)])
    async with Emulator(script, api_keys=[KEY], service=DOCUMENTED) as emulator:
        yield emulator


@pytest.fixture
async def url(server: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", KEY)
    monkeypatch.setattr(example, "BASE_URL", server.url)
    async with serving(example.app) as url:
        yield url


async def ask(url: str, **headers: str) -> tuple[int, str]:
    """The status and the text of an answer; no key is in it."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/session?sample_rate=16000", headers=headers) as answer,
    ):
        text = await answer.text()
        assert answer.status != 200 or answer.headers["Cache-Control"] == "no-store"
        assert KEY not in text + str(answer.headers)
        return answer.status, text


async def test_its_token_opens_a_session_as_long_as_it_says(
    url: str, server: Emulator
) -> None:
    status, text = await ask(url, **SAME)
    assert status == 200
    query = parse_qs(urlsplit(text).query.removesuffix('"}'))
    assert set(query) == {"speech_model", "sample_rate", "token"}
    (token,) = query["token"]
    async with aai_stream.connect(token=token, base_url=server.url):
        assert server.sessions == 1
    with pytest.raises(aai_stream.errors.RefusedError):
        await aai_stream.connect(token=token, base_url=server.url).__aenter__()


async def test_a_page_of_another_site_gets_none(url: str) -> None:
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}):
        status, _ = await ask(url, **headers)
        assert status == 403


async def test_without_a_good_key_there_is_none(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "another-secret")
    status, text = await ask(url, **SAME)
    assert (status, text) == (
        503,
        '{"detail":"Speech recognition is not to be had now."}',
    )
    assert "no token was minted" in caplog.text
    assert "another-secret" not in caplog.text


async def test_the_page_hears_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; then a session is lost, which is said, and the next one goes on."""
    pytest.importorskip("pocketsphinx", reason="needs the extra `local`")
    recording = cut_call(tmp_path / "call.wav", 3.5)
    engine = PocketsphinxEngine(capacity=2)
    async with Emulator(engine, faults=[fault("reset,on=2")]) as server:
        monkeypatch.setattr(example, "BASE_URL", server.url)
        host = urlsplit(server.url).netloc
        async with (
            serving(example.app) as url,
            launched(microphone=recording) as browser,
            browsing(browser, url, hosts=[host], noise=[host]) as page,
        ):
            start = page.get_by_role("button", name="Start")
            await start.click()
            await page.wait_for_selector("#said p")
            await page.get_by_role("button", name="Stop").click()
            await page.wait_for_selector("#status:has-text('Press Start')")
            said = await page.locator("#said p").all_text_contents()
            assert is_heard(said, SENTENCES[:1]), said
            assert await page.locator("#problem").text_content() == ""
            await until(lambda: server.sessions == 0)
            await start.click()
            await page.wait_for_selector("#problem:has-text('connection is lost')")
            assert await start.is_enabled()
    assert server.sessions_opened == 2
