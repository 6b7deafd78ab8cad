"""The console over HTTP: who gets it, and what its websocket takes and tells."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aai_stream.emulator import console
from aai_stream.emulator.engines.engine import Raw
from aai_stream.emulator.server import Emulator
from tests.emulator.helpers import (
    PLAIN,
    Message,
    PuppetEngine,
    connection,
    raw_connection,
)
from tests.servers import port_of, within

STATIC = Path(console.__file__).parent / "static"


@pytest.fixture
async def server(engine: PuppetEngine) -> AsyncIterator[Emulator]:
    async with Emulator(engine, service=PLAIN, console=True) as emulator:
        yield emulator


class Looker:
    """A page without a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self.socket = socket

    async def next(self) -> Any:
        message = await within(2, self.socket.receive())
        assert message.type is aiohttp.WSMsgType.BINARY, message
        return message.json()

    async def until(self, key: str) -> Any:
        """What the next message with `key` says there."""
        while key not in (told := await self.next()):
            pass
        return told[key]


@asynccontextmanager
async def looking(server: Emulator, **headers: str) -> AsyncIterator[Looker]:
    assert server.console_url is not None
    origin = server.console_url.rstrip("/")
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(
            f"{server.url}/console/live", headers={"Origin": origin, **headers}
        ) as socket,
    ):
        yield Looker(socket)


async def status(url: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as got:
        return got.status


async def test_without_it_there_is_no_page(engine: PuppetEngine) -> None:
    async with Emulator(engine) as server:
        assert server.console_url is server.console_token is None
        assert await status(server.url.replace("ws", "http") + "/") == 404


async def test_every_file_is_served_with_its_policy(server: Emulator) -> None:
    assert server.console_url is not None
    async with aiohttp.ClientSession() as http:
        names = [f"console/{file.name}" for file in STATIC.iterdir()]
        assert len(names) > 8
        for name in ("", *names):
            async with http.get(server.console_url + name) as answer:
                assert answer.status == 200, name
                policy = answer.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; script-src 'self'")
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for name in ("nothing.js", "..%2Fconsole.py", "%2Fetc%2Fpasswd"):
            assert await status(f"{server.console_url}console/{name}") == 404


def test_every_file_is_in_the_wheel() -> None:
    root = Path(__file__).parents[3]
    project = (root / "pyproject.toml").read_text()
    (listed,) = re.findall(r"^aai_stream = (.*)", project, re.MULTILINE)
    patterns = re.findall(r'"([^"]+)"', listed)
    for file in STATIC.iterdir():
        path = str(file.relative_to(root / "src" / "aai_stream"))
        assert any(fnmatch(path, pattern) for pattern in patterns), path


def test_nothing_in_its_files_is_another_host_or_inline() -> None:
    for file in STATIC.iterdir():
        text = file.read_text()
        hosts = set(re.findall(r"(?:https?|wss?)://([^`'\"\s]*)", text))
        assert hosts <= {"www.w3.org/2000/svg"}, file
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=\"|<style|style=\"", text)
        assert "innerHTML" not in text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "10.0.0.1", "127.0.0.1.evil.example"]
)
async def test_another_name_is_refused(server: Emulator, host: str) -> None:
    """DNS rebinding: a site that lets its own name lead to this machine."""
    assert server.console_url is not None
    assert await status(server.console_url, Host=host) == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
async def test_loopbacks_own_names_are_taken(server: Emulator, name: str) -> None:
    assert server.console_url is not None
    host = f"{name}:{port_of(server.url)}"
    assert await status(server.console_url, Host=host) == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1"])
