"""One stream's spans: each session, its connect, and what it is sent again.

Imported where OpenTelemetry's API is in use, see `reporter`. They lie under the span
that was current when the stream began: in LiveKit, the agent's.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer

from ..protocol.events import CaughtUp, Opened, Outcome, Over, Resumed, Retry
from ..version import __version__
from .labels import cause_of

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from ..messages import Event
    from ..protocol.events import Report
    from ..protocol.stream import StreamProtocol

SESSION = "stt.session"
CONNECT = "stt.connect"
REPLAY = "stt.replay"


class Spans:
    """Makes spans of what a stream tells; `now` is a moment by its loop's clock."""

    def __init__(self, protocol: StreamProtocol, host: str) -> None:
        self._tracer = _tracer()
        self._context = context.get_current()
        self._protocol = protocol
        self._host = host
        self._retries = 0
        self._sessions: dict[str, Span] = {}  # that are open
        self._replay: tuple[str, Span] | None = None  # and whose it is
        self._over: tuple[str, Span] | None = None  # the session that was so last

    def take(self, told: Event | Retry | Report, now: float) -> None:
        """The stream tells this."""
        if isinstance(told, Opened):
            self._take_opened(told)
        elif isinstance(told, Resumed):
            self._take_resumed(told)
        elif isinstance(told, CaughtUp):
            self._end_replay(told.session)
        elif isinstance(told, Over):
            self._take_over(told, now)
        elif isinstance(told, Retry):
            self._retries += 1

    def _take_opened(self, told: Opened) -> None:
        end = time.time_ns()
        start = end - round(told.seconds * 1e9)
        attributes = {
            **self._attributes(),
            "gen_ai.response.model": told.model,
            "gen_ai.response.id": told.session,
            "lk.provider_request_ids": [told.session],
        }
        span = self._start(SESSION, self._context, start, attributes)
        inside = trace.set_span_in_context(span, self._context)
        self._start(CONNECT, inside, start, self._attributes()).end(end)
        self._sessions[told.session] = span

    def _take_resumed(self, told: Resumed) -> None:
        span = self._sessions.get(told.session)
        if span is None or told.sample >= told.sent:
            return
        rate = self._protocol.ring.sample_rate
        links = []
        if self._over is not None and self._over[0] == told.after:
            links.append(Link(self._over[1].get_span_context()))
        replay = self._tracer.start_span(
            REPLAY,
            context=trace.set_span_in_context(span, self._context),
            links=links,
            attributes={"aai_stream.audio_seconds": (told.sent - told.sample) / rate},
        )
        self._replay = told.session, replay

    def _end_replay(self, session: str) -> None:
        if self._replay is not None and self._replay[0] == session:
            self._replay[1].end()
            self._replay = None

    def _take_over(self, told: Over, now: float) -> None:
        end = time.time_ns()
        if told.began_at is None:
            if told.outcome is Outcome.NOT_OPENED:
                start = end - round((now - told.asked_at) * 1e9)
                attributes = self._attributes()
                span = self._start(CONNECT, self._context, start, attributes)
                _fail(span, told)
                span.end(end)
            return
        self._end_replay(told.session)
        found = self._sessions.pop(told.session, None)
        if found is None:
            return
        _fail(found, told)
        found.set_attribute("aai_stream.audio_seconds", told.audio_seconds)
        found.end(end)
        self._over = told.session, found

    def _start(
        self,
        name: str,
        parent: context.Context,
        start: int,
        attributes: dict[str, AttributeValue],
    ) -> Span:
        return self._tracer.start_span(
            name,
            context=parent,
            kind=SpanKind.CLIENT,
            start_time=start,
            attributes=attributes,
        )

    def _attributes(self) -> dict[str, AttributeValue]:
        return {
            "gen_ai.operation.name": "transcribe",
            "gen_ai.provider.name": "assemblyai",
            "gen_ai.request.model": self._protocol.options.model({}),
            "server.address": self._host,
            "lk.retry_count": self._retries,
        }


def _fail(span: Span, over: Over) -> None:
    """Say what became of it; why, only by kind."""
    span.set_attribute("aai_stream.outcome", over.outcome.value)
    if over.failure is None:
        return
    cause = cause_of(over.failure)
    span.set_attribute("error.type", cause)
    code = getattr(over.failure, "code", None)
    if code is not None:
        span.set_attribute("aai_stream.code", code)
    span.set_status(Status(StatusCode.ERROR, cause))


def _tracer() -> Tracer:
    """LiveKit's where that is in use: an agent may give it a provider of its own."""
    livekit = sys.modules.get("livekit.agents.telemetry")
    if livekit is not None:
        tracer: Tracer = livekit.tracer
        return tracer
    return trace.get_tracer("aai_stream", __version__)
