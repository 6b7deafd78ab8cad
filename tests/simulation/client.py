"""The joint between the simulated world and the client: whatever here is replaced is
none of the client's public face, and changes with its inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from unittest import mock
from urllib.parse import urlsplit

from aai_stream.connection import connector as connecting
from aai_stream.connection.budget.limits import Limits
from aai_stream.connection.failures import http_failure
from aai_stream.connection.limiter import ConnectLimiter
from aai_stream.connection.wire import Owner
from aai_stream.errors import AaiStreamError, UnreachableError
from tests.frames import frames_to
from tests.queues import limiter_on
from tests.simulation.account import EPOCH, Account, Refusal
from tests.simulation.link import Link


def failure_of(refusal: Refusal) -> AaiStreamError:
    """What a wire's opener raises for it."""
    if refusal.status is None:
        return UnreachableError("refused")
    wait = refusal.retry_after
    asked = {} if wait is None else {"Retry-After": str(round(wait))}
    return http_failure(refusal.status, asked)


class _Wire:
    """A wire as the client wants it, on a link."""

    def __init__(self) -> None:
        self._link: Link

    async def connect(
        self, account: Account, url: str, headers: Mapping[str, str], owner: Owner
    ) -> _Wire:
        try:
            self._link = await account.connect(url, headers, owner)
        except Refusal as exc:
            failure = failure_of(exc)
        else:
            link = self._link
            self.frames = frames_to(link.send_audio, link.send_text)
            link.on_has_room = self._room
            self.close = link.close
            return self
        raise failure

    def _room(self, has_room: bool) -> None:
        if has_room:
            self.frames.resume()
        else:
            self.frames.pause()

    @property
    def silent_seconds(self) -> float:
        return self._link.silent_seconds


@contextlib.contextmanager
def world_of(accounts: list[Account]) -> Iterator[None]:
    """Have connections go to the service as these accounts see it, which are one and
    the same to it, and clocks be the loop's."""
    loop = asyncio.get_running_loop()
    by_host = {account.host: account for account in accounts}
    limiters: dict[Limits, ConnectLimiter] = {}

    async def open_wire(url: str, headers: Mapping[str, str], owner: Owner) -> _Wire:
        account = by_host[urlsplit(url).hostname or ""]
        return await _Wire().connect(account, url, headers, owner)

    def limiter(
        host: str, name: str, limits: Limits, budget: str | None
    ) -> ConnectLimiter | None:
        if limits == Limits():
            return None
        return limiters.setdefault(limits, limiter_on(loop, limits))

    def time_of_day() -> float:
        return EPOCH + loop.time()

    with (
        mock.patch.object(connecting.Connector, "_open_wire", return_value=open_wire),
        mock.patch.object(connecting, "shared_limiter", limiter),
        mock.patch.object(
            connecting.Connector, "time_of_day", staticmethod(time_of_day)
        ),
        _logged(accounts[0]),
    ):
        yield


@contextlib.contextmanager
def _logged(account: Account) -> Iterator[None]:
    """What the client logs goes into the call's log."""
    ours = threading.get_ident()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread != ours:
                return  # of another test's limiter, whose thread goes on
            account.note(f"   client: {record.getMessage()}")

    handler = Handler(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("aai_stream", "livekit")]
    before = [(logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, (propagates, level) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagates
            logger.setLevel(level)
