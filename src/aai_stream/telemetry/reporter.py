"""What becomes of a stream, for those who watch: one reporter for each."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from ..messages import Event, Turn
from ..protocol.events import Note, Opened, Report, Retry
from .labels import cause_of, region_of
from .loops import this_loops_watched

if TYPE_CHECKING:
    from ..protocol.stream import StreamProtocol
    from .counting import Counting
    from .loops import Watched
    from .spans import Spans

logger = logging.getLogger("aai_stream")


class Reporter:
    """Logs what a stream tells, counts it, and shows it to whoever looks.

    Metrics are kept where `prometheus_client` is loaded when the stream begins: then
    somebody wants them, and to load it costs nothing. Likewise spans, where
    OpenTelemetry's API is. `host` is the server's.

    Attributes:
        name: of the stream, in logs and in `aai-stream top`; ours, and random.
        protocol: the stream.
        region: where its server is.
        turn_at: when a turn with words was told last, by the loop's clock; None before.
        began_at: when the stream began, likewise.
        retries: sessions that were asked for in place of those that failed.
        counting: the stream's part in the metrics, if they are kept.
    """

    def __init__(self, protocol: StreamProtocol, host: str) -> None:
        self.name = os.urandom(4).hex()
        self.protocol = protocol
        self.region = region_of(host)
        self._host = host
        self.turn_at: float | None = None
        self.began_at = 0.0
        self.retries = 0
        self.counting: Counting | None = None
        self._spans: Spans | None = None
        self._watched: Watched | None = None

    def begin(self) -> None:
        """The stream begins, on the running loop."""
        if sys.modules.get("prometheus_client") is not None:
            from .counting import Counting

            self.counting = Counting(self.protocol, self.region)
        if sys.modules.get("opentelemetry.trace") is not None:
            from .spans import Spans

            self._spans = Spans(self.protocol, self._host)
        self._watched = this_loops_watched()
        self.began_at = self._watched.loop.time()
        self._watched.add(self)

    def end(self) -> None:
        """The stream has told all."""
        if self._watched is None:
            return
        self._watched.remove(self)
        self._watched = None
        if self.counting is not None:
            self.counting.end()

    def take(self, told: Event | Retry | Report, now: float) -> None:
        """The stream tells this."""
        counting = self.counting
        if type(told) is Turn:
            if told.words:
                self.turn_at = now
            if told.is_final and counting is not None:
                counting.take_final(told)
            return
        if isinstance(told, Note):
            fields = self.fields(told.session, told.failure, told.seconds)
            logger.log(told.level, "%s", told.text, extra=fields)
        elif isinstance(told, Retry):
            self.retries += 1
            fields = self.fields(told.session, told.failure, told.seconds)
            text = "%s; trying again in %.1f s"
            logger.warning(text, told.failure, told.seconds, extra=fields)
        elif isinstance(told, Opened):
            text = "session %s is open: %s, expires at %s"
            said = told.session, told.model, told.expires_at
            fields = self.fields(told.session, None, told.seconds)
            logger.info(text, *said, extra=fields)
        if counting is not None:
            counting.take(told)
        if self._spans is not None:
            self._spans.take(told, now)

    def fields(
        self,
        session: str | None = None,
        failure: Exception | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """A log record's `extra`; the session is the present one if not given."""
        if session is None:
            session = self.protocol.session_id
        return {
            "stream": self.name,
            "session": session or None,
            "code": getattr(failure, "code", None),
            "cause": None if failure is None else cause_of(failure),
            "seconds": seconds,
        }
