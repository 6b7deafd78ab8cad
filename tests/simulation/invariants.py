"""What must be so of a stream's protocol after every step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from aai_stream.messages import AudioLost, SilenceSkipped, Turn
from aai_stream.protocol.events import Opened, Over, Retry
from aai_stream.protocol.retry import PROGRESS_SECONDS
from aai_stream.protocol.session import State
from aai_stream.telemetry.counting import Counting
from tests.simulation.duties import LONGEST_BUSY_WAIT
from tests.simulation.speech import RATE

if TYPE_CHECKING:
    from aai_stream.protocol.events import Told
    from aai_stream.protocol.stream import StreamProtocol
    from tests.simulation.faces import Settings

MOVED_MS = 1500
"""The words of partials may be told so much later than they are."""

WAIT_SECONDS = 0.03
"""For memory that other streams need."""


class Invariants:
    """Complains of what is not so."""

    def __init__(
        self,
        protocol: StreamProtocol,
        settings: Settings,
        complain: Callable[[str], None],
    ) -> None:
        self._protocol = protocol
        self._settings = settings
        self._complain = complain
        self._most_bytes = round(settings.replay_seconds * RATE * 2 * 1.1) + 100_000
        self._covered = 0
        self._order = -1  # of the last final
        self._lost_until = 0
        self._failures = 0  # that were tried again, without progress
        self._final_samples = 0
        self._open: set[str] = set()  # sessions, as they are reported
        self._counting = Counting(protocol, "local")

    # ---- what is told ----

    def hear(self, told: Told, now: float) -> None:
        """One thing that the stream tells."""
        written = self._protocol.ring.written
        if not isinstance(told, Turn):
            self._counting.take(told)
        if isinstance(told, Turn):
            times = [(word.start, word.end) for word in told.words]
            slack = 0 if told.is_final else MOVED_MS
            if any(start > end for start, end in times):
                self._complain(f"a word ends before it begins, in turn {told}")
            if times and times[-1][1] > written * 1000 // RATE + slack:
                self._complain(f"a turn ends behind all audio: {times[-1]}")
            if told.is_final:
                if told.turn_order < self._order:
                    self._complain(f"turn {told.turn_order} behind {self._order}")
                self._order = told.turn_order
        elif isinstance(told, (AudioLost, SilenceSkipped)):
            if not 0 <= told.start_sample < told.end_sample <= written:
                self._complain(f"a gap of no audio: {told}")
        elif isinstance(told, Retry):
            self._retries(told, now)
        elif isinstance(told, Opened):
            if told.session in self._open:
                self._complain(f"{told.session} was reported as open before")
            self._open.add(told.session)
        elif isinstance(told, Over) and told.began_at is not None:
            if told.session not in self._open:
                self._complain(f"{told.session} is reported as over, but is not open")
            self._open.discard(told.session)

    def _retries(self, retry: Retry, now: float) -> None:
        session = self._protocol.session
        if session is not None and now - session.began_at > PROGRESS_SECONDS:
            self._failures = 0
        if self._protocol.transcript.final_samples > self._final_samples:
            self._final_samples = self._protocol.transcript.final_samples
            self._failures = 0
        self._failures += retry.counts
        if self._failures > self._settings.max_retries:
            self._complain(f"{self._failures} retries without progress")
        if not 0 <= retry.seconds <= LONGEST_BUSY_WAIT:
            self._complain(f"a retry in {retry.seconds} s")

    # ---- after each step ----

    def check(self, now: float, *, has_room: bool, is_checked: bool) -> None:
        """All that was wanted is done; `has_room`: the present socket takes audio;
        `is_checked`: so is what was due."""
        protocol = self._protocol
        ring, gaps = protocol.ring, protocol.coverage.gaps
        if not 0 <= ring.acked <= ring.sent <= ring.written:
            self._complain(f"{ring.acked=} {ring.sent=} {ring.written=}")
        if gaps.covered < self._covered or gaps.covered > ring.sent:
            self._complain(f"{gaps.covered=} was {self._covered}; {ring.sent=}")
        self._covered = gaps.covered
        if ring.memory_bytes > self._most_bytes:
            self._complain(f"{ring.memory_bytes} bytes are held")
        if is_checked and protocol.deadline <= now:
            self._complain(f"{protocol.deadline=} is over, and nothing is done")
        self._check_sessions()
        self._check_reports()
        if has_room:
            self._check_sending(now)

    def _check_reports(self) -> None:
        """Metrics agree with what there is; a counter that falls raises."""
        lineup = self._protocol.lineup
        living = {session.id for session in lineup.living if session.has_begun}
        if living != self._open:
            self._complain(f"{living} are open, but {self._open} are reported")
        self._counting.sample()

    def _check_sessions(self) -> None:
        protocol, lineup = self._protocol, self._protocol.lineup
        living = lineup.living
        if protocol.is_over:
            if living or protocol.deadline < math.inf:
                self._complain(f"the stream is over, but {len(living)} sessions live")
            return
        if len(set(map(id, living))) != len(living):
            self._complain("a session is in two places")
        if lineup.opening is not None and lineup.standby is not None:
            self._complain("a third session is opened")
        if lineup.opening is not None and lineup.opening.state is not State.OPENING:
            self._complain(f"a session is {lineup.opening.state}, but still opened")
        if not lineup.is_open:
            if lineup.standby is not None:
                self._complain("a session is ready, but none hears the stream")
            is_wanted = not protocol.parking.is_on
            if is_wanted and lineup.opening is None and lineup.open_at == math.inf:
                self._complain("no session is open, and none will be")

    def _check_sending(self, now: float) -> None:
        """What waits is sent when it may be."""
        protocol = self._protocol
        session, sending = protocol.session, protocol.sending
        if session is None or session.state is not State.OPEN:
            return
        latest = now + self._settings.chunk_seconds + WAIT_SECONDS
        if sending.has_backlog and sending.due > latest:
            self._complain(f"audio waits for ever, until {sending.due}")
