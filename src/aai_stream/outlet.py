"""From the ring to the present session: chunks, at the pace and with room for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .endpoints import Endpoints
from .pacing import Pacer
from .quiet import QuietWatch

if TYPE_CHECKING:
    from ._core import AudioRing
    from .losses import Losses
    from .session import Session

RETRY_SECONDS = 0.02
"""How soon a socket that was full is tried again."""


class Outlet:
    """Sends what is in the ring to the session that it is connected to, if any.

    `losses` is told how far nobody speaks, and which silence was left out where audio
    had to wait. Raises `OptionError` for a `catch_up_rate` that could not keep up.
    """

    def __init__(self, ring: AudioRing, catch_up_rate: float, losses: Losses) -> None:
        self.pacer = Pacer(catch_up_rate, ring.sample_rate)
        self._quiet = QuietWatch(ring.sample_rate)
        self._ring = ring
        self._losses = losses
        self._session: Session | None = None
        self._latest: Session | None = None  # also when it is disconnected
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()  # set when no full chunk waits, or none ever will
        self.endpoints = Endpoints()

    @property
    def has_backlog(self) -> bool:
        """Whether a full chunk waits."""
        return self._ring.written - self._ring.sent >= self._ring.chunk_samples

    @property
    def is_calm(self) -> bool:
        """Whether no sound was sent that isn't covered."""
        return self._quiet.is_silent_since(self._losses.covered)

    def heard_by(self, session: Session) -> int:
        """How far `session` has surely heard the audio and had time to say what; 0 if
        it isn't the last one connected."""
        if session is not self._latest:
            return 0
        return self._quiet.heard_until(session.silent_seconds)

    def connect(self, session: Session) -> None:
        """Send to `session` from now on, beginning with what waits."""
        self._session = self._latest = session
        self._quiet.restart()
        self.endpoints.restart(self._ring.acked)
        self.pump()

    def disconnect(self) -> None:
        """Send nothing more for now."""
        self._session = None
        self._room.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def drain(self) -> None:
        """Wait until no full chunk waits; returns early when disconnected."""
        await asyncio.sleep(0)  # a socket that is never full would starve the others
        while self._session is not None and self.has_backlog:
            self._room.clear()
            await self._room.wait()

    def finish_input(self) -> None:
        """Let out what the resampler holds; in a full ring that drives out older."""
        self._ring.drain()
        self._losses.look()

    def flush(self) -> None:
        """Send what is no full chunk yet, padded to 50 ms with silence.

        Drains the resampler. While other audio waits, the rest stays with what
        follows it.
        """
        self.finish_input()
        self.pump()
        if self._session is not None and not self.has_backlog:
            self._send_tail(self._session)

    def force_endpoint(self, *, flush: bool) -> None:
        """End the turn here in the audio: at once, or when what waits has been sent.

        Audio that is no full chunk yet belongs to the next turn, unless it is flushed.
        """
        ring = self._ring
        if flush:
            self.finish_input()
            position = ring.written
        else:
            behind = ring.written - ring.sent - ring.next_samples
            position = ring.written - behind % ring.chunk_samples
        self.endpoints.add(position, ring.sent)
        self.pump()

    def pump(self) -> None:
        """Send full chunks for as long as the socket and the pace take them."""
        session, ring = self._session, self._ring
        if session is None:
            return
        endpoints = self.endpoints.waiting
        if endpoints:
            self._end_turns(session)
        while ring.written - ring.sent >= ring.chunk_samples:
            wait = RETRY_SECONDS
            if session.writable:
                wait = self.pacer.wait(ring.next_samples)
                if wait and self._pass_over_silence(session):
                    continue
            if wait:
                self._pump_later(wait)
                return
            if (chunk := ring.next_chunk()) is None:
                self._pump_later(RETRY_SECONDS)  # other streams needed its memory
                return
            session.send_audio(chunk)
            if self._quiet.sent(chunk):
                self._let_go_of_silence(session)
            if endpoints:
                self._end_turns(session)
        if endpoints:
            self._end_turns(session)
            if endpoints:  # behind the last full chunk
                self._send_tail(session)
                self._end_turns(session)
        self._room.set()

    def _let_go_of_silence(self, session: Session) -> None:
        heard = self._quiet.heard_until(session.silent_seconds)
        if session.finals.is_idle and self.is_calm:
            self._losses.cover(heard)

    def _pass_over_silence(self, session: Session) -> bool:
        """Leave silence out that would only make the session late."""
        start = self._ring.sent
        if session.finals.is_idle:
            self._quiet.pass_over_silence(self._ring)
            self._losses.skipped(start, self._ring.sent)
        return self._ring.sent > start

    def _send_tail(self, session: Session) -> None:
        for chunk in self._ring.flush():
            session.send_audio(chunk)
            self._quiet.sent(chunk)

    def _end_turns(self, session: Session) -> None:
        while self.endpoints.force(self._ring.sent, self._ring.acked):
            session.force_endpoint()

    def _pump_later(self, seconds: float) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._pump_again)

    def _pump_again(self) -> None:
        self._timer = None
        self._losses.look()
        self.pump()
