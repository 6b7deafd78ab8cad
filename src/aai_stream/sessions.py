"""A stream's sessions, one after the other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import StateError
from .options import told_model
from .rollover import Rollover

if TYPE_CHECKING:
    from .connection.connector import Connector
    from .options import Options
    from .session import Session

logger = logging.getLogger("aai_stream")


class Sessions:
    """Opens sessions, has the next one ready before one expires, closes what is old.

    `on_begin` is called with each session that the stream is to move to. `is_calm` says
    whether that would hear little again of what the present one has heard. `at_stake`
    says how many seconds of audio wait for a session; it may be called in any thread.

    Attributes:
        latest: the session that the stream moved to last, open or not.
        closed: no more are opened.
        count: how many there were.
    """

    def __init__(
        self,
        connector: Connector,
        options: Options,
        sample_rate: int,
        *,
        on_begin: Callable[[Session], None],
        is_calm: Callable[[], bool],
        at_stake: Callable[[], float],
    ) -> None:
        self.options = options
        self.latest: Session | None = None
        self.closed = False
        self.count = 0
        self._connector = connector
        self._sample_rate = sample_rate
        self._on_begin = on_begin
        self._is_calm = is_calm
        self._at_stake = at_stake
        self._timeout = 0.0
        self._opening: list[list[dict[str, Any]]] = []  # updates since, by session
        self._rollover = Rollover(self._open, self._successor_ready)
        self._retired: set[asyncio.Future[None]] = set()  # that are closing
        self._heard_samples = 0  # by sessions before the latest
        self._malformed_messages = 0  # likewise
        self._waited_seconds = 0.0
        self._waiting_since: float | None = None

    async def open(self, timeout: float) -> None:
        """Move to a new session, opened within `timeout` seconds.

        Waits first for its turn among this process's new sessions. Raises
        `SessionError` by type, `StateError` if closed meanwhile.
        """
        await self._rollover.cancel()
        self._timeout = timeout
        self._begin(await self._open())

    def move_on(self) -> bool:
        """Move to the session that is ready to take over, if there is one and no turn
        is open in the present one, of which nothing more is told then."""
        old = self.latest
        if old is None or not (old.is_over or old.finals.is_idle):
            return False
        if (session := self._rollover.take()) is None:
            return False
        logger.debug("session %s takes over from %s", session.id, old.id)
        self._begin(session)
        return True

    def _successor_ready(self) -> None:
        # Or else at the next final; or when the present one has expired.
        if self._is_calm():
            self.move_on()

    def stay(self) -> None:
        """Have no session ready any more: the face decides what comes next."""
        if (session := self._rollover.take()) is not None:
            self._retire(session)
        self._rollover.drop()

    async def settle(self) -> None:
        """Stay with the present session."""
        await self._rollover.cancel()

    async def close(self) -> None:
        """Close all, with a Terminate, since a session is billed while open."""
        self.closed = True
        await self._rollover.cancel()
        if self.latest is not None:
            await self.latest.close()
        if self._retired:
            await asyncio.wait(self._retired)

    def update(self, live: Mapping[str, Any]) -> None:
        """Change live parameters, of the session there is and of those to come.

        Raises `OptionError` if any can't be changed live, is bad, or is not for the
        latest session's model; then none is.
        """
        told = told_model(self.latest.configuration) if self.latest else None
        self.options, message = self.options.updated(live, told)
        if self.latest is not None and not self.latest.is_over:
            self.latest.options = self.options
            self.latest.update(message)
        self._rollover.update(message)
        for updates in self._opening:
            updates.append(message)

    # ---- inside ----

    async def _open(self) -> Session:
        await self._wait_in_line()
        updates: list[dict[str, Any]] = []  # those before are in the handshake
        self._opening.append(updates)
        try:
            session = await self._connector.open(
                self.options, sample_rate=self._sample_rate, timeout=self._timeout
            )
        finally:
            self._opening.remove(updates)
        if self.closed:
            await session.close()
            raise StateError("the stream was closed")
        for message in updates:
            session.update(message)
        return session

    async def _wait_in_line(self) -> None:
        self._waiting_since = time.monotonic()
        try:
            await self._connector.admit(self._at_stake)
        finally:
            self._waited_seconds = self.waited_seconds
            self._waiting_since = None

    def _begin(self, session: Session) -> None:
        old = self.latest
        self.latest = session
        session.options = self.options  # they may have changed while it waited
        self.count += 1
        if old is not None:
            self._retire(old)
            self._heard_samples += old.clock.samples
            self._malformed_messages += old.malformed_messages
        self._rollover.plan(session.expires_at)
        self._on_begin(session)

    def _retire(self, session: Session) -> None:
        session.fall_silent()
        closing = asyncio.ensure_future(session.close())
        self._retired.add(closing)
        closing.add_done_callback(self._retired.discard)

    # ---- accounts ----

    @property
    def heard_samples(self) -> int:
        """Samples that servers were sent, padding and repetitions included."""
        latest = self.latest.clock.samples if self.latest is not None else 0
        return self._heard_samples + latest

    @property
    def malformed_messages(self) -> int:
        """Messages that could not be read."""
        latest = self.latest.malformed_messages if self.latest is not None else 0
        return self._malformed_messages + latest

    @property
    def waited_seconds(self) -> float:
        """How long new sessions had to wait for others of this process, until now."""
        if self._waiting_since is None:
            return self._waited_seconds
        return self._waited_seconds + time.monotonic() - self._waiting_since
