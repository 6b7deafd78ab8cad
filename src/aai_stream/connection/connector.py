"""How sessions are opened: where, as whom, over what, and how many."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from .. import timeouts
from ..errors import TimedOutError
from ..rules import check_seconds
from .addresses import STREAMING_PATH, endpoint, host_of, is_loopback
from .budget.limits import SESSIONS_PER_MINUTE, Limits
from .limiter import shared_limiter

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from ..options import Options
    from .credentials import Credentials
    from .limiter import ConnectLimiter, Place
    from .wire import OpenWire, Owner, Wire

BUDGET_VARIABLE = "AAI_STREAM_BUDGET"

DEAD_AFTER_SECONDS = 10.0
"""A connection is lost when its peer has been silent for this long, asked or not."""


class Connector:
    """Opens sessions for any number of streams.

    Sessions go over picows, or over aiohttp on the caller's `http_session`, which is
    the way through a proxy: neither takes one from the environment on its own.
    `dead_after` is in seconds, `math.inf` to believe in every connection.
    `sessions_per_minute` and `max_sessions` are for all streams with this account and
    server, in all processes of this host, and of all that have the same `budget`; see
    `limiter`.

    Raises `OptionError` for an argument that won't do, and `MissingExtraError` for a
    `budget` without the package that it takes.
    """

    time_of_day = staticmethod(time.time)
    """In unix seconds, as sessions are told when they expire."""

    def __init__(
        self,
        credentials: Credentials,
        base_url: str,
        *,
        http_session: ClientSession | None = None,
        dead_after: float = DEAD_AFTER_SECONDS,
        sessions_per_minute: float | None = None,
        max_sessions: int | None = None,
        budget: str | None = None,
        allow_unencrypted: bool = False,
    ) -> None:
        check_seconds("dead_after", dead_after)
        self.dead_after = dead_after
        self.http_session = http_session
        self.credentials = credentials
        self._url = endpoint(
            base_url, STREAMING_PATH, allow_unencrypted=allow_unencrypted
        )
        self.host = host_of(self._url)
        if sessions_per_minute is None:  # on loopback no account is at risk
            sessions_per_minute = (
                math.inf if is_loopback(self.host) else SESSIONS_PER_MINUTE
            )
        self._limits = Limits(
            sessions_per_minute, math.inf if max_sessions is None else max_sessions
        )
        self._budget = budget or os.environ.get(BUDGET_VARIABLE) or None
        if self._budget is not None:
            from .budget.fleet import check_budget

            check_budget(self._budget)

    async def admit(self, urgency: Callable[[], float]) -> Place | None:
        """Wait until the account lets one more session be opened; see
        `ConnectLimiter.admit`. None if it has no limit."""
        limiter = self._limiter()
        return None if limiter is None else await limiter.admit(urgency)

    def sessions_in_use(self) -> int:
        """How many sessions the account has, in all processes that share its limits; 0
        if it has none. Blocks."""
        limiter = self._limiter()
        return 0 if limiter is None else limiter.in_use()

    def _limiter(self) -> ConnectLimiter | None:
        # Looked up each time: in a fork it is another one.
        return shared_limiter(
            self.host, self.credentials.account, self._limits, self._budget
        )

    async def open(self, options: Options, owner: Owner, timeout: float) -> Wire:
        """A websocket that asks for a session with `options`; `owner` gets what comes.

        It takes `timeout` seconds at most: token, TCP, TLS and the upgrade.

        Raises `SessionError` by type; then nothing is left open.
        """
        try:
            async with timeouts.timeout(timeout):
                headers, query = await self.credentials.for_connect()
                url = f"{self._url}?{urlencode(options.query() | query)}"
                return await self._open_wire()(url, headers, owner)
        except asyncio.TimeoutError:
            pass
        raise TimedOutError(f"no connection was made within {timeout:g} s")

    def _open_wire(self) -> OpenWire:
        # Imported here: either takes longer than the rest of this package.
        limit = None if self.dead_after == math.inf else self.dead_after
        if self.http_session is not None:
            from .wire import aiohttp

            return partial(
                aiohttp.open_wire, http_session=self.http_session, dead_after=limit
            )
        from .wire import picows

        return partial(picows.open_wire, dead_after=limit)


def preload() -> None:
    """Load what opens a websocket where no `http_session` is given, and read whom this
    machine trusts. What a process has loaded its forks need not load."""
    from .budget.host import HostBook
    from .wire import picows

    picows.tls_context()
    HostBook(None).turn(Limits(), [], 0, {})  # SQLite sets itself up
    if os.environ.get(BUDGET_VARIABLE):
        with suppress(ImportError):  # a stream says so
            import redis  # noqa: F401
