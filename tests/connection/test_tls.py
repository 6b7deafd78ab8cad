"""Whom a key and speech are sent to: servers that prove who they are, or loopback."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import inspect
import logging
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions

import aai_stream
from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.server import Emulator
from aai_stream.errors import (
    OptionError,
    SessionError,
    UnreachableError,
    UntrustedError,
)
from aai_stream.livekit import STT
from tests.proxy import Proxy
from tests.servers import begin_then, http_server, terminate_when_asked, within
from tests.wires import CA, server_side, trusting_http_session

KEY = "key-that-nobody-may-see"


def self_signed() -> ssl.SSLContext:
    """A certificate that vouches for itself."""
    own = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with own.cert_pem.tempfile() as path, own.private_key_pem.tempfile() as key:
        context.load_cert_chain(path, key)
    return context


def good() -> ssl.SSLContext:
    return server_side(CA.issue_cert("127.0.0.1"))


def expired() -> ssl.SSLContext:
    year = datetime.timedelta(days=365)
    now = datetime.datetime.now(datetime.timezone.utc)
    return server_side(
        CA.issue_cert("127.0.0.1", not_before=now - 2 * year, not_after=now - year)
    )


def wrong_host() -> ssl.SSLContext:
    return server_side(CA.issue_cert("streaming.assemblyai.com"))


def unknown_ca() -> ssl.SSLContext:
    return server_side(trustme.CA().issue_cert("127.0.0.1"))


untrusted = pytest.mark.parametrize(
    "certificate", [self_signed, expired, wrong_host, unknown_ca]
)


async def _answer(request: web.Request) -> web.StreamResponse:
    """As a server does that is what it should be."""
    if request.path == "/v3/token":
        return web.json_response({"token": "minted", "expires_in_seconds": 60})
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await begin_then(socket)
    await terminate_when_asked(socket)
    return socket


@asynccontextmanager
async def server(certificate: ssl.SSLContext) -> AsyncIterator[Proxy]:
    """A server with that certificate, behind a proxy that counts its connections."""
    async with (
        http_server(_answer, certificate) as url,
        Proxy(url.replace("ws:", "wss:")) as proxy,
    ):
        yield proxy


def assert_says_only_where(error: BaseException | None, proxy: Proxy) -> None:
    """It names host and port, and neither it nor what led to it holds a secret."""
    assert f"127.0.0.1:{proxy.port}" in str(error)
    while error is not None:
        text = f"{error} {error!r} {vars(error)!r}"
        assert KEY not in text
        assert "?" not in text
        error = error.__cause__ or error.__context__


# ---- whom to trust ----


CALL = """
import asyncio, sys, aai_stream

async def main():
    async with aai_stream.connect(api_key="k", base_url=sys.argv[1]) as stream:
        stream.push(bytes(1600))
        await stream.end()

asyncio.run(main())
"""


async def run(program: str, url: str, **variables: str) -> int:
    """The exit status of a program that is given `url`, in such an environment."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, url), env={**os.environ, **variables}
    )
    status: int = await within(30, process.wait())
    return status


async def test_a_machine_that_logs_its_tls_keys(tmp_path: Path) -> None:
    """picows' fast transport would crash there."""
    log, ca = tmp_path / "keys", tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(ca))
    said = {"SSLKEYLOGFILE": str(log), "SSL_CERT_FILE": str(ca)}
    async with server(good()) as proxy:
        assert await run(CALL, proxy.url, **said) == 0
    assert "TRAFFIC_SECRET" in log.read_text()


async def test_a_machine_without_a_temporary_directory(tmp_path: Path) -> None:
    """picows' fast transport would never connect there."""
    ca = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(ca))
    nowhere = (
        "import tempfile\n"
        "def fail():\n"
        "    raise FileNotFoundError('there is no temporary directory')\n"
        "tempfile._get_default_tempdir = fail\n"
    )
    async with server(good()) as proxy:
        assert await run(nowhere + CALL, proxy.url, SSL_CERT_FILE=str(ca)) == 0


