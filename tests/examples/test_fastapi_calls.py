"""examples/fastapi from a page's side: leaving, coming back, errors."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

import aai_stream
from aai_stream import errors
from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.emulator.server import Emulator
from examples.fastapi import app as example
from examples.fastapi import calls
from tests.examples.pages import serving
from tests.servers import until, within

RATE = 16_000
COUNT = 8
AUDIO = marked_audio(COUNT).tobytes()
WORDS = [f"w{number:04d}" for number in range(COUNT)]
CHUNK = 2 * RATE // 20


class Page:
    """A page without a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self.socket = socket
        self.turns: dict[int, Any] = {}
        """As they were told last."""

    async def send(self, audio: bytes) -> None:
        for at in range(0, len(audio), CHUNK):
            await self.socket.send_bytes(audio[at : at + CHUNK])

    async def told(self) -> Any:
        message = await within(5, self.socket.receive_json())
        self.turns |= {turn["order"]: turn for turn in message["turns"]}
        return message

    async def until_taken(self, samples: int) -> None:
        while (await self.told())["samples"] < samples:
            pass

    async def to_the_end(self) -> Any:
        """What is told last."""
        while not (message := await self.told())["over"]:
            pass
        return message

    @property
    def words(self) -> list[str]:
        text = " ".join(self.turns[order]["text"] for order in sorted(self.turns))
        return text.lower().replace(".", "").split()

    def cut(self) -> None:
        """As when the network is lost."""
        transport = self.socket.get_extra_info("socket")
        assert transport is not None
        transport.shutdown(2)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """The embedded server, which the app connects to, as fast as it can."""
    connect = aai_stream.connect

    def hurried(**options: Any) -> Any:
        return connect(**options, catch_up_rate=math.inf)

    monkeypatch.setattr("examples.fastapi.app.aai_stream.connect", hurried)
    async with Emulator(MarkedEngine()) as emulator:
        monkeypatch.setenv("ASSEMBLYAI_BASE_URL", emulator.url)
        yield emulator


@pytest.fixture
async def url(server: Emulator) -> AsyncIterator[str]:
    async with serving(example.app) as url:
        yield url
    assert example.calls == {}


@asynccontextmanager
async def page(
    url: str, hello: Any = None, origin: str | None = None
) -> AsyncIterator[Page]:
    """A connection; `hello` if it is not a new call's."""
    headers = {"Origin": url if origin is None else origin}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/listen", headers=headers) as socket,
    ):
        if hello is None:
            hello = {"call": str(uuid4()), "rate": RATE}
        await socket.send_json(hello)
        yield Page(socket)