async def test_another_origin_is_refused(server: Emulator, origin: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with looking(server, Origin=origin):
            pass
    assert refused.value.status == 403


async def test_who_tells_no_origin_gets_no_websocket(server: Emulator) -> None:
    assert await status(f"{server.console_url}console/live") == 403


async def test_beyond_loopback_it_asks_for_its_token(engine: PuppetEngine) -> None:
    async with Emulator(engine, allow_remote=True, console=True) as server:
        url, token = server.console_url, server.console_token
        assert url is not None
        assert token is not None
        assert len(token) > 20
        jar = aiohttp.CookieJar(unsafe=True)  # it takes cookies of addresses
        async with aiohttp.ClientSession(cookie_jar=jar) as http:

            async def page(given: str | None = None) -> str:
                if given is not None:
                    await http.post(f"{url}console/login", data={"token": given})
                async with http.get(url) as answer:
                    return await answer.text()

            assert 'type="password"' in await page()
            assert 'type="password"' in await page("wrong")
            assert 'id="lanes"' not in await page("")
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with looking(server):
                    pass
            assert 'id="lanes"' in await page(token)
            (cookie,) = jar
            assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
            async with looking(server, Cookie=f"{cookie.key}={cookie.value}") as looker:
                assert await looker.until("presets")


async def test_a_call_is_told_and_a_fault_strikes_it(
    server: Emulator, engine: PuppetEngine
) -> None:
    async with looking(server) as looker, connection(server) as client:
        assert len(await looker.until("presets")) == 7
        await client.audio(100)
        await client.settle()
        while "wave" not in (shown := (await looker.until("sessions"))[0]):
            pass
        assert shown["n"] == 1
        command = {"do": "start", "text": "expire", "scope": "session", "session": 1}
        await looker.socket.send_json(command)
        assert (await client.error())["error_code"] == 3008
        while not (told := await looker.until("outages"))["applied"]:
            pass
        assert told["applied"] == [{"text": "expire", "session": 1, "ms": 100}]
    assert [str(a.fault) for a in server.faults.applied] == ["expire,at=begin,on=every"]


async def test_one_session_is_struck_and_no_other(server: Emulator) -> None:
    async with (
        looking(server) as looker,
        connection(server) as first,
        connection(server) as second,
    ):
        command = {"do": "start", "text": "expire", "scope": "session", "session": 2}
        await looker.socket.send_json(command)
        await second.error()
        command["scope"] = "open"
        await looker.socket.send_json(command)
        await first.error()
    async with connection(server) as third:
        await third.settle()
    assert [a.connection for a in server.faults.applied] == [2, 1]


async def test_the_countdown_starts_when_a_fault_first_strikes(
    server: Emulator,
) -> None:
    async with looking(server) as looker:
        command = {"do": "start", "text": "expire", "scope": "all", "seconds": 600}
        await looker.socket.send_json(command)
        while not (on := (await looker.until("outages"))["on"]):
            pass
        assert (on[0]["left"], on[0]["times"]) == (None, 0)
        async with connection(server) as client:
            await client.error()
        while (on := (await looker.until("outages"))["on"])[0]["left"] is None:
            pass
        assert 500 < on[0]["left"] <= 600
        assert on[0]["times"] == 1
        await looker.socket.send_json({"do": "stop"})
        while (await looker.until("outages"))["on"]:
            pass


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ('{"do":"start","text":"rest","scope":"all"}', "did you mean 'reset'"),
        ('{"do":"dance"}', "there is no command 'dance'"),
        ('{"do":7}', "Expected `str`"),
        ("[" * 9000, "."),
    ],
)
async def test_a_bad_command_is_answered(
    server: Emulator, command: str, why: str
) -> None:
    async with looking(server) as looker:
        await looker.socket.send_str(command)
        assert re.search(why, await looker.until("failed"))


async def test_its_token_opens_a_session(server: Emulator) -> None:
    async with looking(server) as looker:
        await looker.socket.send_json({"do": "token"})
        token = await looker.until("token")
    async with connection(server, headers={}, token=token):
        pass


async def test_no_key_and_no_token_is_told(server: Emulator) -> None:
    async with looking(server) as looker:
        await looker.socket.send_json({"do": "token"})
        token = await looker.until("token")
        headers = {"Authorization": "secret-key"}
        async with raw_connection(server, headers=headers, token=token) as client:
            assert (await client.receive())["type"] == "Begin"
            await looker.socket.send_json({"do": "read", "session": 1})
            seen = str([await looker.next()])
            while "'messages'" not in seen:
                seen += str(await looker.next())
            assert "'sessions'" in seen
            assert "Begin" in seen
            assert token not in seen
            assert "secret-key" not in seen


async def test_a_page_that_does_not_read_holds_nothing_up(
    engine: PuppetEngine,
) -> None:
    """It is not told, nothing waits for it, and the server stops all the same."""
    async with AsyncExitStack() as pages:
        async with Emulator(engine, service=PLAIN, console=True) as server:
            looker = await pages.enter_async_context(looking(server))
            connected = looker.socket._response.connection
            assert connected is not None
            assert connected.transport is not None
            connected.transport.pause_reading()
            async with connection(server) as client:
                await client.audio(20_000)
                await client.settle()
                await client.send("Terminate")
                assert [m["type"] for m in await client.rest()] == ["Termination"]
        assert engine.stopped


async def test_who_was_refused_is_no_session(engine: PuppetEngine) -> None:
    async with (
        Emulator(engine, service=PLAIN, api_keys=["good"], console=True) as server,
        looking(server) as looker,
    ):
        async with raw_connection(server) as client:
            await client.error()
        async with connection(server, headers={"Authorization": "good"}):
            assert [s["n"] for s in await looker.until("sessions")] == [2]


async def test_what_a_script_plays_does_not_break_it(engine: PuppetEngine) -> None:
    """Whatever its fields are: the client gets it, and the page what it can read."""
    odd: list[Message] = [
        {"type": "SpeechStarted"},
        {"type": "Turn", "turn_order": "first", "words": 7},
        {"type": "Turn", "words": None},
    ]
    async with (
        Emulator(engine, service=PLAIN, console=True) as server,
        connection(server) as client,
    ):
        for message in odd:
            engine.puppets[0].tell(Raw(message))
        assert [await client.receive() for _ in odd] == odd
