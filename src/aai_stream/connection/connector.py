"""How sessions are opened: where, as whom, over what, and how many a minute."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .. import timeouts
from ..errors import OptionError, SessionError, TimedOutError, TokenExpiredError
from ..session import Session
from .addresses import STREAMING_PATH, endpoint, host_of
from .limiter import shared_limiter
from .wire import OpenWire, aiohttp

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from ..options import Options
    from .credentials import Credentials

logger = logging.getLogger("aai_stream")

HEARTBEAT_SECONDS = 5.0
"""How often a server says Heartbeat when asked to."""

BEGIN_SECONDS = 20.0
"""How long an open connection may take to its Begin; 11 s have been seen."""

DEAD_AFTER_SECONDS = 10.0
"""A connection is lost when its peer has been silent for this long, asked or not."""


class Connector:
    """Opens sessions for any number of streams.

    Sessions go over picows, or over aiohttp on the caller's `http_session`, which is
    the way through a proxy: neither takes one from the environment on its own.
    `dead_after` is in seconds, `math.inf` to believe in every connection;
    `begin_timeout` is how many an open connection may take to its Begin.
    `sessions_per_minute` is for all streams of the process with this account and
    server; see `limiter`.

    Raises `OptionError` for an argument that won't do.
    """

    def __init__(
        self,
        credentials: Credentials,
        base_url: str,
        *,
        http_session: ClientSession | None = None,
        begin_timeout: float = BEGIN_SECONDS,
        dead_after: float = DEAD_AFTER_SECONDS,
        sessions_per_minute: float | None = None,
        allow_unencrypted: bool = False,
    ) -> None:
        check_seconds("dead_after", dead_after)
        check_seconds("begin_timeout", begin_timeout)
        self._dead_after = dead_after
        self._begin_timeout = begin_timeout
        self.http_session = http_session
        self._credentials = credentials
        self._url = endpoint(
            base_url, STREAMING_PATH, allow_unencrypted=allow_unencrypted
        )
        self.host = host_of(self._url)
        self._limiter = shared_limiter(
            self.host, credentials.account, sessions_per_minute
        )

    def prepare(self) -> None:
        """Do what the first `open` would do before it connects: load picows, read whom
        this machine trusts, resolve the server's name. Takes its time, so it is for a
        thread; raises `OSError` if there is no such name."""
        if self.http_session is None:
            from .wire import picows

            picows.tls_context()
        socket.getaddrinfo(self.host, None)

    async def admit(self, urgency: Callable[[], float]) -> None:
        """Wait for a place among the new sessions of this minute; see
        `ConnectLimiter.admit`."""
        if self._limiter is not None:
            await self._limiter.admit(urgency)

    async def open(
        self, options: Options, *, sample_rate: int, timeout: float
    ) -> Session:
        """A session that has begun; see `open_session`.

        If a source of tokens gives one that is too old, it is asked for another, once,
        which has its own `timeout`.
        """
        try:
            return await self._open(options, sample_rate, timeout)
        except TokenExpiredError:
            if not self._credentials.has_token_source:
                raise
        logger.info("the token had expired; trying another")
        return await self._open(options, sample_rate, timeout)

    async def _open(
        self, options: Options, sample_rate: int, timeout: float
    ) -> Session:
        return await open_session(
            self._open_wire(),
            self._url,
            self._credentials,
            options,
            sample_rate=sample_rate,
            timeout=timeout,
            begin_timeout=self._begin_timeout,
            dead_after=self._dead_after,
        )

    def _open_wire(self) -> OpenWire:
        limit = None if self._dead_after == math.inf else self._dead_after
        if self.http_session is not None:
            return partial(
                aiohttp.open_wire, http_session=self.http_session, dead_after=limit
            )
        # Not with the rest: picows and what it imports are a third of our import.
        from .wire import picows

        return partial(picows.open_wire, dead_after=limit)


def check_seconds(name: str, value: object) -> None:
    """Raise `OptionError` unless `value`, of the option `name`, is above 0."""
    if not isinstance(value, (int, float)) or not value > 0:
        raise OptionError(f"{name} must be above 0 s, not {value!r}")


async def open_session(
    open_wire: OpenWire,
    url: str,
    credentials: Credentials,
    options: Options,
    *,
    sample_rate: int,
    timeout: float,
    begin_timeout: float = BEGIN_SECONDS,
    dead_after: float = math.inf,
) -> Session:
    """Connect to `url` within `timeout` seconds, token, TCP, TLS and upgrade included,
    and wait for Begin for no more than `begin_timeout`.

    If `options` ask for Heartbeats, a server that says nothing for `dead_after`
    seconds, or that has left out two, is lost.

    Raises `SessionError` by type; then nothing is left open.
    """
    session = Session(credentials, options, sample_rate)
    failure: SessionError
    try:
        missing = f"no connection was made within {timeout:g} s"
        async with timeouts.timeout(timeout):
            await session.connect(open_wire, url)
        missing = f"the session did not begin within {begin_timeout:g} s"
        async with timeouts.timeout(begin_timeout):
            await session.begin()
        if options.heartbeat and dead_after != math.inf:
            session.watch(max(dead_after, 2 * HEARTBEAT_SECONDS))
        return session
    except asyncio.TimeoutError:
        failure = TimedOutError(missing)
    except SessionError as exc:
        failure = exc
    except BaseException:
        await session.close()
        raise
    await session.close()
    raise failure
