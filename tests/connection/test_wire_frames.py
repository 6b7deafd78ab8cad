"""What a server may send, and what it must not; what it gets back, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aai_stream.connection.wire import MAX_MESSAGE_BYTES
from aai_stream.errors import (
    BusyError,
    DroppedError,
    RefusedError,
    SessionError,
    UnreachableError,
)
from tests.connection.helpers import Heard, assert_no_secret
from tests.servers import accept_raw, read_frame, until, within
from tests.wires import Way, every_loop

pytestmark = every_loop

Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CLOSE, PING, PONG = 8, 9, 10


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aai_stream.connection.wire.CLOSE_SECONDS", 0.05)


def frame(first: int, payload: bytes = b"") -> bytes:
    """A server's frame: its first byte, the length, the payload."""
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 65536:
        return bytes([first, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first, 127]) + size.to_bytes(8, "big") + payload


def saying(data: bytes) -> Raw:
    """A server that says this as it accepts, and then waits for the client to go."""

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer, data)
        while await reader.read(65536):
            pass

    return handler


# ---- messages ----


async def test_what_is_said_at_once_is_heard(way: Way) -> None:
    heard = Heard()
    close = frame(0x88, b"\x0b\xbdbusy")
    async with way.raw(
        saying(frame(0x81, b"one") + frame(0x81, b"two") + close)
    ) as url:
        wire = await heard.open(way, url)
        assert await within(5, heard.end) == (3005, "busy")
        wire.frames.send_audio(b"late")
        await wire.close()
    assert heard.texts == [b"one", b"two"]


async def test_fragments_are_put_together(way: Way) -> None:
    """With control frames between them, as they may be; what is binary is ignored."""
    said = (
        frame(0x01, b"on")
        + frame(0x89, b"ping")
        + frame(0x00, b"")
        + frame(0x80, b"e")
        + frame(0x02, b"binary")
        + frame(0x80, b"binary")
        + frame(0x82, b"binary")
        + frame(0x01, b"")
        + frame(0x80, b"two" * 30_000)
        + frame(0x81, b"")
        + frame(0x88)
    )
    heard = Heard()
    async with way.raw(saying(said)) as url:
        wire = await heard.open(way, url)
        assert await within(5, heard.end) == (1006, "")
        await wire.close()
    assert heard.texts == [b"one", b"two" * 30_000, b""]


@pytest.mark.parametrize("fragments", [1, 4])
async def test_the_longest_message(way: Way, fragments: int) -> None:
    part = b"x" * (MAX_MESSAGE_BYTES // fragments - 1)
    firsts = {1: [0x81], 4: [0x01, 0x00, 0x00, 0x80]}[fragments]
    heard = Heard()
    said = b"".join(frame(first, part) for first in firsts)
    async with way.raw(saying(said)) as url:
        wire = await heard.open(way, url)
        await within(5, heard.spoken.wait())
        await wire.close()
    assert heard.texts == [part * fragments]


LONG = b"x" * (MAX_MESSAGE_BYTES // 2 + 1)


MUST_NOT = [
    pytest.param(frame(0x83), id="reserved opcode"),
    pytest.param(frame(0xC1, b"a"), id="reserved bit"),
    pytest.param(frame(0x09), id="fragmented ping"),
    pytest.param(frame(0x89, bytes(126)), id="long ping"),
    pytest.param(frame(0x80, b"a"), id="end without a begin"),
    pytest.param(frame(0x00, b"a"), id="middle without a begin"),
    pytest.param(frame(0x01, b"a") + frame(0x81, b"b"), id="begin without an end"),
    pytest.param(frame(0x88, b"\x03"), id="half a close code"),
    pytest.param(frame(0x88, b"\x03\xec"), id="close code 1004"),
    pytest.param(b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), id="1 TB"),
    pytest.param(b"\x81\x7f" + b"\xff" * 8, id="negative length"),
    pytest.param(frame(0x01, LONG) + frame(0x80, LONG), id="too long in two"),
    pytest.param(frame(0x81, LONG + LONG), id="too long"),
]


@pytest.mark.parametrize("data", MUST_NOT)
@pytest.mark.parametrize("goes_on", [False, True], ids=["", "and goes on"])
async def test_what_a_server_must_not_send_ends_the_connection(
    way: Way, data: bytes, goes_on: bool
) -> None:
    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer, frame(0x81, b"before") + data)
        while goes_on:
            writer.write(frame(0x81, b"after"))
            await writer.drain()
            await asyncio.sleep(0.001)
        await reader.read()

    heard = Heard()
    async with way.raw(handler) as url:
        wire = await heard.open(way, url)
        assert await within(5, heard.end) == (1006, "")
        await within(5, wire.close())
    assert heard.texts == [b"before"]


