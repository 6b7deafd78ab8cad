"""One session takes over from another before that expires."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import pytest

import aai_stream
from aai_stream import mint_token
from aai_stream.emulator.clock import LoopClock, Timer
from aai_stream.emulator.engines.marked import MarkedEngine, check_marked, marked_audio
from aai_stream.emulator.server import Emulator, Service
from aai_stream.messages import AudioLost, Begin, Event, Heartbeat
from tests.servers import until, within
from tests.talks import (
    PER_MS,
    SECOND,
    Server,
    Talk,
    Waits,
    assert_heard,
    collect,
    connect,
    connect_formatting,
    final,
    impatient,
    turn,
    turns_of,
    well,
)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    monkeypatch.setattr("aai_stream.protocol.lineup.SHORTEST_SECONDS", 0)
    return impatient(monkeypatch)


def soon() -> int:
    """An `expires_at` for which a successor is opened within a second."""
    return math.ceil(time.time() + 0.2)


def next_is_ready(stream: aai_stream.Stream) -> bool:
    """Whether the stream could move on, or has."""
    return stream._protocol.lineup.standby is not None or stream.stats.sessions > 1


async def test_before_it_expires_another_session_takes_over() -> None:
    audio = marked_audio(14)
    first, second = (audio[: ms * 16] for ms in (1360 + 960, 2 * (1260 + 1000) + 60))
    in_turn = len(first) + 400 * 16
    async with (
        Emulator(MarkedEngine(), service=Service(max_session_seconds=2)) as server,
        connect(base_url=server.url) as stream,
    ):
        stream.push(audio[:in_turn])
        await until(lambda: next_is_ready(stream))
        assert stream.stats.sessions == 1  # a turn is open
        stream.push(audio[in_turn : len(second)])
        await until(lambda: stream.stats.sessions == 2)
        await until(lambda: server.sessions == 1)  # the old one was terminated
        stream.push(audio[len(second) :])
        await within(5, stream.end())
        turns = turns_of(await collect(stream))
        assert stream.stats.sent_samples == stream.stats.written_samples
    finals = [t for t in turns if t.end_of_turn]
    words = [(w.text, w.start) for t in finals for w in t.words]
    assert check_marked(words, count=14) == []
    assert [t.turn_order for t in finals] == [0, 1, 2]


class LateClock(LoopClock):
    """Of a server that opens each session 58 s after its begin, so to speak."""

    def unix(self) -> float:
        return super().unix() - 58

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        return super().call_later(seconds - 58 if seconds > 58 else seconds, call)


async def test_before_a_token_s_longest_session_is_over() -> None:
    """No less than a minute; of which two seconds are left here."""
    minted: list[str] = []

    async def mint() -> str:
        minted.append(
            await mint_token(
                api_key="k", base_url=server.url, max_session_duration_seconds=60
            )
        )
        return minted[-1]

    audio = marked_audio(10)
    half = (1360 + 900) * 16
    async with (
        Emulator(MarkedEngine(), clock=LateClock()) as server,
        connect(api_key=None, token=mint, base_url=server.url) as stream,
    ):
        stream.push(audio[:half])
        await until(lambda: stream.stats.sessions == 2)
        stream.push(audio[half:])
        await within(5, stream.end())
        turns = turns_of(await collect(stream))
    words = [(w.text, w.start) for t in turns if t.is_final for w in t.words]
    assert check_marked(words, count=10) == []
    assert len(minted) >= 2


@pytest.mark.parametrize("end", ["expired", "expired in a turn", "cut"])
async def test_in_a_noise_it_takes_over_when_the_old_one_has_expired(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What that had time to speak about, and did not, is not heard again."""
    # As if pushed live: it was worked through long ago.
    monkeypatch.setattr("aai_stream.protocol.hearing.SETTLED_SECONDS", -10)
    monkeypatch.setattr("aai_stream.protocol.hearing.MARGIN_SECONDS", 0)
    monkeypatch.setattr("aai_stream.protocol.coverage.LATE_SECONDS", 0)

    async def first(talk: Talk) -> None:
        await talk.begin(expires_at=soon())
        await talk.hear(3000)
        await until(lambda: next_is_ready(stream))
        counts = {"total_audio_received_ms": 0, "total_duration_ms": 0}
        await talk.say({"type": "Heartbeat", "realtime_factor": 1.0, **counts})
        await until(lambda: any(isinstance(e, Heartbeat) for e in events))
        assert stream.stats.sessions == 1  # it would hear all of it again
        if end == "expired in a turn":
            await talk.say(turn(0, ("a", 1600, 1800)))
        if end == "cut":
            talk.cut()
        else:
            await talk.socket.close(code=3008)

    server = Server(first, well)
    events: list[Event] = []

    async def listen() -> None:
        async for event in stream:
            events.append(event)

    async with (
        server.serve() as url,
        connect(base_url=url, replay_seconds=1.5) as stream,
    ):
        listening = asyncio.ensure_future(listen())
        for _ in range(3):
            stream.push(SECOND)
        await until(lambda: stream.stats.sessions == 2)
        await within(5, stream.end())
        await listening
    lost = [e for e in events if isinstance(e, AudioLost)]
    if end == "expired":
        assert_heard(server.talks[1], SECOND[PER_MS * 50 :])  # known by the second
        assert lost == []
    else:
        assert_heard(server.talks[1], SECOND[-PER_MS * 500 :] + SECOND)
        assert [(e.start_ms, e.end_ms) for e in lost] == [(0, 1500)]


