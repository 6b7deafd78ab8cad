"""One stream's part in the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..messages import AudioLost, SilenceSkipped
from ..protocol.events import Admitted, CaughtUp, Opened, Over, Resumed, Retry
from ..protocol.gaps import NOT_SENT
from . import instruments
from .labels import cause_of, code_of, model_of

if TYPE_CHECKING:
    from ..messages import Event, Turn
    from ..protocol.events import Report
    from ..protocol.stream import StreamProtocol


class Counting:
    """Counts what a stream tells; what is a sum over time, at each `sample`."""

    def __init__(self, protocol: StreamProtocol, region: str) -> None:
        self._protocol = protocol
        model = model_of(protocol.options.model({}))
        self._family = instruments.family(model, region)
        self._family.streams.inc()
        self._waited = 0.0  # of the next connect, for its place
        self._buffer = 0.0  # as it was added to the gauge
        self._sent = self._replayed = 0  # samples, as they were counted
        # Samples that the present session is to be sent again; those before it were.
        self._again = self._again_before = 0
        self._reached = 0  # how far sessions before the present one were sent
        self._resumed = 0  # where the present one began

    def take(self, told: Event | Retry | Report) -> None:
        """Count what was told, but for turns."""
        family = self._family
        if isinstance(told, Over):
            self._take_over(told)
        elif isinstance(told, Opened):
            family.sessions_open.inc()
            family.connect.observe(max(0.0, told.seconds - self._waited))
            self._waited = 0.0
        elif isinstance(told, Resumed):
            self._resumed, self._reached = told.sample, max(self._reached, told.sent)
            self._again = self._reached - told.sample
        elif isinstance(told, Retry):
            failure = told.failure
            labels = cause_of(failure), code_of(failure), *family.labels
            instruments.RECONNECTS.labels(*labels).inc()
        elif isinstance(told, CaughtUp):
            family.catch_up.observe(told.seconds)
        elif isinstance(told, Admitted):
            self._waited = told.seconds
            family.admission_wait.observe(told.seconds)
        elif isinstance(told, SilenceSkipped):
            family.skipped.inc(self._seconds(told))
            self._pass_over(told)
        elif isinstance(told, AudioLost):
            family.lost.inc(self._seconds(told))
            if told.why == NOT_SENT:
                self._pass_over(told)

    def take_final(self, turn: Turn) -> None:
        """Count a turn that is final."""
        if turn.transcript:
            self._family.turns.inc()
        if turn.words:
            ring = self._protocol.ring
            behind = ring.written / ring.sample_rate - turn.words[-1].end / 1000
            self._family.final_delay.observe(max(0.0, behind))

    def sample(self) -> None:
        """Bring what is a sum over time up to date."""
        protocol, family = self._protocol, self._family
        ring = protocol.ring
        # In 1024ths of a second, of which sums are exact: it goes back to 0.
        buffer = (ring.written - ring.acked) * 1024 // ring.sample_rate / 1024
        family.buffer.inc(buffer - self._buffer)
        self._buffer = buffer
        replayed = self._again_before
        if (session := protocol.lineup.listening) is not None:
            replayed += min(session.timeline.samples, self._again)
        replayed = max(replayed, self._replayed)
        sent = protocol.lineup.heard_samples - replayed
        family.sent.inc((sent - self._sent) / ring.sample_rate)
        family.replayed.inc((replayed - self._replayed) / ring.sample_rate)
        self._sent, self._replayed = sent, replayed

    def end(self) -> None:
        """The stream is over."""
        self.sample()
        self._family.buffer.inc(-self._buffer)
        self._family.streams.dec()

    def _take_over(self, over: Over) -> None:
        family = self._family
        instruments.SESSIONS.labels(over.outcome.value, *family.labels).inc()
        if over.failure is not None:
            instruments.ERRORS.labels(code_of(over.failure), *family.labels).inc()
        if over.began_at is None:
            self._waited = 0.0
            return
        family.sessions_open.dec()
        sent = round(over.audio_seconds * self._protocol.ring.sample_rate)
        if sent:  # it was no standby
            self._again_before += min(sent, self._again)
            self._again = 0

    def _pass_over(self, told: AudioLost | SilenceSkipped) -> None:
        """Nobody is sent that again."""
        start = max(told.start_sample, self._resumed)
        end = min(told.end_sample, self._reached)
        self._again = max(0, self._again - max(0, end - start))

    def _seconds(self, told: AudioLost | SilenceSkipped) -> float:
        samples = told.end_sample - told.start_sample
        return samples / self._protocol.ring.sample_rate
