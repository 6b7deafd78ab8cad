"""What OpenTelemetry's SDK is given of spans, in a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from livekit.agents import telemetry
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Exported:
    """What has ended so far."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.exporter.get_finished_spans()]

    def all(self, name: str) -> list[ReadableSpan]:
        spans = self.exporter.get_finished_spans()
        return [span for span in spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.all(name)
        return span


@contextmanager
def exporting() -> Iterator[Exported]:
    """Of LiveKit's tracer, which an agent gives a provider."""
    made = Exported()
    before = telemetry.tracer._tracer_provider
    telemetry.set_tracer_provider(made.provider)
    try:
        yield made
    finally:
        telemetry.tracer.set_provider(before)
        made.provider.shutdown()