@pytest.mark.parametrize("then", ["a turn", "the end"])
async def test_of_the_old_session_nothing_more_is_told(then: str) -> None:
    """Not even what came together with the final that it was left for."""

    async def first(talk: Talk) -> None:
        await talk.begin(expires_at=soon())
        await talk.hear(1000)
        await talk.say(turn(0, ("a", 0, 300)))
        await until(lambda: next_is_ready(stream))
        await talk.say(final(0, ("a", 0, 300)))
        if then == "a turn":
            await talk.say(final(1, ("b", 400, 500)))
            await talk.finish()
        else:
            await talk.say({"type": "Termination"})

    async def second(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(600)
        await talk.say(final(0, ("b", 400 - 300, 160)))
        await talk.finish()

    server = Server(first, second, well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2 and len(server.talks[1].heard) > 9)
        await within(5, stream.end())
        turns = turns_of(await collect(stream))
    assert [t.transcript for t in turns if t.end_of_turn] == ["a", "b"]
    assert server.requests == 2


async def test_the_successor_hears_what_was_not_covered() -> None:
    """And says no second Begin of its own accord before it is needed."""

    async def first(talk: Talk) -> None:
        await talk.begin(expires_at=soon())
        await talk.hear(1000)
        await talk.say(turn(0, ("a", 0, 300)))
        await until(lambda: next_is_ready(stream))
        await talk.say(final(0, ("a", 0, 300)))
        await talk.finish()

    server = Server(first, well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        stream.update(prompt="a clinic")
        await until(lambda: stream.stats.sessions == 2)
        stream.update(prompt="a shop")
        await within(5, stream.end())
        assert sum(isinstance(e, Begin) for e in await collect(stream)) == 2
    assert server.talks[0].commands[-1] == {"type": "Terminate"}
    assert_heard(server.talks[1], SECOND[300 * PER_MS :])
    assert server.talks[1].request.query["prompt"] == "a clinic"
    assert server.talks[1].commands == [
        {"type": "UpdateConfiguration", "prompt": "a shop"},
        {"type": "Terminate"},
    ]


async def test_a_successor_takes_over_from_a_session_that_expires(
    waits: Waits,
) -> None:
    """In an open turn: the expired one could not be left in peace."""

    async def first(talk: Talk) -> None:
        await talk.begin(expires_at=soon())
        await talk.hear(1000)
        await talk.say(turn(0, ("a", 0, 300)))
        await until(lambda: next_is_ready(stream))
        await talk.socket.close(code=3008)

    server = Server(first, well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await until(lambda: stream.stats.sessions == 2)
        await within(5, stream.end())
    assert server.talks[1].audio == SECOND
    assert server.requests == 2


async def test_a_successor_that_waits_hears_what_changes_the_meaning_of_a_turn() -> (
    None
):
    """Without `format_turns` a first end is the last word on a turn."""

    async def first(talk: Talk) -> None:
        await talk.begin(expires_at=soon())
        await talk.hear(1000)
        await talk.say(turn(0, ("a", 0, 300)))
        await until(lambda: next_is_ready(stream))
        stream.update(format_turns=False)
        await talk.next()
        await talk.say(turn(0, ("a", 0, 300), end_of_turn=True))
        await talk.finish()

    async def second(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(600)
        await talk.say(turn(0, ("b", 60, 160), end_of_turn=True))
        await talk.finish()

    server = Server(first, second)
    async with (
        server.serve() as url,
        connect_formatting(base_url=url) as stream,
    ):
        stream.push(SECOND)
        await until(lambda: stream.stats.turns == 2)
        session = stream._protocol.session
        assert session is not None
        assert session.turns.is_idle
        await within(5, stream.end())
