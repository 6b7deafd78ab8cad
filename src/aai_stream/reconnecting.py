"""Has a feed connected, for as long as that makes sense."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import AaiStreamError, SessionError, TransientError
from .retries import PROGRESS_SECONDS

if TYPE_CHECKING:
    from .feed import Feed
    from .retries import Retries

logger = logging.getLogger("aai_stream")


class Reconnector:
    """Opens a feed's sessions, and replaces those that are lost, as `retries` has it.

    `on_over` is called when there will be no other: with None if that was asked for,
    otherwise with what happened. `connect_timeout` is in seconds.
    """

    def __init__(
        self,
        feed: Feed,
        retries: Retries,
        connect_timeout: float,
        on_over: Callable[[AaiStreamError | None], None],
    ) -> None:
        self._feed = feed
        self._retries = retries
        self._connect_timeout = connect_timeout
        self._on_over = on_over
        self._task: asyncio.Task[None] | None = None
        self._opening = False
        self._lost_at_once: SessionError | None = None  # as soon as it was opened
        self._opened_at = 0.0  # the latest session, by the loop's clock
        self._covered = 0  # the feed's progress when it was
        self._ending = False

    async def connect(self, failure: SessionError | None = None) -> None:
        """Open a session, after `failure` if there was one; raise what is final."""
        while True:
            if failure is not None:
                now = asyncio.get_running_loop().time()
                delay = self._retries.delay(failure, now)
                logger.warning("%s; trying again in %.1f s", failure, delay)
                await asyncio.sleep(delay)
            self._opening, self._lost_at_once = True, None
            try:
                await self._feed.open(self._connect_timeout)
                self._opened_at = asyncio.get_running_loop().time()
                self._covered = self._feed.final_samples
                failure = self._lost_at_once
            except TransientError as exc:
                failure = exc
            finally:
                self._opening = False
            if failure is None:
                return

    def session_closed(self, failure: SessionError | None) -> None:
        """For the feed to tell: its session ended, with `failure` unless as wanted."""
        if self._opening and failure is not None:
            self._lost_at_once = failure
            return
        if failure is None or not failure.retryable:
            self._on_over(failure)
            return
        lived = asyncio.get_running_loop().time() - self._opened_at
        lasted = lived > PROGRESS_SECONDS and not self._ending
        if lasted or self._feed.final_samples > self._covered:
            self._retries.progress()
        self._task = asyncio.ensure_future(self._reconnect(failure))

    async def _reconnect(self, failure: SessionError) -> None:
        try:
            await self.connect(failure)
        except AaiStreamError as exc:
            self._on_over(None if self._feed.closed else exc)
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    def end(self, most: int) -> None:
        """No more audio comes: from here on no more than `most` failures are tried
        again, and a session that only lasts gets nowhere."""
        self._ending = True
        self._retries.limit(most)

    async def done(self) -> None:
        """Wait while there is no session, until there is one or never will be."""
        while (task := self._task) is not None:
            await asyncio.wait([task])

    async def stop(self) -> None:
        """Open no more sessions."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])
            if self._task is task:  # it never got to its own end
                self._task = None