async def test_a_ca_that_the_caller_s_session_trusts() -> None:
    async with server(good()) as proxy, trusting_http_session() as session:
        options: dict[str, Any] = {"base_url": proxy.url, "http_session": session}
        async with aai_stream.connect(api_key=KEY, **options) as stream:
            await within(5, stream.end())
        assert await aai_stream.mint_token(api_key=KEY, **options) == "minted"
        speech = STT(api_key=KEY, **options).stream()
        speech.push_frame(_frame())
        speech.end_input()
        assert [event async for event in speech]
        await speech.aclose()


async def test_a_ca_that_the_machine_trusts(tmp_path: Path) -> None:
    """As OpenSSL's variables say, which are read when a program starts."""
    trusted = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(trusted))
    program = (
        "import asyncio, sys, aai_stream\n"
        "async def main():\n"
        "    async with aai_stream.connect(base_url=sys.argv[1]) as stream:\n"
        "        await stream.end()\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except aai_stream.errors.UntrustedError:\n"
        "    sys.exit(3)\n"
    )
    async with server(good()) as proxy:
        for variables, status in [({"SSL_CERT_FILE": str(trusted)}, 0), ({}, 3)]:
            said = {"ASSEMBLYAI_API_KEY": KEY, **variables}
            assert await run(program, proxy.url, **said) == status


def _frame() -> rtc.AudioFrame:
    return rtc.AudioFrame.create(16_000, 1, 800)


@untrusted
@pytest.mark.parametrize("own_session", [False, True])
async def test_a_stream_refuses_at_once(
    certificate: Callable[[], ssl.SSLContext],
    own_session: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with server(certificate()) as proxy, contextlib.AsyncExitStack() as stack:
        session = None
        if own_session:
            session = await stack.enter_async_context(trusting_http_session())
        stream = aai_stream.connect(
            api_key=KEY,
            base_url=proxy.url,
            http_session=session,
            allow_unencrypted=True,  # has nothing to do with certificates
            extra_params={"ssl": False, "verify": "none"},
        )
        with pytest.raises(UntrustedError) as caught:
            await within(5, stream.__aenter__())
        assert len(proxy.links) == 1  # it is no use to try again
        assert_says_only_where(caught.value, proxy)
    assert not caught.value.retryable
    assert KEY not in caplog.text


@untrusted
async def test_the_plugin_refuses_at_once(
    certificate: Callable[[], ssl.SSLContext],
) -> None:
    async with server(certificate()) as proxy, trusting_http_session() as session:
        stt = STT(api_key=KEY, base_url=proxy.url, http_session=session)
        recoverable: list[bool] = []
        stt.on("error", lambda error: recoverable.append(error.recoverable))
        stream = stt.stream(conn_options=APIConnectOptions(retry_interval=0.01))
        stream.push_frame(_frame())
        with pytest.raises(APIConnectionError) as caught:
            await within(5, anext(stream))
        await stream.aclose()
        assert len(proxy.links) == 1
        assert_says_only_where(caught.value, proxy)
    assert not caught.value.retryable
    assert recoverable == [False]


@untrusted
async def test_no_token_is_asked_of_a_stranger(
    certificate: Callable[[], ssl.SSLContext],
) -> None:
    async with server(certificate()) as proxy, trusting_http_session() as session:
        with pytest.raises(UntrustedError) as caught:
            await aai_stream.mint_token(
                api_key=KEY, base_url=proxy.url, http_session=session
            )
        assert len(proxy.links) == 1
        assert_says_only_where(caught.value, proxy)


async def without_tls_behind_wss() -> str:
    """What is said of a server that knows no TLS."""
    async with http_server(_answer) as url, Proxy(url.replace("ws:", "wss:")) as proxy:
        stream = aai_stream.connect(api_key=KEY, base_url=proxy.url, max_retries=0)
        with pytest.raises(UnreachableError) as caught:
            await within(5, stream.__aenter__())
        assert_says_only_where(caught.value, proxy)
        assert b"GET" not in proxy.links[0].up.passed
    return str(caught.value)


async def test_a_server_without_tls_behind_a_wss_url() -> None:
    assert "no TLS with" in await without_tls_behind_wss()


async def test_it_is_said_that_tls_is_the_trouble() -> None:
    assert "permitted" not in await without_tls_behind_wss()


@pytest.mark.parametrize("function", [aai_stream.connect, aai_stream.mint_token, STT])
def test_no_option_of_ours_turns_verification_off(function: Any) -> None:
    names = inspect.signature(function).parameters
    assert [n for n in names if "ssl" in n or "tls" in n or "verify" in n] == []


# ---- without TLS ----

remote = pytest.mark.parametrize(
    "url",
    ["ws://example.com", "http://example.com", "ws://10.0.0.1:80", "ws://0.0.0.0"],
)
local = pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"]
)


