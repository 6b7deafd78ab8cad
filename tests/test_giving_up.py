"""When a stream whose sessions are lost is given up, and when it goes on."""

from __future__ import annotations

import asyncio

import pytest

from aai_stream._core import Pacer
from aai_stream.errors import (
    BusyError,
    DroppedError,
    RefusedError,
    RejectedError,
    SessionError,
)
from aai_stream.protocol.pace import slow_down
from tests.servers import until, within
from tests.talks import (
    PER_MS,
    SECOND,
    Act,
    Refusal,
    Server,
    Waits,
    all_events,
    assert_heard,
    closed_with,
    collect,
    collect_until,
    connect,
    final,
    impatient,
    lost_after,
    others,
    turn,
    turns_of,
    well,
)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    return impatient(monkeypatch)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (closed_with(1011, after_ms=1000), DroppedError),
        (lost_after(1), DroppedError),
        (lost_after(1000), DroppedError),
        (lost_after(1000, turn(0, ("a", 0, 100))), DroppedError),
    ],
    ids=["closed", "cut at once", "cut", "in a turn"],
)
async def test_sessions_that_open_and_die_again_and_again(
    act: Act, kind: type[SessionError]
) -> None:
    server = Server(act)
    async with server.serve() as url, connect(base_url=url, max_retries=3) as stream:
        stream.push(SECOND)
        with pytest.raises(kind, match="gave up after 4 attempts") as caught:
            await collect(stream)
        assert isinstance(caught.value.code, int)
        with pytest.raises(kind):
            stream.push(SECOND)
        with pytest.raises(kind):
            await stream.drain()
        with pytest.raises(kind):
            await stream.end()
    assert server.requests == 4


async def test_too_many_sessions_for_longer_than_audio_is_kept() -> None:
    server = Server(closed_with(3009, after_ms=1000))
    async with (
        server.serve() as url,
        connect(base_url=url, max_retries=3, replay_seconds=1) as stream,
    ):
        stream.push(SECOND)
        with pytest.raises(BusyError, match="gave up after 4 attempts"):
            await collect(stream)
    assert server.requests >= 4


async def test_sessions_that_die_as_they_open() -> None:
    server = Server(closed_with(1011))
    async with server.serve() as url:
        stream = connect(base_url=url, max_retries=3)
        with pytest.raises(DroppedError, match="gave up after 4 attempts"):
            await stream.__aenter__()
        await stream.aclose()
    assert server.requests == 4


async def test_long_waits_are_no_long_life(
    waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aai_stream.protocol.stream.PROGRESS_SECONDS", 0.02)
    waits.really = 0.03
    server = Server(closed_with(1011, after_ms=1000))
    async with server.serve() as url, connect(base_url=url, max_retries=2) as stream:
        stream.push(SECOND)
        reading = asyncio.ensure_future(all_events(stream))
        await until(lambda: reading.done() or server.requests > 5)
        reading.cancel()
        await asyncio.wait([reading])
    assert server.requests == 3


async def test_a_full_ring_is_no_progress() -> None:
    server = Server(closed_with(1011, after_ms=1200))
    async with (
        server.serve() as url,
        connect(base_url=url, max_retries=2, replay_seconds=1) as stream,
    ):
        stopped = False
        while not stopped and server.requests < 6:
            try:
                stream.push(SECOND[:1600])
            except DroppedError:
                stopped = True
            await asyncio.sleep(0)
    assert server.requests == 3


async def test_a_final_restores_the_budget() -> None:
    got_on = [lost_after(200 * (5 - k), final(0, ("a", 0, 200))) for k in range(5)]
    server = Server(*got_on, lost_after(0))
    async with server.serve() as url, connect(base_url=url, max_retries=1) as stream:
        stream.push(SECOND)
        with pytest.raises(DroppedError, match="gave up after 2"):
            await collect(stream)
        assert stream.stats.turns == 5
    assert server.requests == 6


async def test_a_long_life_restores_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aai_stream.protocol.stream.PROGRESS_SECONDS", 0.0)
    server = Server(*[lost_after(1000)] * 5, well)
    async with server.serve() as url, connect(base_url=url, max_retries=1) as stream:
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 6)
        await within(5, stream.end())


@pytest.mark.parametrize(
    ("refusal", "kind", "code"),
    [
        ((401, {}), RefusedError, 401),
        ((403, {}), RefusedError, 403),
        ((400, {}), RejectedError, 400),
        (closed_with(3006), RejectedError, 3006),
        (closed_with(1008), RefusedError, 1008),
    ],
)
async def test_what_is_refused_when_it_reconnects_is_final(
    refusal: Act | Refusal, kind: type[SessionError], code: int
) -> None:
    server = Server(lost_after(1000, final(0, ("a", 0, 100))), refusal)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        seen, failure = await collect_until(stream, kind)
        assert failure.code == code
        assert len(turns_of(seen)) == 1  # what was said before is still told
        with pytest.raises(kind):
            stream.push(SECOND)
    assert server.requests == 2


async def test_the_first_connect_is_tried_again_too(waits: Waits) -> None:
    server = Server((503, {}), (503, {"Retry-After": "7"}), (429, {}), well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await within(5, stream.end())
        assert stream.stats.sessions == 1
    assert server.talks[0].audio == SECOND
    assert waits.seconds == [0, 7, 0]


async def test_the_first_connect_is_given_up_as_well() -> None:
    server = Server((503, {}))
    async with server.serve() as url:
        stream = connect(base_url=url, max_retries=2)
        with pytest.raises(DroppedError, match="gave up after 3") as caught:
            await within(5, stream.__aenter__())
    assert caught.value.code == 503
    assert server.requests == 3
    assert not others()


async def test_retry_after_is_honoured_when_it_reconnects(waits: Waits) -> None:
    server = Server(lost_after(1000), (503, {"Retry-After": "42"}), well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        await within(5, stream.end())
    assert waits.seconds == [0, 42]


async def test_too_fast_is_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    slowed: list[int] = []

    def watched(pacer: Pacer) -> None:
        slowed.append(server.requests)
        slow_down(pacer)

    monkeypatch.setattr("aai_stream.protocol.stream.slow_down", watched)
    audio = SECOND[: 200 * PER_MS]
    server = Server(
        closed_with(3007, 200), lost_after(100), closed_with(3007, 100), well
    )
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(audio)
        await until(lambda: len(server.talks) == 4)
        await within(5, stream.end())
    assert slowed == [1, 3]
    assert_heard(server.talks[3], audio)
