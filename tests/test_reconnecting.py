"""A stream whose sessions are lost: what the next one hears, and calls meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from aai_stream.errors import (
    DroppedError,
    SessionError,
    UnfinishedError,
)
from aai_stream.messages import (
    AudioLost,
    Begin,
    LLMGatewayResponse,
    SpeechStarted,
    Turn,
)
from aai_stream.stats import StreamStats
from aai_stream.stream import END_RETRIES
from tests.servers import until, within
from tests.talks import (
    PER_MS,
    SECOND,
    Server,
    Talk,
    Waits,
    assert_heard,
    begins_when,
    closed_with,
    collect,
    connect,
    connect_formatting,
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


# ---- what the next session is sent ----


@pytest.mark.parametrize(
    ("said", "from_ms"),
    [
        ((), 0),
        ((turn(0, ("a", 100, 300)),), 0),
        ((final(0, ("a", 100, 300)),), 300),
        (
            (final(0, ("a", 100, 300)), turn(1, ("b", 400, 600))),
            300,
        ),
        ((final(0, ("a", 100, 1000)),), 1000),
    ],
    ids=["nothing", "a partial", "a final", "a final and a partial", "all"],
)
async def test_the_replay_begins_at_the_first_sample_that_is_not_covered(
    said: tuple[dict[str, Any], ...], from_ms: int
) -> None:
    server = Server(lost_after(1000, *said), well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        stream.push(SECOND[:3200])
        await within(5, stream.end())
        stats = stream.stats
    whole = SECOND + SECOND[:3200]
    assert server.talks[0].audio == SECOND
    assert_heard(server.talks[1], whole[from_ms * PER_MS :])
    assert stats.sent_samples == stats.written_samples
    assert stats.sessions == 2
    heard = len(server.talks[0].audio + server.talks[1].audio)
    assert stats.heard_seconds == heard / 32_000


async def test_turns_are_counted_on_and_timed_by_one_clock() -> None:
    async def second(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(500)
        await talk.say(
            {"type": "SpeechStarted", "timestamp": 50},
            turn(0, ("b", 60, 160)),
            final(0, ("b", 60, 160)),
            {"type": "LLMGatewayResponse", "turn_order": 0},
            final(1, ("c", 300, 400)),
        )
        await talk.finish()

    first = lost_after(1000, final(0, ("a", 100, 300)), turn(1, ("b", 400, 500)))
    server = Server(first, second, well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        await within(5, stream.end())
        events = await collect(stream)
        assert stream.stats.turns == 3
    later = 300
    assert [
        (t.turn_order, t.end_of_turn, t.words[0].start, t.words[0].end)
        for t in turns_of(events)
    ] == [
        (0, True, 100, 300),
        (1, False, 400, 500),
        (1, False, later + 60, later + 160),
        (1, True, later + 60, later + 160),
        (2, True, later + 300, later + 400),
    ]
    assert [e.timestamp for e in events if isinstance(e, SpeechStarted)] == [later + 50]
    assert [e.turn_order for e in events if isinstance(e, LLMGatewayResponse)] == [1]
    assert sum(isinstance(e, Begin) for e in events) == 2
    assert not [e for e in events if isinstance(e, AudioLost)]


async def test_live_changes_are_in_the_next_handshake(waits: Waits) -> None:
    go = asyncio.Event()
    server = Server(lost_after(1000), begins_when(go))
    async with (
        server.serve() as url,
        connect(base_url=url, prompt="a shop", keyterms_prompt=["x"]) as stream,
    ):
        stream.update(prompt="a clinic")
        # While there is no session at all, …
        waits.then = lambda: stream.update(keyterms_prompt=["Zoe"])
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        stream.update(agent_context="Hello?")  # … and while one is opened.
        go.set()
        await within(5, stream.end())
    first, second = server.talks
    assert first.request.query["prompt"] == "a shop"
    assert second.request.query["prompt"] == "a clinic"
    assert second.request.query["keyterms_prompt"] == '["Zoe"]'
    assert "agent_context" not in second.request.query
    assert second.commands == [
        {"type": "UpdateConfiguration", "agent_context": "Hello?"},
        {"type": "Terminate"},
    ]


async def test_pushes_and_endpoints_wait_for_the_next_session(waits: Waits) -> None:
    server = Server(lost_after(1000), well)
    async with server.serve() as url, connect(base_url=url) as stream:

        def meanwhile() -> None:
            stream.push(SECOND[:8000])
            stream.force_endpoint()
            stream.push(SECOND[:1600])

        waits.then = meanwhile
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        await within(5, stream.end())
    second = server.talks[1]
    endpoint = second.heard.index({"type": "ForceEndpoint"})
    before, after = second.heard[:endpoint], second.heard[endpoint + 1 : -1]
    assert b"".join(before) == SECOND + SECOND[:8000]
    assert b"".join(after) == SECOND[:1600]


async def test_an_endpoint_that_was_not_answered_is_asked_for_again() -> None:
    async def first(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(1000)
        while not talk.commands:
            await talk.next()
        talk.cut()

    server = Server(first, well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        stream.force_endpoint()
        await until(lambda: len(server.talks) == 2)
        await within(5, stream.end())
    assert {"type": "ForceEndpoint"} in server.talks[1].commands


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(
            [turn(0, ("a", 0, 300), end_of_turn=True)],
            id="before the formatted one",
        ),
        pytest.param(
            [turn(0, ("a", 0, 300), end_of_turn=True), final(0, ("A.", 0, 300))],
            id="behind it",
        ),
    ],
)
async def test_a_formatted_final_comes_exactly_once(
    again: list[dict[str, Any]],
) -> None:
    pair = [turn(0, ("a", 0, 300), end_of_turn=True), final(0, ("A.", 0, 300))]

    async def second(talk: Talk) -> None:
        await talk.begin()
        if len(again) == 1:
            await talk.say(*pair)
        await talk.finish()

    server = Server(lost_after(1000, *again), second)
    turns, _ = await formatted_by_two(server)
    assert [t.transcript for t in turns if t.turn_is_formatted] == ["A."]


async def formatted_by_two(server: Server) -> tuple[list[Turn], StreamStats]:
    """What is told of a second of audio that two sessions hear, and format."""
    async with server.serve() as url, connect_formatting(base_url=url) as stream:
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        await within(5, stream.end())
        return turns_of(await collect(stream)), stream.stats


async def test_a_turn_cut_before_its_formatted_final_keeps_its_number() -> None:
    pair = [turn(0, ("a", 0, 300), end_of_turn=True), final(0, ("A.", 0, 300))]

    async def second(talk: Talk) -> None:
        await talk.begin()
        await talk.say(*pair)
        await talk.finish()

    server = Server(lost_after(1000, pair[0]), second)
    turns, stats = await formatted_by_two(server)
    assert stats.turns == 1
    assert [t.turn_order for t in turns] == [0, 0, 0]


async def test_a_turn_that_is_never_formatted_keeps_its_number() -> None:
    """In a session that is not the stream's first, so that numbers are moved."""

    async def second(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(500)
        await talk.say(
            turn(0, ("b", 0, 100), end_of_turn=True),
            turn(1, ("c", 200, 300), end_of_turn=True),
            final(1, ("C.", 200, 300)),
        )
        await talk.finish()

    server = Server(lost_after(1000, final(0, ("A.", 0, 300))), second)
    turns, _ = await formatted_by_two(server)
    assert [(t.turn_order, t.transcript, t.is_final) for t in turns] == [
        (0, "A.", True),
        (1, "b", False),
        (2, "c", False),
        (1, "b", True),
        (2, "C.", True),
    ]


@pytest.mark.parametrize("switched", ["on by extra_params", "off meanwhile"])
async def test_each_turn_is_final_once(switched: str) -> None:
    async def act(talk: Talk) -> None:
        await talk.begin()
        await talk.hear(500)
        await talk.say(turn(0, ("a", 0, 300)))
        while switched == "off meanwhile" and not talk.commands:
            await talk.next()
        # The server was on its way with the formatted one.
        await talk.say(turn(0, ("a", 0, 300), end_of_turn=True))
        await talk.say(final(0, ("A.", 0, 300)))
        await talk.finish()

    asked: dict[str, Any] = {"format_turns": True}
    if switched == "on by extra_params":
        asked = {"extra_params": {"format_turns": "true"}}
    server = Server(act)
    model = "universal-streaming-english"
    async with (
        server.serve() as url,
        connect(base_url=url, speech_model=model, **asked) as stream,
    ):
        stream.push(SECOND)
        async for event in stream:
            if isinstance(event, Turn):
                break
        if switched == "off meanwhile":
            stream.update(format_turns=False)
        await within(5, stream.end())
        turns = turns_of(await collect(stream))
    finals = [t.transcript for t in turns if t.is_final]
    assert finals == (["A."] if switched == "on by extra_params" else ["a"])


# ---- calls meanwhile ----


async def test_ending_while_it_reconnects() -> None:
    go = asyncio.Event()
    server = Server(lost_after(1000, final(0, ("a", 0, 100))), begins_when(go))
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND + SECOND[:100])
        await until(lambda: len(server.talks) == 2)
        ending = asyncio.ensure_future(stream.end())
        await asyncio.sleep(0)
        assert not ending.done()
        go.set()
        termination = await within(5, ending)
        assert (await collect(stream))[-1] is termination
        stats = stream.stats
    whole = SECOND + SECOND[:100]
    assert_heard(server.talks[1], whole[100 * PER_MS :])
    assert stats.sent_samples == stats.written_samples


