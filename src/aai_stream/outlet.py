"""From the ring to the present session: chunks, at the pace and with room for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .endpoints import Endpoints
from .hearing import Hearing
from .pacing import Pacer

if TYPE_CHECKING:
    from ._core import AudioRing
    from .coverage import Coverage
    from .session import Session

RETRY_SECONDS = 0.02
"""How soon a socket that was full is tried again."""


class Outlet:
    """Sends what is in the ring to the session that it is connected to, if any.

    `coverage` is told how far a session has heard, and decides what that means. With
    `skip_silence` long silence is left out where audio had to wait. Raises
    `OptionError` for a `catch_up_rate` that could not keep up.
    """

    def __init__(
        self,
        ring: AudioRing,
        catch_up_rate: float,
        coverage: Coverage,
        *,
        skip_silence: bool = True,
    ) -> None:
        self.pacer = Pacer(catch_up_rate, ring.sample_rate)
        self._hearing = Hearing(ring.sample_rate)
        self._ring = ring
        self._coverage = coverage
        self._skip_silence = skip_silence
        self._session_start = 0  # of the present session, in samples of the stream
        self._news = 0  # how far it had been sent when it told of a turn last
        self._session: Session | None = None
        self._latest: Session | None = None  # also when it is disconnected
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()  # set when no full chunk waits, or none ever will
        self.endpoints = Endpoints()

    @property
    def has_backlog(self) -> bool:
        """Whether a full chunk waits."""
        return self._ring.written - self._ring.sent >= self._ring.chunk_samples

    def heard_by(self, session: Session) -> int:
        """How far `session` has surely heard the audio and had time to say what; 0 if
        it isn't the last one connected."""
        if session is not self._latest:
            return 0
        return self._hearing.heard_until(session.silent_seconds)

    def turn_told(self) -> None:
        """The present session has just told of a turn."""
        self._news = self._ring.sent

    def connect(self, session: Session) -> None:
        """Send to `session` from now on, beginning with what waits."""
        self._session = self._latest = session
        self._hearing.restart()
        self._session_start = self._news = self._ring.sent
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
        self._coverage.losses.look()

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
            if self._hearing.sent(chunk.start, ring.sent):
                self._look_around(session)
                if self._session is not session:
                    return
            if endpoints:
                self._end_turns(session)
        if endpoints:
            self._end_turns(session)
            if endpoints:  # behind the last full chunk
                self._send_tail(session)
                self._end_turns(session)
        self._room.set()

    def _look_around(self, session: Session) -> None:
        heard = self._hearing.heard_until(session.silent_seconds)
        if session.finals.is_idle:
            self._coverage.settle(heard)
        elif self._coverage.is_overdue(heard, self._news):
            session.finals.overdue()

    def _pass_over_silence(self, session: Session) -> bool:
        """Leave silence out that would only make the session late."""
        if not self._skip_silence or not session.finals.is_idle:
            return False
        return self._coverage.pass_over_silence(self._session_start)

    def _send_tail(self, session: Session) -> None:
        for chunk in self._ring.flush():
            session.send_audio(chunk)
            self._hearing.sent(chunk.start, chunk.start + chunk.samples)

    def _end_turns(self, session: Session) -> None:
        while self.endpoints.force(self._ring.sent, self._ring.acked):
            session.force_endpoint()

    def _pump_later(self, seconds: float) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._pump_again)

    def _pump_again(self) -> None:
        self._timer = None
        self._coverage.losses.look()
        self.pump()
