"""The port of the embedded server, which can be shut for a while."""

from __future__ import annotations

import asyncio
import socket
import ssl

from aiohttp import web

from ..clock import Clock, Timers


class Listener:
    """Where `runner` listens, once opened. Closing the runner closes it as well.

    `host` and `port` are those that were bound; before `open`, those asked for.
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
        self._timers = Timers(clock)
        self._site: web.TCPSite | None = None
        self._keeper: socket.socket | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen."""
        site = web.TCPSite(self._runner, self._name, self.port, ssl_context=self._tls)
        self._let_go()
        await site.start()
        self._site = site
        self.host, self.port = self._runner.addresses[0][:2]

    async def shut(self, seconds: float) -> None:
        """Refuse connections for `seconds` from now; those that are open stay."""
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()
            # Bound and not listening, this refuses, and nobody else gets the port: not
            # even a client on this machine, which could otherwise connect to itself.
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            self._keeper = socket.socket(family)
            self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._keeper.bind((self.host, self.port))
        self._timers.arm("open", seconds, self._open_again)

    async def aclose(self) -> None:
        """Don't listen again."""
        self._timers.clear()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        self._let_go()

    def _open_again(self) -> None:
        self._opening = asyncio.ensure_future(self.open())

    def _let_go(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