@remote
async def test_another_machine_needs_tls(url: str) -> None:
    with pytest.raises(OptionError, match="allow_unencrypted"):
        aai_stream.connect(api_key=KEY, base_url=url)
    with pytest.raises(OptionError, match="allow_unencrypted"):
        STT(api_key=KEY, base_url=url)
    with pytest.raises(OptionError, match="allow_unencrypted"):
        await aai_stream.mint_token(api_key=KEY, base_url=url)


@remote
def test_unless_the_caller_insists(url: str) -> None:
    aai_stream.connect(api_key=KEY, base_url=url, allow_unencrypted=True)
    STT(api_key=KEY, base_url=url, allow_unencrypted=True)


@local
def test_this_machine_needs_none(host: str) -> None:
    aai_stream.connect(api_key=KEY, base_url=f"ws://{host}:8765")
    STT(api_key=KEY, base_url=f"ws://{host}:8765")


async def test_a_token_of_this_machine_s() -> None:
    async with Emulator(ScriptEngine([])) as emulator:
        assert await aai_stream.mint_token(api_key=KEY, base_url=emulator.url)


@asynccontextmanager
async def redirected(asked: list[str], scheme: str = "http") -> AsyncIterator[str]:
    """A server that sends clients on to another one, which notes what key they show."""

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization", "none"))
        return await _answer(request)

    async with http_server(elsewhere) as other:

        async def redirect(request: web.Request) -> web.StreamResponse:
            url = other.replace("ws:", f"{scheme}:")
            raise web.HTTPTemporaryRedirect(f"{url}{request.path_qs}")

        async with http_server(redirect) as url:
            yield url


@pytest.mark.parametrize("own_session", [False, True])
async def test_a_redirect_does_not_take_the_key_elsewhere(
    own_session: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aai_stream.connection.wire.CLOSE_SECONDS", 0.05)
    asked: list[str] = []
    async with redirected(asked) as url, trusting_http_session() as session:
        options: dict[str, Any] = {"http_session": session} if own_session else {}
        stream = aai_stream.connect(api_key=KEY, base_url=url, max_retries=0, **options)
        with contextlib.suppress(SessionError):
            await within(5, stream.__aenter__())
        await stream.aclose()
        with contextlib.suppress(SessionError):
            await aai_stream.mint_token(api_key=KEY, base_url=url, **options)
    assert KEY not in asked


@pytest.mark.parametrize("own_session", [False, True])
async def test_a_redirect_does_not_take_the_speech_elsewhere(
    own_session: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a machine that `base_url` doesn't name, and perhaps without TLS."""
    monkeypatch.setattr("aai_stream.connection.wire.CLOSE_SECONDS", 0.05)
    asked: list[str] = []
    scheme = "http" if own_session else "ws"  # as each would follow it
    async with (
        redirected(asked, scheme) as url,
        trusting_http_session() as session,
    ):
        options: dict[str, Any] = {"http_session": session} if own_session else {}
        stream = aai_stream.connect(api_key=KEY, base_url=url, max_retries=0, **options)
        with pytest.raises(UnreachableError):
            await within(5, stream.__aenter__())
        await stream.aclose()
    # aiohttp has followed it, with neither key nor speech, before we can say no.
    assert asked == (["none"] if own_session else [])
