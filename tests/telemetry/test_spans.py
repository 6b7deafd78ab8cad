"""Spans of sessions, as OpenTelemetry's own SDK takes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from aai_stream.emulator.engines.marked import MarkedEngine
from aai_stream.emulator.server.emulator import Emulator
from aai_stream.errors import RefusedError
from aai_stream.livekit import STT
from tests.runs import RATE, Run
from tests.servers import until
from tests.telemetry.exported import Exported, exporting
from tests.telemetry.test_metrics import call, calling

pytestmark = pytest.mark.usefixtures("impatience")


@pytest.fixture
def exported() -> Iterator[Exported]:
    """What is exported in this test."""
    with exporting() as made:
        yield made


def attributes_of(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def context_of(span: ReadableSpan) -> trace.SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


async def test_a_call(exported: Exported) -> None:
    with exported.provider.get_tracer("agent").start_as_current_span("agent") as agent:
        await calling(speech_model="universal-3-6-pro")
    session, connect = exported.one("stt.session"), exported.one("stt.connect")
    assert exported.names == ["stt.connect", "stt.session", "agent"]
    assert session.parent == agent.get_span_context()
    assert connect.parent == context_of(session)
    assert session.start_time == connect.start_time
    assert connect.end_time is not None
    assert session.end_time is not None
    assert session.end_time >= connect.end_time
    told = attributes_of(session)
    assert told["gen_ai.provider.name"] == "assemblyai"
    assert told["gen_ai.request.model"] == "universal-3-6-pro"
    assert told["gen_ai.response.model"] == "universal-3-6-pro"
    assert told["lk.provider_request_ids"] == (told["gen_ai.response.id"],)
    assert told["server.address"] == "127.0.0.1"
    assert told["aai_stream.outcome"] == "ended"
    assert told["lk.retry_count"] == 0
    assert isinstance(told["aai_stream.audio_seconds"], float)
    assert session.status.status_code is StatusCode.UNSET


async def test_an_outage(exported: Exported) -> None:
    """The replay lies in the new session, and points to the one that was lost."""
    await calling("reset,at=1300ms,on=1", "status,code=503,on=2")
    lost, ended = exported.all("stt.session")
    assert lost.status.status_code is StatusCode.ERROR
    told = attributes_of(lost)
    assert (told["error.type"], told["aai_stream.code"]) == ("dropped", 1006)
    assert told["aai_stream.outcome"] == "lost"
    replay = exported.one("stt.replay")
    assert replay.parent == context_of(ended)
    (link,) = replay.links
    assert link.context == context_of(lost)
    assert attributes_of(ended)["lk.retry_count"] == 2
    first, refused, third = exported.all("stt.connect")
    assert refused.parent is None
    assert attributes_of(refused)["aai_stream.code"] == 503
    assert refused.status.status_code is StatusCode.ERROR
    assert first.status.status_code is third.status.status_code is StatusCode.UNSET


async def test_a_refusal(exported: Exported) -> None:
    with pytest.raises(RefusedError):
        await calling("status,code=401")
    connect = exported.one("stt.connect")
    assert attributes_of(connect)["error.type"] == "refused"
    assert exported.names == ["stt.connect"]


async def test_a_replay_that_a_loss_cuts_short(exported: Exported) -> None:
    run = Run(catch_up_rate=1.25)
    first = await run.open()
    for _ in range(5):
        run.push(RATE)
    first.end(1011)
    await until(lambda: len(run.connector.wires) == 2)
    await until(lambda: run.protocol.lineup.is_open)
    assert exported.all("stt.replay") == []
    run.wire.end(1011)
    assert len(exported.all("stt.replay")) == 1
    await run.runner.close()
    sessions = exported.all("stt.session")
    assert [attributes_of(one)["aai_stream.outcome"] for one in sessions][:2] == [
        "lost",
        "lost",
    ]


async def test_the_plugin(exported: Exported) -> None:
    """Under the span in which its stream was made."""
    tracer = exported.provider.get_tracer("agent")
    async with Emulator(MarkedEngine()) as server:
        stt = STT(base_url=server.url, api_key="k", model="universal-3-6-pro")
        with tracer.start_as_current_span("agent") as agent:
            stream = stt.stream()
        await until(lambda: stream.session_id is not None)
        await stream.aclose()
        await stt.aclose()
    session = exported.one("stt.session")
    assert session.parent == agent.get_span_context()
    assert attributes_of(session)["aai_stream.outcome"] == "closed"


async def test_without_a_provider() -> None:
    """OpenTelemetry's own API makes nothing of it."""
    async with Emulator(MarkedEngine()) as server:
        assert await call(server.url)


async def test_without_livekit(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider is the program's."""
    with monkeypatch.context() as patched:
        patched.delitem(sys.modules, "livekit.agents.telemetry")
        patched.setattr(trace, "get_tracer", exported.provider.get_tracer)
        await calling()
    assert exported.names == ["stt.connect", "stt.session"]
    scope = exported.one("stt.session").instrumentation_scope
    assert scope is not None
    assert scope.name == "aai_stream"
