"""The next session, ready before the present one expires."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .errors import AaiStreamError

if TYPE_CHECKING:
    from .session import Session

logger = logging.getLogger("aai_stream")

LEAD_SECONDS = 60.0
"""How long before its end a session's successor is opened; of short sessions, the last
fifth."""

SHORTEST_SECONDS = 45.0
"""No session is replaced before, though the clock may say so: none is made for less
than a minute."""

FURTHEST_SECONDS = 86_400.0
"""No session lasts longer; one that says so has no end that could be planned for."""


class Rollover:
    """Opens a session's successor in time; when to move over is the feed's to say.

    `on_ready` is called when it is open. If it can't be opened, expiry is a lost
    connection like any other.
    """

    def __init__(
        self,
        open_session: Callable[[], Awaitable[Session]],
        on_ready: Callable[[], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._open_session = open_session
        self._on_ready = on_ready
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._keeper: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._next: Session | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is a session to move to."""
        return self._next is not None and not self._next.is_over

    def plan(self, expires_at: int | None) -> None:
        """Have a session ready before `expires_at`, unix seconds."""
        if expires_at is None:
            return
        left = expires_at - self._clock()
        if 0 < left <= FURTHEST_SECONDS:
            lead = min(LEAD_SECONDS, left / 5)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(
                max(left - lead, SHORTEST_SECONDS), self._begin
            )

    def take(self) -> Session | None:
        """The session to move to, if there is one; it is the caller's then."""
        session = self._next if self.is_ready else None
        self._next = None
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None
        return session

    def drop(self) -> None:
        """Want no successor any more; one that is there has to be taken first."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._opening is not None:
            self._opening.cancel()

    async def cancel(self) -> None:
        """Likewise, and close the one that is there."""
        self.drop()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if (unwanted := self.take()) is not None:
            await unwanted.close()

    def update(self, message: dict[str, Any]) -> None:
        """Send an UpdateConfiguration to the session that waits."""
        if self._next is not None and not self._next.is_over:
            self._next.update(message)

    def _begin(self) -> None:
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        try:
            self._next = await self._open_session()
        except AaiStreamError as exc:
            logger.info("no session is ready to take over: %s", exc)
        else:
            self._keep_alive()
            self._on_ready()

    def _keep_alive(self) -> None:
        """Let the session that waits not be ended for getting no audio."""
        if self._next is None or self._next.is_over:
            return
        if limit := self._next.options.inactivity_timeout:
            self._next.keep_alive()
            loop = asyncio.get_running_loop()
            self._keeper = loop.call_later(limit / 2, self._keep_alive)
