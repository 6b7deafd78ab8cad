"""A model that the account may not use: a Begin, and 3005 some seconds later."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions, APIStatusError
from livekit.agents.stt import AvailabilityChangedEvent, FallbackAdapter

from aai_stream.errors import RefusedError
from aai_stream.livekit import STT
from tests.livekit.fakes import OtherSTT, finals
from tests.servers import until, within
from tests.talks import (
    SECOND,
    Act,
    Server,
    Talk,
    Waits,
    closed_with,
    collect,
    connect,
    impatient,
    turn,
    well,
)

MODEL = "universal-3-7-pro"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    return impatient(monkeypatch)


async def cancelling(talk: Talk) -> None:
    """As it was seen, but sooner."""
    await talk.begin(configuration={"model": MODEL})
    await talk.hear(500)
    error = {"error_code": 3005, "error": "Session Cancelled: An error occurred"}
    await talk.say({"type": "Error", **error})
    await talk.socket.close(code=3005, message=b"See Error message for details")


@pytest.mark.parametrize("act", [cancelling, closed_with(3005)], ids=["later", "soon"])
async def test_a_stream_ends_with_a_clear_error(act: Act) -> None:
    server = Server(act)
    async with server.serve() as url:
        stream = connect(base_url=url, speech_model=MODEL)
        stream.push(SECOND)
        with pytest.raises(RefusedError, match=f"model {MODEL} lasts.*account"):
            async with stream:
                await collect(stream)
        await stream.aclose()
    assert server.requests == 3


async def test_a_turn_shows_that_the_model_works() -> None:
    async def act(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(500)
        await talk.say(turn(0, ("so", 100, 200)))
        await talk.socket.close(code=3005)

    server = Server(cancelling, cancelling, act, cancelling, cancelling, well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await until(lambda: server.requests == 6)
        await within(5, stream.end())


async def test_livekit_does_not_try_again() -> None:
    server = Server(cancelling)
    async with server.serve() as url:
        options = APIConnectOptions(max_retry=9, retry_interval=0)
        stream = STT(base_url=url, api_key="k").stream(conn_options=options)
        stream.push_frame(rtc.AudioFrame(SECOND, 16_000, 1, 16_000))
        with pytest.raises(APIStatusError, match=f"model {MODEL} lasts") as caught:
            async for _ in stream:
                pass
        await stream.aclose()
    assert (caught.value.status_code, caught.value.retryable) == (3005, False)
    assert server.requests == 3


async def test_livekit_falls_back_to_another() -> None:
    server = Server(cancelling)
    async with server.serve() as url:
        ours = STT(base_url=url, api_key="k")
        # It would try ours ten times.
        adapter = FallbackAdapter(
            [ours, OtherSTT()], max_retry_per_stt=9, retry_interval=0
        )
        changes: asyncio.Queue[AvailabilityChangedEvent] = asyncio.Queue()
        adapter.on("stt_availability_changed", changes.put_nowait)
        async with adapter.stream() as stream:
            frame = rtc.AudioFrame(SECOND, 16_000, 1, 16_000)
            stream.push_frame(frame)
            gone = await within(5, changes.get())
            assert gone == AvailabilityChangedEvent(ours, False)
            stream.push_frame(frame)
            assert await within(5, anext(finals(stream))) == "other"
        await within(5, adapter.aclose())