@pytest.mark.parametrize("data", MUST_NOT)
async def test_who_does_so_at_once_is_hardly_heard(way: Way, data: bytes) -> None:
    """With nothing before it; one message more may be taken for good."""

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer)
        for piece in (data[:-1], data[-1:], *[frame(0x81, b"after")] * 99):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
        await reader.read()

    heard = Heard()
    async with way.raw(handler) as url:
        wire = await heard.open(way, url)
        assert await within(5, heard.end) == (1006, "")
        await within(5, wire.close())
    assert heard.texts in ([], [b"after"])


CUT_REASON = "Schlüssel abgelehnt".encode()[:5]  # in the middle of a letter


MESSAGE = frame(0x81, b'{"a":"\xc3\xa4"}')


@pytest.mark.parametrize("code", [1008, 3008])
@pytest.mark.parametrize(
    ("before", "cut_at", "after"),
    [
        (b"", None, b""),
        (b"", 1, b""),
        (MESSAGE, None, MESSAGE),
        (MESSAGE, len(MESSAGE) + 3, MESSAGE),
        (b"", None, frame(0x88, b"\x03\xefwhat was that?")),
    ],
    ids=["alone", "in two", "among others", "among others, in two", "disputed"],
)
async def test_a_reason_that_is_not_utf8_leaves_the_code(
    way: Way, code: int, before: bytes, cut_at: int | None, after: bytes
) -> None:
    close = frame(0x88, code.to_bytes(2, "big") + CUT_REASON)
    opened = asyncio.Event()

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer)
        await opened.wait()
        data = before + close + after
        writer.write(data[:cut_at])
        if cut_at is not None:
            await writer.drain()
            await asyncio.sleep(0.001)
            writer.write(data[cut_at:])
        await reader.read()

    heard = Heard()
    async with way.raw(handler) as url:
        wire = await heard.open(way, url)
        opened.set()
        assert await within(5, heard.end) == (code, "Schl\N{REPLACEMENT CHARACTER}")
        await within(5, wire.close())
    assert heard.texts == [MESSAGE[2:]] * bool(before)


async def test_a_reason_in_the_same_breath_as_the_handshake(way: Way) -> None:
    """Too early to be overheard: then the code is lost, and nothing else."""
    async with way.raw(saying(frame(0x88, b"\x03\xf0" + CUT_REASON))) as url:
        heard = Heard()
        wire = await heard.open(way, url)
        assert await within(5, heard.end) == (1006, "")
        await within(5, wire.close())


# ---- what the server gets ----


async def collect(way: Way, count: int, talk: Callable[[Any], None]) -> list[Any]:
    """The first frames that a server gets: opcode, key, payload."""
    got: asyncio.Future[list[Any]] = asyncio.Future()

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer, frame(0x89, b"are you there?"))
        got.set_result([await read_frame(reader) for _ in range(count)])
        await reader.read()

    async with way.raw(handler) as url:
        wire = await Heard().open(way, url)
        talk(wire)
        frames = await within(5, got)
        closing = asyncio.ensure_future(wire.close())
    await closing
    return list(frames)


async def test_each_frame_has_a_key_of_its_own(way: Way) -> None:
    def talk(wire: Any) -> None:
        for _ in range(99):
            wire.frames.send_audio(bytes(800))

    frames = await collect(way, 100, talk) + await collect(way, 100, talk)
    assert len({key for _, key, _ in frames}) == 200
    pongs = [payload for opcode, _, payload in frames if opcode == PONG]
    assert pongs == [b"are you there?"] * 2


async def test_a_goodbye_is_said_and_waited_for(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aai_stream.connection.wire.CLOSE_SECONDS", 60.0)
    goodbyes: list[Any] = []

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer)
        goodbyes.append(await read_frame(reader))
        writer.write(frame(0x81, b"what still arrives"))
        writer.write(frame(0x88, b"\x03\xe8"))
        goodbyes.append(await reader.read())

    heard = Heard()
    async with way.raw(handler) as url:
        wire = await heard.open(way, url)
        await within(5, wire.close())
        assert heard.end.done()
        await until(lambda: len(goodbyes) == 2)
        await wire.close()
    (opcode, _, payload), rest = goodbyes
    assert (opcode, payload, rest) == (CLOSE, b"\x03\xe8", b"")


async def test_a_goodbye_is_answered(way: Way) -> None:
    answers: list[Any] = []

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer, frame(0x88, b"\x0b\xbd"))
        answers.append(await read_frame(reader))
        answers.append(await reader.read())

    heard = Heard()
    async with way.raw(handler) as url:
        wire = await heard.open(way, url)
        assert await within(5, heard.end) == (3005, "")
        await until(lambda: len(answers) == 2)
        await wire.close()
    assert answers[0][0] == CLOSE
    assert answers[1] == b""


