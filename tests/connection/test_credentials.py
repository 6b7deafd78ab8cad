"""Keys, tokens, and where they go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from aai_stream import __version__, connect, mint_token
from aai_stream.connection.addresses import endpoint
from aai_stream.connection.credentials import Credentials
from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.server import DOCUMENTED, Emulator, Service
from aai_stream.errors import (
    DroppedError,
    OptionError,
    RefusedError,
    TimedOutError,
    UnreachableError,
)
from tests.connection.helpers import assert_no_secret
from tests.servers import http_server


async def test_a_key_goes_into_the_header_as_it_is() -> None:
    headers, query = await Credentials("k").for_connect()
    assert headers == {
        "AssemblyAI-Version": "2025-05-12",
        "User-Agent": f"aai-stream/{__version__}",
        "Authorization": "k",
    }
    assert query == {}


async def test_the_environment_is_asked_for_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "from-env")
    headers, _ = await Credentials().for_connect()
    assert headers["Authorization"] == "from-env"
    headers, query = await Credentials(token="t").for_connect()
    assert "Authorization" not in headers
    assert query == {"token": "t"}
    monkeypatch.delenv("ASSEMBLYAI_API_KEY")
    with pytest.raises(OptionError, match="ASSEMBLYAI_API_KEY"):
        Credentials()


@pytest.mark.parametrize(
    "host", ["", "streaming.assemblyai.com", "10.0.0.1", "localhost.example.com"]
)
def test_another_machine_needs_a_key(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    with pytest.raises(OptionError, match="API key is needed"):
        Credentials(host=host)


async def test_this_machine_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    headers, query = await Credentials(host="127.0.0.1").for_connect()
    assert (headers["Authorization"], query) == ("no-key", {})
    headers, _ = await Credentials("mine", host="localhost").for_connect()
    assert headers["Authorization"] == "mine"
    headers, query = await Credentials(token="t", host="::1").for_connect()
    assert query == {"token": "t"}
    assert "Authorization" not in headers
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "from-env")
    headers, _ = await Credentials(host="::1").for_connect()
    assert headers["Authorization"] == "from-env"


async def test_the_embedded_server_needs_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    async with Emulator(ScriptEngine([])) as server:
        token = await mint_token(base_url=f"{server.url}/v3/ws")
        for own in (None, token):
            url = f"{server.url}/v3/ws/"
            async with connect(base_url=url, token=own) as stream:
                await stream.end()
    with pytest.raises(OptionError, match="must look like"):
        connect(base_url="127.0.0.1:8765", api_key="k")


async def test_a_token_source_is_asked_for_each_connect() -> None:
    tokens = iter(["one", "two"])

    async def later() -> str:
        return next(tokens)

    credentials = Credentials(token=later)
    assert (await credentials.for_connect())[1] == {"token": "one"}
    assert (await credentials.for_connect())[1] == {"token": "two"}
    assert (await Credentials(token=lambda: "plain").for_connect())[1] == {
        "token": "plain"
    }


@pytest.mark.parametrize("secret", ["  ", "a\nb", "sch\u00fcssel", "a\0"])
async def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(OptionError, match="characters of no key") as caught:
        Credentials(secret)
    assert secret not in str(caught.value)
    with pytest.raises(OptionError, match="characters of no key"):
        await Credentials(token=lambda: secret).for_connect()


def test_a_key_is_a_string() -> None:
    with pytest.raises(OptionError, match="not int"):
        Credentials(5)  # type: ignore[arg-type]


async def test_a_key_from_a_file_may_end_with_a_newline() -> None:
    headers, _ = await Credentials("k\n").for_connect()
    assert headers["Authorization"] == "k"


@pytest.mark.parametrize("given", [None, 5, b"x"])
async def test_a_token_source_must_give_a_token(given: Any) -> None:
    with pytest.raises(OptionError, match=type(given).__name__):
        await Credentials(token=lambda: given).for_connect()


def test_key_and_token_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="not both"):
        Credentials("k", "t")


async def test_secrets_are_hidden_and_taken_out_of_texts() -> None:
    key, token = Credentials("secret-1"), Credentials(token="secret-2")
    await token.for_connect()
    assert "secret" not in repr(key) + repr(token)
    assert key.redact("bad key secret-1") == "bad key ***"
    assert token.redact("secret-2?") == "***?"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("wss://streaming.assemblyai.com", "wss://streaming.assemblyai.com/v3/ws"),
        ("https://host/", "wss://host/v3/ws"),
        ("http://127.0.0.1:1", "ws://127.0.0.1:1/v3/ws"),
        ("ws://[::1]:80/proxy/", "ws://[::1]:80/proxy/v3/ws"),
    ],
)
def test_where_a_base_url_leads(base: str, url: str) -> None:
    assert endpoint(base, "/v3/ws") == url


@pytest.mark.parametrize(
    "base",
    [
        "",
        "streaming.assemblyai.com",
        "ftp://x",
        "wss://",
        "wss://x/?token=abc",
        "wss://me:abc@x",
        "wss://[::1",
        "wss://x:99999",
        "wss://x:abc",
        f"wss://{'x' * 64}.com",
        5,
    ],
)
def test_what_is_no_base_url(base: Any) -> None:
    with pytest.raises(OptionError, match="base_url") as caught:
        endpoint(base, "/v3/ws")
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("service", [Service(), DOCUMENTED])
async def test_a_minted_token_opens_a_session(service: Service) -> None:
    async with Emulator(ScriptEngine([]), api_keys={"k"}, service=service) as emulator:
        token = await mint_token(
            api_key="k", base_url=emulator.url, max_session_duration_seconds=60
        )
        async with connect(token=token, base_url=emulator.url) as stream:
            assert stream.expires_at is not None
        again = connect(token=token, base_url=emulator.url)
        if service.reusable_tokens:
            async with again:
                pass
        else:
            with pytest.raises(RefusedError):
                await again.__aenter__()


async def test_minting_says_what_went_wrong() -> None:
    async with Emulator(ScriptEngine([]), api_keys={"k"}) as emulator:
        url = emulator.url
        with pytest.raises(RefusedError) as caught:
            await mint_token(api_key="key-that-nobody-may-see", base_url=url)
        assert_no_secret(caught.value)
        for bad in (0, 601, 1.5):
            with pytest.raises(OptionError, match="from 1 to 600"):
                await mint_token(
                    api_key="k",
                    base_url=url,
                    expires_in_seconds=bad,  # type: ignore[arg-type]
                )
        with pytest.raises(OptionError, match="from 60 to 10800"):
            await mint_token(api_key="k", base_url=url, max_session_duration_seconds=59)
    with pytest.raises(UnreachableError):
        await mint_token(api_key="k", base_url=url)


async def test_minting_does_not_wait_for_ever() -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)  # and never the body
        await asyncio.Event().wait()
        return response

    async with http_server(hang) as url:
        with pytest.raises(TimedOutError):
            await mint_token(api_key="k", base_url=url, timeout=0.05)


async def test_an_answer_that_is_no_token_is_an_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"tok": 1})

    async with http_server(handler) as url:
        with pytest.raises(DroppedError, match="no token"):
            await mint_token(api_key="k", base_url=url)
