"""Settings and fixtures that every test shares."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest
import uvloop
from hypothesis import settings

from aai_stream.connection import limiter, watchdog
from aai_stream.protocol import coverage, hearing, retry
from tests.wires import Way, trusting_http_session, trusting_machine

# The same examples every time, and no deadline: the machine may be busy.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")


def pytest_collection_finish() -> None:
    """What has been imported stays: looking for garbage need not look there."""
    gc.freeze()


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own event loop; for tests with the mark `every_loop` also uvloop's."""
    factories = {"asyncio": asyncio.new_event_loop}
    if item.get_closest_marker("every_loop"):
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture(autouse=True)
def _sessions_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test counts another's sessions, nor those of whoever runs the tests."""
    # A limiter's thread, which ends with the process, may be writing there to the last.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        monkeypatch.delenv("AAI_STREAM_BUDGET", raising=False)
        monkeypatch.delenv("AAI_STREAM_RECORD", raising=False)
        # LiveKit's watch over event loops: on a busy machine its reports hold them up.
        monkeypatch.setenv("LIVEKIT_AGENTS_LOOP_BLOCK_WARN_MS", "0")
        monkeypatch.setattr(limiter, "_limiters", {})
        yield


@pytest.fixture(
    params=[("picows", False), ("picows", True), ("aiohttp", False), ("aiohttp", True)],
    ids=["picows", "picows-tls", "aiohttp", "aiohttp-tls"],
)
async def way(request: pytest.FixtureRequest) -> AsyncIterator[Way]:
    """Each wire, without and with TLS, on a machine that trusts the tests' CA."""
    kind, tls = request.param
    async with trusting_http_session() as session:
        with trusting_machine():
            yield Way(tls, session if kind == "aiohttp" else None)


@pytest.fixture(params=["picows", "aiohttp"])
async def http_session(
    request: pytest.FixtureRequest,
) -> AsyncIterator[aiohttp.ClientSession | None]:
    """The `http_session` to connect with: None for picows."""
    if request.param == "picows":
        yield None
        return
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again soon."""
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(retry, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(retry, "FIRST_BUSY_SECONDS", 0.02)
    monkeypatch.setattr(retry, "LONGEST_BUSY_SECONDS", 0.2)


@pytest.fixture
def short_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon a server has had time to say what it hears, and a turn should have ended."""
    monkeypatch.setattr(watchdog, "ASK_SECONDS", 0.3)
    monkeypatch.setattr(watchdog, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(hearing, "SETTLED_SECONDS", 0.2)
    monkeypatch.setattr(hearing, "MARGIN_SECONDS", 0.2)
    monkeypatch.setattr(coverage, "OVERDUE_SECONDS", 0.5)
