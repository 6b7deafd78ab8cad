"""A peer that stalls: there is no room for audio, until it reads again."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from aai_stream.connection.wire import Wire
from tests.connection.helpers import Heard
from tests.servers import accept_raw, read_frame, until, within
from tests.wires import Way, every_loop

pytestmark = every_loop

CHUNK_BYTES = 1600
BINARY, CLOSE = 2, 8


class Peer:
    """A server that can be told to stop reading."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.chunks: list[bytes] = []
        self.has_end = asyncio.Event()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await accept_raw(reader, writer)
        while True:
            await self.reads.wait()
            opcode, _, payload = await read_frame(reader)
            if opcode == CLOSE:
                break
            assert opcode == BINARY
            self.chunks.append(payload)
        self.has_end.set()


class Sender(Heard):
    """An owner that sends numbered chunks, and sees when it may."""

    wire: Wire

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.had_room: list[bool] = []  # whenever room was reported

    async def connect(self, way: Way, url: str) -> None:
        self.wire = await self.open(way, url)
        keep_buffer_short(self.wire)

    def room(self) -> None:
        super().room()
        self.had_room.append(self.wire.frames.has_room)

    def send(self) -> None:
        chunk = len(self.sent).to_bytes(4, "big") + bytes(CHUNK_BYTES - 4)
        self.sent.append(chunk)
        self.wire.frames.send_audio(chunk)
        assert len(self.sent) < 100_000

    async def fill(self) -> None:
        """Send until there has been no room for long, and is none."""
        idle = 0
        while idle < 100 or self.wire.frames.has_room:
            idle += 1
            if self.wire.frames.has_room:
                self.send()
                idle = 0
            await asyncio.sleep(0)


def keep_buffer_short(wire: Any) -> None:
    """Linux lets a socket's buffer grow with the speed that its peer had lately; one
    that was set stays."""
    with socket.socket(fileno=os.dup(wire.fileno())) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def test_room_is_reported_when_a_stalled_peer_reads_again(way: Way) -> None:
    peer, sender = Peer(), Sender()
    async with way.raw(peer.serve) as url:
        await sender.connect(way, url)
        assert sender.wire.frames.has_room
        sender.send()
        await until(lambda: len(peer.chunks) == 1)
        assert sender.rooms == 0  # it was never lacking
        for _ in range(3):
            peer.reads.clear()
            await sender.fill()
            rooms = sender.rooms
            peer.reads.set()
            await until(lambda: len(peer.chunks) == len(sender.sent))
            await until(lambda: sender.wire.frames.has_room)
            assert sender.rooms > rooms
        await sender.wire.close()
        await within(5, peer.has_end.wait())
    assert peer.chunks == sender.sent
    assert all(sender.had_room)


class Eager(Sender):
    """Sends on from where it is told that there is room, as streams do."""

    left = 1000

    def room(self) -> None:
        super().room()
        self.send_all()

    def send_all(self) -> None:
        while self.left and self.wire.frames.has_room:
            self.left -= 1
            self.send()


async def test_whoever_waits_for_room_gets_everything_sent(way: Way) -> None:
    peer, sender = Peer(), Eager()
    async with way.raw(peer.serve) as url:
        await sender.connect(way, url)
        peer.reads.clear()
        sender.send_all()
        # What uvloop is given goes out, and fills up, later in this turn of the loop.
        await until(lambda: not sender.wire.frames.has_room)
        assert sender.left > 0
        peer.reads.set()
        await until(lambda: len(peer.chunks) == 1000)
        await sender.wire.close()
        await within(5, peer.has_end.wait())
    assert peer.chunks == sender.sent
    assert sender.rooms > 1
    assert all(sender.had_room)


async def test_text_goes_where_there_is_no_room_for_audio(way: Way) -> None:
    """A Terminate must not wait for what the peer should have read."""
    texts: list[bytes] = []
    peer, sender = Peer(), Sender()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept_raw(reader, writer)
        await peer.reads.wait()
        while (message := await read_frame(reader))[0] != CLOSE:
            texts.extend([message[2]] if message[0] != BINARY else [])
        peer.has_end.set()

    async with way.raw(serve) as url:
        peer.reads.clear()
        await sender.connect(way, url)
        await sender.fill()
        assert not sender.wire.frames.has_room
        sender.wire.frames.send_text(b'{"type":"Terminate"}')
        peer.reads.set()
        await until(lambda: texts == [b'{"type":"Terminate"}'])
        await sender.wire.close()
        await within(5, peer.has_end.wait())
