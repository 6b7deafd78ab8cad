"""What a stream could not have transcribed, it tells."""

from __future__ import annotations

import pytest

from aai_stream.errors import (
    RefusedError,
)
from aai_stream.messages import (
    AudioLost,
)
from tests.servers import until, within
from tests.talks import (
    SECOND,
    Server,
    Talk,
    Waits,
    collect,
    collect_until,
    connect,
    final,
    impatient,
    lost_after,
    turn,
    well,
)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    return impatient(monkeypatch)


async def test_what_was_pushed_too_long_ago_is_told(waits: Waits) -> None:
    server = Server(lost_after(1000, final(0, ("a", 0, 1000))), well)
    async with (
        server.serve() as url,
        connect(base_url=url, replay_seconds=1) as stream,
    ):
        waits.then = lambda: stream.push(SECOND * 3)
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        await within(5, stream.end())
        (lost,) = [e for e in await collect(stream) if isinstance(e, AudioLost)]
        stats = stream.stats
    assert (lost.start_ms, lost.end_ms) == (1000, 3000)
    assert (lost.start_sample, lost.end_sample) == (16_000, 48_000)
    assert stats.dropped_samples == 32_000
    assert server.talks[1].audio == SECOND


async def test_what_an_open_turn_had_is_told(waits: Waits) -> None:
    server = Server(lost_after(1000, turn(0, ("a", 200, 1000))), well)
    async with (
        server.serve() as url,
        connect(base_url=url, replay_seconds=1) as stream,
    ):
        waits.then = lambda: stream.push(SECOND)
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        await within(5, stream.end())
        (lost,) = [e for e in await collect(stream) if isinstance(e, AudioLost)]
    assert (lost.start_ms, lost.end_ms) == (0, 1000)
    assert lost.why == "it was too long ago to be sent again"


async def test_what_a_silent_session_had_is_told(waits: Waits) -> None:
    """It took audio, said nothing and was lost: for example half open."""
    server = Server(lost_after(1000), well)
    async with (
        server.serve() as url,
        connect(base_url=url, replay_seconds=1) as stream,
    ):
        waits.then = lambda: stream.push(SECOND)
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        await within(5, stream.end())
        lost = [e for e in await collect(stream) if isinstance(e, AudioLost)]
    assert [(e.start_ms, e.end_ms) for e in lost] == [(0, 1000)]


async def test_what_was_lost_is_told_before_the_failure(waits: Waits) -> None:
    server = Server(lost_after(1000, final(0, ("a", 0, 1000))), (401, {}))
    async with (
        server.serve() as url,
        connect(base_url=url, replay_seconds=1) as stream,
    ):
        waits.then = lambda: stream.push(SECOND * 3)
        stream.push(SECOND)
        seen, _ = await collect_until(stream, RefusedError)
    lost = [(e.start_ms, e.end_ms) for e in seen if isinstance(e, AudioLost)]
    assert lost == [(1000, 3000), (3000, 4000)]


async def test_all_turns_that_were_never_ended_are_told() -> None:
    async def act(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(1000)
        await talk.say(
            turn(0, ("a", 0, 100)), final(1, ("b", 200, 300)), turn(2, ("c", 400, 500))
        )
        await talk.finish()

    server = Server(act)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await within(5, stream.end())
        lost = [e for e in await collect(stream) if isinstance(e, AudioLost)]
    assert [(e.start_ms, e.end_ms) for e in lost] == [(0, 200), (300, 1000)]