async def test_a_session_that_is_lost_by_the_end_is_replaced() -> None:
    async def ends_badly(talk: Talk) -> None:
        await talk.begin()
        while not talk.commands:
            await talk.next()
        talk.cut()

    server = Server(ends_badly, ends_badly, well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await within(5, stream.end())
    assert [talk.audio for talk in server.talks] == [SECOND] * 3

    server = Server(ends_badly)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        with pytest.raises(DroppedError, match=f"gave up after {END_RETRIES + 1} "):
            await within(5, stream.end())
    assert server.requests == END_RETRIES + 1


async def test_two_sessions_that_do_not_end_are_enough() -> None:
    async def never_ends(talk: Talk) -> None:
        await talk.begin()
        while await talk.next():
            pass

    server = Server(never_ends)
    async with (
        server.serve() as url,
        connect(base_url=url, close_timeout=0.1, max_retries=10) as stream,
    ):
        stream.push(SECOND)
        with pytest.raises(UnfinishedError):
            await within(5, stream.end())
    assert server.requests == 2


async def test_ending_when_two_sessions_die_at_once() -> None:
    """The second as it begins, while it still counts as being opened."""
    server = Server(closed_with(3005, 1000), closed_with(3005), well)
    async with server.serve() as url:
        try:
            async with connect(base_url=url) as stream:
                stream.push(SECOND)
                await until(lambda: server.requests == 2)
                await within(5, stream.end())
        finally:
            await until(lambda: not server.open)
    assert server.talks[-1].audio == SECOND


async def test_the_end_comes_within_bounds(waits: Waits) -> None:
    server = Server(lost_after(1000), (503, {"Retry-After": "86400"}), well)
    async with (
        server.serve() as url,
        connect(base_url=url, close_timeout=0.1) as stream,
    ):
        stream.push(SECOND)
        with contextlib.suppress(SessionError):
            await within(5, stream.end())
    assert max(waits.seconds) < 3600


async def test_draining_across_a_lost_session(
    waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = asyncio.Event()
    server = Server(lost_after(1000), begins_when(go))
    async with server.serve() as url, connect(base_url=url) as stream:
        waits.then = lambda: stream.push(SECOND * 2)
        stream.push(SECOND)
        await until(lambda: len(server.talks) == 2)
        drains: list[bool] = []
        drain = stream._feed.drain

        async def counted() -> None:
            drains.append(True)
            await drain()

        monkeypatch.setattr(stream._feed, "drain", counted)
        draining = asyncio.ensure_future(stream.drain())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not draining.done()
        assert len(drains) == 1  # it doesn't ask again and again
        go.set()
        await within(5, draining)
        assert stream.stats.sent_samples == 48_000
        await within(5, stream.end())


async def test_iterating_just_waits() -> None:
    go = asyncio.Event()
    server = Server(lost_after(1000, final(0, ("a", 0, 100))), begins_when(go))
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        told = [type(await anext(stream)).__name__ for _ in "12"]
        assert told == ["Begin", "Turn"]
        following = asyncio.ensure_future(anext(stream))
        await until(lambda: len(server.talks) == 2)
        assert not following.done()
        go.set()
        assert isinstance(await within(5, following), Begin)


@pytest.mark.parametrize(
    "opening",
    [
        False,
        True,
    ],
)
async def test_closing_while_it_reconnects_leaves_nothing(
    opening: bool, waits: Waits
) -> None:
    server = Server(lost_after(1000), begins_when(asyncio.Event()))
    async with server.serve() as url, connect(base_url=url) as stream:
        servers = others()
        if not opening:
            waits.really = 3600
        stream.push(SECOND)
        if opening:
            await until(lambda: len(server.talks) == 2)
        else:
            await until(lambda: bool(waits.seconds))
        await within(5, stream.aclose())
        left = {task for task in others() - servers if "_reconnect" in repr(task)}
        await collect(stream)
        assert not left