async def test_closing_that_is_cancelled_lets_go(way: Way) -> None:
    asked = asyncio.Event()
    gone = asyncio.Event()

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer)
        await read_frame(reader)
        asked.set()
        await reader.read()
        gone.set()

    heard = Heard()
    async with way.raw(handler) as url:
        wire = await heard.open(way, url)
        closing = asyncio.ensure_future(wire.close())
        await within(5, asked.wait())
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await within(1, gone.wait())
        assert await within(1, heard.end) == (1006, "")


# ---- half-open ----


async def test_a_peer_that_answers_no_ping_is_lost(way: Way) -> None:
    asked: list[Any] = []
    silent: list[float] = []

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer)
        asked.append(await read_frame(reader))
        silent.append(wire.silent_seconds)
        await reader.read()

    heard = Heard()
    async with way.raw(handler) as url:
        wire = await heard.open(way, url, dead_after=0.15)
        assert await within(5, heard.end) == (1006, "")
        wire.frames.send_audio(b"late")
        await wire.close()
    assert [opcode for opcode, _, _ in asked] == [PING]
    assert silent[0] > 0.09


async def test_a_peer_that_answers_stays(way: Way) -> None:
    asked: list[int] = []
    enough = asyncio.Event()

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer)
        while True:
            opcode, _, payload = await read_frame(reader)
            asked.append(opcode)
            if opcode == PING:
                writer.write(frame(0x8A, payload))
            if len(asked) == 4:
                enough.set()

    heard = Heard()
    async with way.raw(handler) as url:
        begun = asyncio.get_running_loop().time()
        wire = await heard.open(way, url, dead_after=0.15)
        await within(5, enough.wait())
        assert not heard.end.done()
        # A pong is a sign of life: there were three at least, 0.1 s after each other.
        begun_seconds = asyncio.get_running_loop().time() - begun
        assert wire.silent_seconds < begun_seconds - 0.2
        closing = asyncio.ensure_future(wire.close())
    await closing
    assert asked[:4] == [PING] * 4


# ---- handshakes ----


def answering(data: bytes) -> Raw:
    """A server that answers any request with this, and hangs up."""

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()
        await reader.read()

    return handler


UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(b"HTTP/1.1 520 Odd\r\n\r\n", DroppedError, id="520"),
        pytest.param(b"HTTP/1.1 429 \r\nRetry-after: 3\r\n\r\n", BusyError, id="429"),
        pytest.param(b"HTTP/1.0 401 No\r\n\r\n", RefusedError, id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 403\r\n\r\n", RefusedError, id="no reason"),
        pytest.param(b"", UnreachableError, id="nothing"),
        pytest.param(b"\r\n\r\n", UnreachableError, id="empty lines"),
        pytest.param(b"SSH-2.0-Open\r\n\r\n", UnreachableError, id="SSH"),
        pytest.param(b"HTTP/1.1 101", UnreachableError, id="cut"),
        pytest.param(b"HTTP/1.1 101 To\r\n\r\n", UnreachableError, id="bare"),
        pytest.param(UPGRADED + b"\r\n", UnreachableError, id="no key"),
        pytest.param(
            UPGRADED + b"Sec-WebSocket-Accept: no\r\n\r\n", UnreachableError, id="key"
        ),
        pytest.param(
            UPGRADED + b"x: " + b"y" * 20_000, UnreachableError, id="long header"
        ),
        pytest.param(UPGRADED + b"x\r\n\r\n", UnreachableError, id="no colon"),
    ],
)
async def test_answers_that_are_no_websocket(
    way: Way, answer: bytes, kind: type[SessionError]
) -> None:
    heard = Heard()
    async with way.raw(answering(answer)) as url:
        with pytest.raises(kind) as caught:
            await within(5, heard.open(way, url))
    assert_no_secret(caught.value)
    if isinstance(caught.value, BusyError):
        assert caught.value.retry_after == 3
    assert not heard.end.done()


@pytest.mark.parametrize("accepts", [False, True])
async def test_giving_up_on_a_server_that_says_nothing(way: Way, accepts: bool) -> None:
    """In TLS, or once it is there: the server sees that the client is gone."""
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def handler(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(1)
        arrived.set()
        await reader.read()
        gone.set()

    way = way if accepts else Way(False, way.http_session)
    before = asyncio.all_tasks()
    async with way.raw(handler) as url:
        url = url if accepts else url.replace("ws:", "wss:")
        opening = asyncio.ensure_future(Heard().open(way, url))
        await within(5, arrived.wait())
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await within(1, gone.wait())
    assert asyncio.all_tasks() == before
