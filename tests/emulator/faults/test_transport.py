"""The layer for faults of sockets, between two ends that only know bytes."""

from __future__ import annotations

import asyncio

from aai_stream.emulator.faults.transport import FaultyProtocol, FaultyTransport
from tests.emulator.helpers import ManualClock


class Socket(asyncio.Transport):
    """The transport below."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reads = True
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Server(asyncio.Protocol):
    """The protocol above: notes what it is called with."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, FaultyTransport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(exc)

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return True

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


def connected(clock: ManualClock) -> tuple[Socket, FaultyProtocol, Server]:
    socket, server = Socket(), Server()
    layer = FaultyProtocol(server, clock)
    layer.connection_made(socket)
    return socket, layer, server


def test_without_faults_everything_passes(clock: ManualClock) -> None:
    socket, layer, server = connected(clock)
    server.transport.write(b"down")
    server.transport.pause_reading()
    assert (socket.written, socket.reads) == (b"down", False)
    server.transport.resume_reading()
    assert socket.reads
    layer.data_received(b"up")
    layer.pause_writing()
    layer.resume_writing()
    assert layer.eof_received()
    layer.connection_lost(None)
    assert server.calls == [b"up", "pause", "resume", "eof", None]
    server.transport.close()
    assert socket.closed


def test_a_frozen_connection_takes_nothing_and_gives_nothing(
    clock: ManualClock,
) -> None:
    socket, _, server = connected(clock)
    server.transport.freeze()
    server.transport.write(b"never")
    server.transport.resume_reading()  # flow control doesn't thaw it
    assert (socket.written, socket.reads) == (b"", False)


def test_who_stops_reading_still_writes(clock: ManualClock) -> None:
    socket, _, server = connected(clock)
    server.transport.stop_reading()
    server.transport.write(b"still")
    server.transport.resume_reading()
    assert (socket.written, socket.reads) == (b"still", False)


async def test_a_trickle_is_written_piece_by_piece(clock: ManualClock) -> None:
    socket, _, server = connected(clock)
    server.transport.trickle(2, size=3)
    server.transport.write(b"abcd")
    server.transport.write(b"efg")
    ending = asyncio.ensure_future(server.transport.end_trickle())
    for written in (b"abc", b"abcd", b"abcdefg"):
        await asyncio.sleep(0)
        assert not ending.done()
        clock.advance(2)
        assert socket.written == written
    await ending
    server.transport.write(b"h")
    assert socket.written == b"abcdefgh"


def test_a_frozen_trickle_stands_still(clock: ManualClock) -> None:
    socket, layer, server = connected(clock)
    server.transport.trickle(1, size=None)
    server.transport.write(b"ab")
    server.transport.write(b"c")
    clock.advance(1)
    server.transport.freeze()
    clock.advance(9)
    assert socket.written == b"ab"
    layer.connection_lost(None)
    assert clock.pending == 0
