"""The port of the embedded server, which can be shut for a while."""

from __future__ import annotations

import asyncio
import socket
import ssl

from aiohttp import web

from ..clock import Clock, Timers
from ..faults.transport import FaultyProtocol


class Listener:
    """Accepts connections for `runner`, and puts the layer for faults below them.

    `host` and `port` are those that are bound; before `open`, those asked for.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        clock: Clock,
    ) -> None:
        self.host = host
        self.port = port
        self._name = host
        self._runner = runner
        self._tls = tls
        self._clock = clock
        self._timers = Timers(clock)
        self._server: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen. The runner must be set up."""
        loop = asyncio.get_running_loop()
        self._drop_placeholder()
        self._server = await loop.create_server(
            self._protocol, self._name, self.port, ssl=self._tls, backlog=128
        )
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def shut(self, seconds: float) -> None:
        """Refuse connections for `seconds` from now; those that are open stay."""
        if self._server is not None:
            self._close()
            # Bound and not listening, this refuses, and nobody else gets the port: not
            # even a client on this machine, which could otherwise connect to itself.
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            self._placeholder = socket.socket(family)
            self._placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._placeholder.bind((self.host, self.port))
        self._timers.arm("open", seconds, self._open_again)

    async def aclose(self) -> None:
        """Stop listening, for good."""
        self._timers.clear()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        self._drop_placeholder()
        self._close()

    def _protocol(self) -> asyncio.Protocol:
        assert self._runner.server is not None
        return FaultyProtocol(self._runner.server(), self._clock)

    def _open_again(self) -> None:
        self._opening = asyncio.ensure_future(self.open())

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _drop_placeholder(self) -> None:
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None
