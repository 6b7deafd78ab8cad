"""A TCP proxy that fails as it is told, between a client and a server on loopback."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import Self

READ_BYTES = 2048
"""At most this much is taken at a time, and little more is held while it waits."""

SEGMENT_BYTES = 536
"""Of what clients send. Linux gives a socket whose segments are that short a short
buffer, so that a client feels soon that nobody reads."""


@dataclass
class Way:
    """One direction of a connection: what befalls it, and how far it came.

    After `cut_after` bytes the connection is cut, after `stall_after` nothing passes
    any more, while all sockets stay open. Every write is split into pieces of
    `piece_bytes`, before each of which there are `delay_seconds`.
    """

    cut_after: int | None = None
    stall_after: int | None = None
    piece_bytes: int | None = None
    delay_seconds: float = 0.0
    passed: bytearray = field(default_factory=bytearray)
    """All bytes that came through."""

    def __post_init__(self) -> None:
        self._moves = asyncio.Event()
        self._moves.set()
        self._look()

    def stall(self) -> None:
        """Let nothing pass from now on."""
        self._moves.clear()

    def resume(self) -> None:
        """Let everything pass again."""
        self.stall_after = None
        self._moves.set()

    @property
    def is_cut(self) -> bool:
        """Whether all has passed that may."""
        return self.cut_after is not None and len(self.passed) >= self.cut_after

    async def forward(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        """Pass `data` on, up to where the connection is cut."""
        while data and not self.is_cut:
            await self._moves.wait()
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            piece, data = data[: self._room()], data[self._room() :]
            self.passed += piece
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # or else the next piece would go with this one
            self._look()

    def _room(self) -> int:
        rooms = [limit for limit in (self.piece_bytes,) if limit is not None]
        for limit in (self.cut_after, self.stall_after):
            if limit is not None:
                rooms.append(limit - len(self.passed))
        return min(rooms, default=READ_BYTES)

    def _look(self) -> None:
        if self.stall_after is not None and len(self.passed) >= self.stall_after:
            self.stall()


@dataclass
class Link:
    """One connection: `up` is from client to server. When it is cut, both ends see a
    reset, or without `reset` an end like any other (FIN)."""

    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    reset: bool = True

    def __post_init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []
        self._must_end = asyncio.Event()

    def cut(self) -> None:
        """Cut it now."""
        self._must_end.set()

    def stall(self) -> None:
        """Let nothing pass in either direction."""
        self.up.stall()
        self.down.stall()

    async def run(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str,
        port: int,
    ) -> None:
        """Be the connection between a client and the server at `host` and `port`."""
        self._writers.append(writer)
        tasks: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._must_end.wait())
        ]
        try:
            server_reader, server_writer = await asyncio.open_connection(
                host, port, limit=READ_BYTES
            )
            self._writers.append(server_writer)
            for way, source, sink in [
                (self.up, reader, server_writer),
                (self.down, server_reader, writer),
            ]:
                tasks.append(asyncio.ensure_future(self._pump(way, source, sink)))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._end()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass bytes on until the connection has ended or must."""
        try:
            while not way.is_cut:
                await way._moves.wait()
                data = await reader.read(READ_BYTES)
                if not data:
                    return
                await way.forward(data, writer)
            self.cut()
        except ConnectionError:
            return  # one of the two has gone

    def _end(self) -> None:
        is_cut = self._must_end.is_set()
        for writer in self._writers:
            if is_cut and self.reset:
                _reset(writer)
            elif writer.transport.get_write_buffer_size() and is_cut:
                writer.transport.abort()
            else:
                writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST. What was written has arrived: loopback does so at once."""
    linger = struct.pack("ii", 1, 0)
    sock = writer.get_extra_info("socket")
    if sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


class Proxy:
    """A proxy to the server at `url`; an async context manager.

    Connections are made as `plan` says, one after the other, all others without any
    fault. `links` holds all there were, to be steered while they last.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self._server_host, self._server_port = parts.hostname or "", parts.port or 0
        self.links: list[Link] = []
        self.port = 0
        self._plans: deque[Link] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server
        self._arrived = asyncio.Condition()

    @property
    def url(self) -> str:
        """What clients take for the server's."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def plan(self, *links: Link) -> None:
        """Let these be the next connections."""
        self._plans.extend(links)

    async def connected(self, count: int) -> None:
        """Wait until there have been `count` connections."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.links) >= count)

    def refuse(self) -> None:
        """Take no more connections: clients are refused by the operating system."""
        self._listener.close()

    async def listen(self) -> None:
        """Take connections, again and at the same port if it was refused."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self._listener = await asyncio.start_server(
            self._accept, sock=sock, limit=READ_BYTES
        )

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._listener.close()
        for link in self.links:
            link.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        link = self._plans.popleft() if self._plans else Link()
        self.links.append(link)
        async with self._arrived:
            self._arrived.notify_all()
        task = asyncio.ensure_future(
            link.run(reader, writer, self._server_host, self._server_port)
        )
        self._tasks.add(task)
        await asyncio.wait([task])
        self._tasks.discard(task)
