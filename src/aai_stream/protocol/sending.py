"""From the ring to the present session: which chunk or ForceEndpoint may go now."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from .._core import Gate, Pacer
from .hearing import Hearing
from .pace import BURST_SECONDS
from .session import FORCE_ENDPOINT

if TYPE_CHECKING:
    from .._core import AudioRing, Chunk
    from .coverage import Coverage
    from .session import Session

RETRY_SECONDS = 0.02
"""When to try again after other streams needed the ring's memory."""


class Endpoints:
    """Where in the stream turns shall be ended by force, and where they were.

    Samples in their order: those that wait until the audio before them is sent, and
    those asked of a session that may not have heard.
    """

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self._forced: deque[tuple[int, int]] = deque()  # wanted at, and asked for at

    def add(self, sample: int, sent: int) -> None:
        """A turn shall end at `sample`, but not before an earlier one that waits.

        Of those that what is `sent` has passed already, with nobody to tell, one is
        enough.
        """
        waiting = self.waiting
        if waiting:
            sample = max(sample, waiting[-1])
        if not waiting or sample > waiting[-1]:
            waiting.append(sample)
        while len(waiting) > 1 and waiting[1] <= sent:
            waiting.popleft()

    def force(self, sent: int, acked: int) -> bool:
        """Whether a turn shall end now that so much was `sent`; if so, it counts as
        done. Audio before `acked` has its finals."""
        if not self.waiting or self.waiting[0] > sent:
            return False
        while self._forced and self._forced[0][1] <= acked:
            self._forced.popleft()
        forced = self.waiting.popleft(), sent
        if not self._forced or self._forced[-1] != forced:
            self._forced.append(forced)
        return True

    def cut(self, sent: int) -> None:
        """A turn ends now that so much was `sent`, wanted or not: no other session is
        asked for it."""
        self._forced.append((0, sent))

    def forced_behind(self, sample: int) -> int | None:
        """Where the present session was asked to end the turn that `sample` is in."""
        return next((forced for _, forced in self._forced if forced >= sample), None)

    def restart(self, acked: int) -> None:
        """Another session begins at `acked`: ask again for what has no final."""
        again = [wanted for wanted, _ in self._forced if wanted > acked]
        self.waiting.extendleft(reversed(again))
        self._forced.clear()


class Sending:
    """Says what the session that it is connected to is sent next.

    What is usual, the next chunk of live audio, the core sends on its own while `gate`
    is open. `coverage` knows what is silence. With `skip_silence` long silence is left
    out where audio had to wait.

    Attributes:
        gate: open from a call of `next` that had nothing more to send, until there is
            something to be decided.
        pacer: how fast audio goes that had to wait.
        due: when to ask again; infinite if nothing waits for its time.
        is_time_to_look: enough was sent to ask how far the session has heard.
    """

    def __init__(
        self,
        ring: AudioRing,
        catch_up_rate: float,
        coverage: Coverage,
        *,
        skip_silence: bool,
    ) -> None:
        self.pacer = Pacer(catch_up_rate, ring.sample_rate, BURST_SECONDS)
        self.gate = Gate(ring, self.pacer)
        self.endpoints = Endpoints()
        self.hearing = Hearing(ring.sample_rate, 0)
        self.due = math.inf
        self.is_time_to_look = False
        self._ring = ring
        self._coverage = coverage
        self._skip_silence = skip_silence
        self._session: Session | None = None
        self._session_start = 0  # of the present session, in samples of the stream
        self._tail: deque[Chunk] = deque()  # flushed: goes however short it is

    @property
    def has_backlog(self) -> bool:
        """Whether a full chunk waits, or what was flushed."""
        if self._tail:
            return True
        return self._ring.written - self._ring.sent >= self._ring.chunk_samples

    def connect(self, session: Session) -> None:
        """Send to `session` from now on, beginning with what waits."""
        self._session = session
        self._session_start = self._ring.sent
        self.hearing = Hearing(self._ring.sample_rate, self._ring.sent)
        self.endpoints.restart(self._ring.acked)

    def disconnect(self) -> None:
        """Send nothing more for now."""
        self._session = None
        self.due = math.inf
        self._tail.clear()
        self.gate.shut()

    def look_soon(self) -> None:
        """Let it be asked how far the session has heard, though nothing is sent."""
        self.gate.shut()
        self.is_time_to_look = True

    def finish(self) -> None:
        """The session is asked to end, and with it its turn."""
        self.disconnect()
        self.endpoints.cut(self._ring.sent)

    def next(self, now: float, has_room: bool) -> Chunk | bytes | None:
        """The next binary or text message, which counts as sent; None if there is none
        for now. `has_room`: the socket takes more audio."""
        session = self._session
        if session is None:
            return None
        self.gate.shut()
        self.due = math.inf
        if self.hearing.sent(self._ring.sent, now):
            self.is_time_to_look = True
        message = self._next(session, now, has_room)
        is_waiting = self._tail or self.endpoints.waiting or self.due < math.inf
        if message is None and not is_waiting:
            self.gate.open(session.timeline, self.hearing.due)
        return message

    def _next(
        self, session: Session, now: float, has_room: bool
    ) -> Chunk | bytes | None:
        ring = self._ring
        if self._tail:
            if not self.pacer.is_open(now):
                self.due = self.pacer.opens_at
                return None
            return self._send(session, self._tail.popleft(), now)
        if self.endpoints.waiting and self.endpoints.force(ring.sent, ring.acked):
            return FORCE_ENDPOINT
        if ring.written - ring.sent < ring.chunk_samples:
            if not self.endpoints.waiting:
                return None
            self._tail.extend(ring.flush())  # the endpoint is behind the last chunk
            return self._next(session, now, has_room)
        if not has_room:
            return None
        if not self.pacer.is_open(now):
            if self._pass_over_silence(session):
                return self._next(session, now, has_room)
            self.due = self.pacer.opens_at
        elif (chunk := ring.next_chunk()) is not None:
            return self._send(session, chunk, now)
        else:
            self.due = now + RETRY_SECONDS  # other streams needed its memory
        return None

    def _send(self, session: Session, chunk: Chunk, now: float) -> Chunk:
        session.timeline.sent(chunk, now)
        self.pacer.spend(chunk.samples + chunk.padding, now)
        return chunk

    def _pass_over_silence(self, session: Session) -> bool:
        """Leave silence out that would only make the session late."""
        if not self._skip_silence or not session.turns.is_idle:
            return False
        sent = self._ring.sent
        if not self._coverage.pass_over_silence(self._session_start):
            return False
        self.hearing.skipped(self._ring.sent - sent)
        return True

    def flush(self) -> None:
        """Send what is no full chunk yet, padded to 50 ms with silence.

        Drains the resampler. While other audio waits, the rest stays with what
        follows it.
        """
        self.gate.shut()
        had_backlog = self.has_backlog
        self._coverage.finish_writing()
        if self._session is not None and not had_backlog:
            self._tail.extend(self._ring.flush())

    def force_endpoint(self, *, flush: bool) -> None:
        """End the turn here in the audio: at once, or when what waits has been sent.

        Audio that is no full chunk yet belongs to the next turn, unless it is flushed.
        """
        ring = self._ring
        self.gate.shut()
        if flush:
            self._coverage.finish_writing()
            position = ring.written
        else:
            behind = ring.written - ring.sent - ring.next_samples
            position = ring.written - behind % ring.chunk_samples
        self.endpoints.add(position, ring.sent)
