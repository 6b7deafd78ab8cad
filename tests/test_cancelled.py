"""A model that the account may not use: a Begin, and 3005 some seconds later."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions, APIStatusError
from livekit.agents.stt import AvailabilityChangedEvent, FallbackAdapter

from aai_stream.errors import (
    DroppedError,
    EndedError,
    RefusedError,
    SessionError,
)
from aai_stream.livekit import STT
from aai_stream.protocol.retry import SOON_SECONDS, Cancellations
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

CANCELLED = DroppedError("Session Cancelled: An error occurred", code=3005)
MODEL = "universal-3-7-pro"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    return impatient(monkeypatch)


Session = tuple[SessionError | None, float, bool]
"""What it ended with, how long it lasted, whether it told a turn."""
SOON: Session = (CANCELLED, 5.0, False)


@pytest.mark.parametrize(
    "other",
    [
        (None, 5.0, False),
        (DroppedError("the line", code=1006), 5.0, False),
        (EndedError("of inactivity", code=3006), 5.0, False),
        (CANCELLED, SOON_SECONDS + 1, False),
        (CANCELLED, 5.0, True),
    ],
)
def test_what_else_ends_a_session_counts_for_nothing(other: Session) -> None:
    assert judge([SOON, SOON, other, SOON, SOON]) == [
        *(CANCELLED, CANCELLED, other[0], CANCELLED, CANCELLED)
    ]


def test_the_third_in_a_row_is_final() -> None:
    at_first, at_last = judge([SOON, (CANCELLED, SOON_SECONDS, False), SOON])[1:]
    assert at_first is CANCELLED
    assert type(at_last) is RefusedError
    assert not at_last.retryable
    assert at_last.code == 3005
    assert MODEL in str(at_last)
    assert "account" in str(at_last)
    assert "Session Cancelled" in str(at_last)


def judge(sessions: Sequence[Session]) -> list[SessionError | None]:
    cancellations = Cancellations()
    return [
        cancellations.judge(failure, model=MODEL, seconds=seconds, told=told)
        for failure, seconds, told in sessions
    ]


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