async def test_who_comes_back_goes_on_in_the_same_call(
    url: str, server: Emulator
) -> None:
    hello = {"call": str(uuid4()), "rate": RATE}
    half = len(AUDIO) // 2 // CHUNK * CHUNK
    async with page(url, hello) as first:
        await first.send(AUDIO[:half])
        await first.until_taken(half // 2)
        first.cut()
        async with page(url, hello) as second:
            message = await second.told()
            assert message["samples"] == half // 2
            (call,) = example.calls.values()
            assert call._hangup is not None
            assert call._hangup.cancelled()
            assert second.words == WORDS[: len(second.words)] != []
            await second.send(AUDIO[half:])
            await second.socket.send_str("end")
            message = await second.to_the_end()
    assert second.words == WORDS
    assert all(turn["final"] for turn in second.turns.values())
    assert (message["lost_ms"], message["problem"]) == (0, None)
    assert server.sessions_opened == 1


async def test_another_connection_takes_over(url: str, server: Emulator) -> None:
    """The server has not noticed yet that the first one is dead."""
    hello = {"call": str(uuid4()), "rate": RATE}
    async with page(url, hello) as first, page(url, hello) as second:
        await second.send(AUDIO)
        await second.socket.send_str("end")
        await second.to_the_end()
        assert second.words == WORDS
        await within(5, closed(first))
    assert server.sessions_opened == 1


async def closed(page: Page) -> None:
    async for _ in page.socket:
        pass


async def test_no_more_is_read_than_can_be_sent(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page keeps the rest, and is not told that it was taken."""
    opened = asyncio.Event()
    drain = aai_stream.Stream.drain

    async def drain_when_opened(stream: aai_stream.Stream) -> None:
        await opened.wait()
        await drain(stream)

    monkeypatch.setattr(aai_stream.Stream, "drain", drain_when_opened)
    async with page(url) as fast:
        await fast.send(AUDIO)
        await until(lambda: len(example.calls) == 1)
        (call,) = example.calls.values()
        await until(lambda: call._samples > 0)
        async with page(url, []) as other:  # the app goes on meanwhile
            await within(5, closed(other))
        assert call._samples == CHUNK // 2
        assert (await fast.told())["samples"] == 0
        opened.set()
        await fast.socket.send_str("end")
        await fast.to_the_end()
        assert fast.words == WORDS


async def test_the_session_ends_when_the_page_is_left(
    url: str, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "GRACE_SECONDS", 3600)
    async with page(url) as left:
        await left.send(AUDIO[:CHUNK])
        await left.until_taken(CHUNK // 2)
        assert server.sessions == 1
        await left.socket.close(code=1001)
        await until(lambda: server.sessions == 0)
    assert example.calls == {}


async def test_a_page_that_does_not_come_back_is_given_up(
    url: str, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "GRACE_SECONDS", 0.01)
    async with page(url) as lost:
        await lost.send(AUDIO[:CHUNK])
        await lost.until_taken(CHUNK // 2)
        lost.cut()
        await until(lambda: server.sessions == 0)
    assert example.calls == {}


async def test_the_session_ends_with_the_app(
    server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "GRACE_SECONDS", 3600)
    async with AsyncExitStack() as pages:
        async with serving(example.app) as url:
            open_page = await pages.enter_async_context(page(url))
            await open_page.send(AUDIO[:CHUNK])
            await open_page.until_taken(CHUNK // 2)
        assert example.calls == {}
        await until(lambda: server.sessions == 0)


async def test_a_page_of_another_site_is_refused(url: str, server: Emulator) -> None:
    for origin in ("http://evil.example", "null", ""):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with page(url, origin=origin):
                pass
        assert refused.value.status == 403
    assert server.sessions_opened == 0


@pytest.mark.parametrize(
    "hello",
    [
        {"call": "me", "rate": RATE},
        {"call": str(uuid4()), "rate": 0},
        {"rate": RATE},
        [],
    ],
)
async def test_who_does_not_say_hello_is_hung_up_on(url: str, hello: Any) -> None:
    async with page(url, hello) as rude:
        await within(5, closed(rude))
        assert rude.socket.close_code == 1008


async def test_one_call_too_many(
    url: str, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "MOST_CALLS", 1)
    async with page(url) as first:
        await first.told()
        async with page(url) as second:
            assert (await second.to_the_end())["problem"] == calls.TOO_MANY
        await first.socket.close(code=1001)


async def test_what_is_no_audio(url: str) -> None:
    async with page(url) as odd:
        await odd.socket.send_bytes(b"odd")
        problem = (await odd.to_the_end())["problem"]
    assert problem == "The page sent something that is no audio. Reload it."


async def test_a_refused_key_is_told_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "a-secret")
    async with Emulator(MarkedEngine(), api_keys=["another"]) as server:
        monkeypatch.setenv("ASSEMBLYAI_BASE_URL", server.url)
        async with serving(example.app) as url, page(url) as refused:
            problem = (await refused.to_the_end())["problem"]
    assert problem == (
        "Speech recognition is not set up right. Tell whoever runs this page."
    )
    assert "Invalid API key" in caplog.text
    assert "a-secret" not in caplog.text


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (errors.BusyError("…"), "Too many people"),
        (errors.RefusedError("…"), "not set up right"),
        (errors.DroppedError("…"), "Try again in a moment"),
        (errors.AudioError("…"), "no audio"),
    ],
)
def test_plain_words(failure: errors.AaiStreamError, words: str) -> None:
    assert words in calls.in_plain_words(failure)


async def test_without_a_key_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    monkeypatch.delenv("ASSEMBLYAI_BASE_URL", raising=False)
    with pytest.raises(errors.OptionError, match="an API key is needed"):
        async with example.lifespan(example.app):
            pass
