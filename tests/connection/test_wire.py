"""Bytes on a socket: what arrives, what is told when it ends, what an error says."""

from __future__ import annotations

import array
import asyncio
import contextlib
import datetime
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from aai_stream.errors import (
    BusyError,
    DroppedError,
    OptionError,
    RefusedError,
    RejectedError,
    SessionError,
    TimedOutError,
    UnreachableError,
    UntrustedError,
)
from tests.connection.helpers import Heard, assert_no_secret, fill
from tests.servers import http_server, read_to_end, until, within
from tests.wires import CA, Way, every_loop, server_side

pytestmark = every_loop


async def test_messages_arrive_whole_and_in_order(way: Way) -> None:
    seen: list[Any] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_str('{"grüße":1}')
        seen.extend(await read_to_end(socket))

    heard = Heard()
    async with way.websockets(handler) as url:
        wire = await heard.open(way, url)
        assert wire.silent_seconds == 0  # nobody watches
        audio = array.array("h", range(-400, 400))
        wire.frames.send_audio(audio)
        wire.frames.send_text(b'{"a":"\xc3\xa4"}')
        wire.frames.send_audio(memoryview(audio)[:10])
        await within(5, heard.spoken.wait())
        await wire.close()
    assert seen == [audio.tobytes(), {"a": "ä"}, audio[:10].tobytes()]
    assert heard.texts == ['{"grüße":1}'.encode()]


class Upset(Heard):
    """An owner that fails at its first message."""

    def received(self, text: bytes) -> None:
        super().received(text)
        if len(self.texts) == 1:
            raise LookupError


