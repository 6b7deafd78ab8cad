"""Servers that are examined: well, refusing, out of reach, untrusted, silent, full."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
import trustme
from aiohttp import web

from aai_stream.doctor import network
from aai_stream.doctor.account import check_account
from aai_stream.doctor.conformance import Question, ask_all
from aai_stream.doctor.conformance.access import ending, refusal, token
from aai_stream.doctor.conversing import Server
from aai_stream.doctor.findings import Finding, Status
from aai_stream.doctor.network import check_way
from aai_stream.doctor.roundtrip import check_round_trip
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import DOCUMENTED, Emulator, Service
from tests.servers import http_server, websocket_server

KEY = "a-key-that-is-good"
BAD = "a-key-that-nobody-may-see"


async def way(http: aiohttp.ClientSession, url: str, key: str = KEY) -> list[Finding]:
    return await check_way(url, Server(http, url, key))


def names(findings: list[Finding]) -> list[str]:
    return [finding.name.removeprefix("127.0.0.1: ") for finding in findings]


async def test_a_server_that_is_well(http: aiohttp.ClientSession) -> None:
    async with Emulator(ScriptEngine(), api_keys={KEY}) as server:
        findings = await way(http, server.url)
        assert names(findings) == ["DNS", "TCP", "clock", "session"]
        assert {finding.status for finding in findings} == {Status.FINE}
        findings = await check_account(Server(http, server.url, KEY), 3)
    assert [finding.found for finding in findings] == [
        "minted, and opens a session",
        "universal-3-6-pro when none is asked for",
        "3 opened (--sessions tries more; each is billed)",
    ]


@pytest.mark.parametrize("service", [Service(), DOCUMENTED], ids=["seen", "documented"])
async def test_a_key_that_is_refused(
    http: aiohttp.ClientSession, service: Service
) -> None:
    async with Emulator(ScriptEngine(), api_keys={KEY}, service=service) as server:
        *before, last = await way(http, server.url, BAD)
    assert {finding.status for finding in before} == {Status.FINE}
    assert last.status is Status.FAILED
    assert last.found in ("Unauthorized Connection: Invalid API key", "HTTP status 401")
    assert "check the key" in last.advice


async def test_a_port_that_is_closed(http: aiohttp.ClientSession) -> None:
    *_, last = await way(http, "ws://127.0.0.1:1")
    assert (last.name, last.status) == ("127.0.0.1: TCP", Status.FAILED)
    assert last.found == "port 1: Connection refused"


async def test_a_name_that_is_none(http: aiohttp.ClientSession) -> None:
    url = "wss://no-such-host.invalid"
    (only,) = await way(http, url)
    assert (only.name, only.status) == ("no-such-host.invalid: DNS", Status.FAILED)


async def test_a_certificate_that_is_not_trusted(http: aiohttp.ClientSession) -> None:
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(theirs)
    async with Emulator(ScriptEngine(), tls=theirs) as server:
        *_, last = await way(http, server.url)
    assert (last.name, last.status) == ("127.0.0.1: TLS", Status.FAILED)
    assert "not trusted" in last.found


async def test_a_server_that_never_begins(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "BEGIN_SECONDS", 0.1)
    silent = [fault("mute,at=open,cut=0.5")]
    async with Emulator(ScriptEngine(), faults=silent) as server:
        *_, last = await way(http, server.url)
    assert (last.status, last.found) == (Status.FAILED, "no Begin (close 1006)")


@pytest.mark.parametrize("text", ["{not JSON", "[1]", '"Begin"'])
async def test_a_server_that_talks_nonsense(
    http: aiohttp.ClientSession, text: str
) -> None:
    async def nonsense(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_str(text)
        await socket.close(code=1011)

    async with websocket_server(nonsense) as url:
        last = (await way(http, url))[-1]
    assert (last.status, last.found) == (Status.FAILED, "no Begin (close 1011)")


async def test_what_a_server_echoes_is_not_shown(http: aiohttp.ClientSession) -> None:
    """Neither in a finding nor in an answer, be it the key or a token."""

    async def echo(request: web.Request) -> web.StreamResponse:
        if request.path == "/v3/token":
            return web.json_response({"token": BAD, "expires_in_seconds": 60})
        said = request.headers.get("Authorization") or request.query.get("token", "")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "Error", "error_code": 1008, "error": said})
        await socket.close(code=1008, message=said.encode())
        return socket

    async def ending_of(server: Server, speech: bytes) -> str:
        by_key = ending(await refusal(server, f"Bearer {KEY}"))
        return by_key + ending(await refusal(server, None, token=await token(server)))

    question = Question("what it says", (), ending_of)
    async with http_server(echo) as url:
        server = Server(http, url, KEY)
        findings = await way(http, url)
        findings += await check_account(server, 1)
        (answer,) = [answer async for answer in ask_all(server, [question], b"")]
    told = f"{findings} {answer}"
    assert "Error 1008 Bearer ***, close 1008 Bearer ***" in answer.found
    assert "***" in findings[-1].found
    assert KEY not in told
    assert BAD not in told


async def test_a_clock_that_is_wrong(http: aiohttp.ClientSession) -> None:
    async def long_ago(request: web.Request) -> web.Response:
        return web.Response(headers={"Date": "Sat, 28 Nov 2020 12:00:00 GMT"})

    async with http_server(long_ago) as url:
        findings = {finding.name: finding for finding in await way(http, url)}
    assert findings["clock"].status is Status.DOUBTFUL
    assert "ahead of the server's" in findings["clock"].found
    assert findings["127.0.0.1: session"].found == "HTTP status 200"


async def test_an_account_that_is_full(http: aiohttp.ClientSession) -> None:
    service = Service(max_sessions=1, place_seconds=0)
    async with Emulator(ScriptEngine(), service=service) as server:
        *_, last = await check_account(Server(http, server.url, KEY), 2)
    assert last.status is Status.DOUBTFUL
    assert last.found == (
        "the 2nd was refused: Unauthorized Connection: Too many concurrent sessions"
    )


async def test_an_account_without_tokens(http: aiohttp.ClientSession) -> None:
    async with Emulator(ScriptEngine(), api_keys={KEY}) as server:
        first, *_ = await check_account(Server(http, server.url, BAD), 1)
    assert (first.status, first.found) == (Status.FAILED, "/v3/token answers 401")


async def test_a_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptEngine([say("hello this is", at_ms=200)])
    async with Emulator(engine) as server:
        words, finals, billed = await check_round_trip(
            server.url, KEY, allow_unencrypted=False
        )
    assert (words.status, words.found) == (Status.FAILED, "3 of 22 right")
    assert finals.status is not Status.FAILED
    assert billed.found.endswith("s of session, 12 s of audio")


async def test_a_round_trip_that_is_refused() -> None:
    async with Emulator(ScriptEngine(), api_keys={KEY}) as server:
        (only,) = await check_round_trip(server.url, BAD, allow_unencrypted=False)
    assert only.status is Status.FAILED
    assert "Invalid API key" in only.found
    assert BAD not in only.found


async def test_one_check_that_fails_hides_no_other(http: aiohttp.ClientSession) -> None:
    findings = await check_account(Server(http, "ws://127.0.0.1:1", KEY), 1)
    assert names(findings) == ["token", "model", "sessions at once"]
    assert {finding.found for finding in findings} == {"Connection refused"}
