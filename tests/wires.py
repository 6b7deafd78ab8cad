"""The wires that there are, with TLS that they trust, for tests that go over each."""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import aiohttp
import pytest
import trustme
from aiohttp import web

from aai_stream.connection.wire import Owner, Wire, picows
from aai_stream.connection.wire import aiohttp as aiohttp_wire
from tests.servers import Handler, http_server, raw_server, websocket_handler

CA = trustme.CA()

every_loop = [pytest.mark.every_loop]
"""For a module's `pytestmark`."""
if sys.version_info < (3, 11):
    # There, asyncio says so of every TLS connection that its peer has ended.
    unclosed = "ignore:unclosed transport <asyncio.sslproto:ResourceWarning"
    every_loop.append(pytest.mark.filterwarnings(unclosed))


def server_side(*certificates: trustme.LeafCert) -> ssl.SSLContext:
    """A server that shows these certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for certificate in certificates:
        certificate.configure_cert(context)
    return context


GOOD = server_side(CA.issue_cert("127.0.0.1"))


@functools.cache
def _trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=CA.cert_pem.bytes().decode())


@asynccontextmanager
async def trusting_http_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A caller's session, which trusts our CA and is strict otherwise."""
    connector = aiohttp.TCPConnector(ssl=_trusting())
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@contextlib.contextmanager
def trusting_machine() -> Iterator[None]:
    """A machine that trusts our CA, as OpenSSL's variable says."""
    with (
        CA.cert_pem.tempfile() as path,
        mock.patch.dict(os.environ, {"SSL_CERT_FILE": path}),
    ):
        picows.tls_context.cache_clear()
        picows.tls_context()
    yield
    picows.tls_context.cache_clear()


@dataclass
class Way:
    """From a wire to a server: over picows, or over aiohttp on `http_session`."""

    tls: bool
    http_session: aiohttp.ClientSession | None

    async def open(
        self, url: str, headers: dict[str, str], owner: Owner, **options: Any
    ) -> Wire:
        """An open wire."""
        if self.http_session is None:
            return await picows.open_wire(url, headers, owner, **options)
        return await aiohttp_wire.open_wire(
            url, headers, owner, http_session=self.http_session, **options
        )

    @asynccontextmanager
    async def websockets(self, handler: Handler) -> AsyncIterator[str]:
        """A websocket server that does what `handler` says; gives its base URL."""
        async with self.http(websocket_handler(handler)) as url:
            yield url

    @asynccontextmanager
    async def http(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> AsyncIterator[str]:
        """An HTTP server with one handler; gives its base URL for websockets."""
        async with http_server(handler, self._context) as url:
            yield self._url(url)

    @asynccontextmanager
    async def raw(self, handler: Callable[..., Awaitable[None]]) -> AsyncIterator[str]:
        """A server that speaks no protocol but `handler`'s own."""
        async with raw_server(handler, self._context) as url:
            yield self._url(url)

    @property
    def _context(self) -> ssl.SSLContext | None:
        return GOOD if self.tls else None

    def _url(self, url: str) -> str:
        return url.replace("ws:", "wss:") if self.tls else url