async def test_an_owner_that_fails_gets_the_next_message(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_str("what was said")
        await socket.send_str("next")
        await read_to_end(socket)

    upset = Upset()
    async with way.websockets(handler) as url:
        wire = await upset.open(way, url)
        await until(lambda: upset.texts == [b"what was said", b"next"])
        await wire.close()
    (record,) = (each for each in caplog.records if each.name == "aai_stream")
    assert record.message == "a message could not be dealt with"
    assert "what was said" not in caplog.text


async def test_a_buffer_may_be_reused_at_once(way: Way) -> None:
    seen: list[Any] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        seen.extend(await read_to_end(socket))

    async with way.websockets(handler) as url:
        wire = await Heard().open(way, url)
        buffer = bytearray(b"first")
        wire.frames.send_audio(buffer)
        buffer[:] = b"later"
        wire.frames.send_audio(buffer)
        await wire.close()
    assert seen == [b"first", b"later"]


@pytest.mark.parametrize("code", [1000, 1011, 3005, 3007, 3009, 4001])
async def test_the_close_code_is_the_true_one(way: Way, code: int) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.close(code=code, message=b"because")

    heard = Heard()
    async with way.websockets(handler) as url:
        wire = await heard.open(way, url)
        assert await within(5, heard.end) == (code, "because")
        await wire.close()


async def test_a_cut_connection_is_1006_and_takes_no_more(way: Way) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    heard = Heard()
    async with way.websockets(handler) as url:
        wire = await heard.open(way, url)
        assert await within(5, heard.end) == (1006, "")
        wire.frames.send_audio(bytes(1600))
        wire.frames.send_text(b"{}")
        await wire.close()


async def test_what_is_sent_before_a_lost_connection_is_told_does_no_harm(
    way: Way,
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await read_to_end(socket)

    heard = Heard()
    async with way.websockets(handler) as url:
        wire: Any = await heard.open(way, url)
        wire._transport.abort()
        wire.frames.send_audio(bytes(1600))  # in the same turn of the loop
        wire.frames.send_text(b"{}")
        assert await within(5, heard.end) == (1006, "")
        wire.frames.send_audio(bytes(1600))
        await wire.close()


async def test_a_peer_that_does_not_read_leaves_no_room(way: Way) -> None:
    go_on = asyncio.Event()
    received = 0

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        nonlocal received
        assert request.transport is not None
        request.transport.pause_reading()
        await go_on.wait()
        request.transport.resume_reading()
        received = sum(len(data) for data in await read_to_end(socket))

    async with way.websockets(handler) as url:
        wire = await Heard().open(way, url)
        sent = await fill(wire)
        go_on.set()
        await until(lambda: wire.frames.has_room)
        await wire.close()
    assert received == sent


async def test_closing_lets_go_of_a_peer_that_does_not_read(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aai_stream.connection.wire.CLOSE_SECONDS", 0.05)
    closed = asyncio.Event()
    received: asyncio.Future[int] = asyncio.Future()

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        assert request.transport is not None
        request.transport.pause_reading()
        await closed.wait()
        request.transport.resume_reading()
        received.set_result(sum(len(data) for data in await read_to_end(socket)))

    heard = Heard()
    async with way.websockets(handler) as url:
        wire = await heard.open(way, url)
        sent = await fill(wire)
        await within(5, wire.close())
        assert heard.end.done()
        closed.set()
        assert await within(5, received) < sent


@pytest.mark.parametrize(
    ("status", "headers", "kind", "retry_after"),
    [
        (401, {}, RefusedError, None),
        (403, {}, RefusedError, None),
        (404, {}, RejectedError, None),
        (408, {}, TimedOutError, None),
        (429, {"Retry-After": "7"}, BusyError, 7.0),
        (429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, BusyError, 0.0),
        (429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 -0000"}, BusyError, 0.0),
        (429, {"Retry-After": "soon"}, BusyError, None),
        (429, {"Retry-After": "Thu, 01 Jan 99999999999 00:00:00"}, BusyError, None),
        (200, {}, UnreachableError, None),
        (500, {}, DroppedError, None),
        (503, {"Retry-After": "1"}, DroppedError, 1.0),
    ],
)
async def test_a_refused_upgrade_is_an_error_by_type(
    way: Way,
    status: int,
    headers: dict[str, str],
    kind: type[SessionError],
    retry_after: float | None,
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    async with way.http(handler) as url:
        with pytest.raises(kind) as caught:
            await Heard().open(way, url)
    assert caught.value.code == status
    assert getattr(caught.value, "retry_after", None) == retry_after
    assert_no_secret(caught.value)


async def test_closing_is_bounded_however_much_the_peer_says(
    way: Way,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = asyncio.Event()

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        with contextlib.suppress(ConnectionError):
            while True:  # and never reads, so that our close frame stays unanswered
                await socket.send_str("{}")
                await asyncio.sleep(0.001)
        gone.set()

    monkeypatch.setattr("aai_stream.connection.wire.CLOSE_SECONDS", 0.05)
    heard = Heard()
    async with way.websockets(handler) as url:
        wire = await heard.open(way, url)
        await within(5, wire.close())
        assert heard.end.done()
        await within(5, gone.wait())


async def test_no_server_is_unreachable(way: Way) -> None:
    async with way.http(_never) as url:
        pass
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:\d+") as caught:
        await Heard().open(way, url)
    assert_no_secret(caught.value)


async def test_a_server_that_hangs_up_on_the_handshake_is_unreachable(way: Way) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with way.http(handler) as url:
        with pytest.raises(UnreachableError) as caught:
            await Heard().open(way, url)
    assert_no_secret(caught.value)


async def test_a_session_of_the_caller_s_is_used_and_left_open() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_str(request.headers["X-Mine"])
        await read_to_end(socket)

    heard = Heard()
    async with aiohttp.ClientSession(headers={"X-Mine": "yes"}) as session:
        way = Way(False, session)
        async with way.websockets(handler) as url:
            wire = await heard.open(way, url)
            await within(5, heard.spoken.wait())
            await wire.close()
        assert heard.texts == [b"yes"]
        assert not session.closed


async def test_a_closed_session_of_the_caller_s() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(OptionError, match="http_session is closed"):
        await Heard().open(Way(False, session), "ws://127.0.0.1:1")


@pytest.mark.parametrize("certificate", ["unknown", "expired", "of another host"])
async def test_a_certificate_that_nobody_trusts_is_refused(
    way: Way, certificate: str
) -> None:
    """And not tried again: the type is no TransientError."""
    year = datetime.timedelta(days=365)
    now = datetime.datetime.now(datetime.timezone.utc)
    past: dict[str, Any] = {"not_before": now - 2 * year, "not_after": now - year}
    shown = {
        "unknown": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "expired": lambda: CA.issue_cert("127.0.0.1", **past),
        "of another host": lambda: CA.issue_cert("streaming.assemblyai.com"),
    }[certificate]()
    async with http_server(_never, server_side(shown)) as url:
        with pytest.raises(UntrustedError, match=r"127\.0\.0\.1:\d+ is not") as caught:
            await Heard().open(way, url.replace("ws:", "wss:"))
    assert not caught.value.retryable
    assert_no_secret(caught.value)


async def test_a_server_without_tls_behind_a_wss_url(way: Way) -> None:
    async with http_server(_never) as url:
        with pytest.raises(UnreachableError, match=r"TLS with 127\.0\.0\.1:\d+"):
            await Heard().open(way, url.replace("ws:", "wss:"))


async def test_a_name_that_nobody_has(way: Way) -> None:
    with pytest.raises(UnreachableError, match=r"cannot connect to no\.invalid:80: "):
        await Heard().open(way, "ws://no.invalid")


async def _never(request: web.Request) -> web.StreamResponse:
    raise AssertionError
