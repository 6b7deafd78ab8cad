"""A server that says anything: only our own errors escape, and the stream lives on."""

from __future__ import annotations

import asyncio
import copy
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from livekit.agents import APIConnectOptions
from livekit.agents.stt import SpeechEventType

import aai_stream
from aai_stream import messages
from aai_stream.connection.wire import Owner
from aai_stream.errors import EndedError, MessageError
from aai_stream.livekit import STT
from aai_stream.messages import Turn, Word
from aai_stream.protocol.events import LostTurn
from aai_stream.protocol.turns import MISSING_SECONDS, Turns
from tests.frames import frames_to
from tests.servers import (
    BEGIN,
    begin_then,
    terminate_when_asked,
    until,
    websocket_server,
    within,
)

FINAL = SpeechEventType.FINAL_TRANSCRIPT

WORD = {
    "text": "hello",
    "start": 100,
    "end": 300,
    "confidence": 0.9,
    "word_is_final": True,
    "speaker": "A",
}
TURN = {
    "type": "Turn",
    "turn_order": 0,
    "turn_is_formatted": False,
    "end_of_turn": True,
    "transcript": "hello",
    "end_of_turn_confidence": 0.9,
    "words": [WORD, WORD],
    "utterance": "hello",
    "language_code": "en",
    "language_confidence": 0.9,
    "speaker_label": "A",
}
VALID: list[dict[str, Any]] = [
    {**BEGIN, "configuration": {"model": "universal-3-6-pro"}},
    {"type": "SpeechStarted", "timestamp": 100, "confidence": 1.0},
    TURN,
    {**TURN, "end_of_turn": False},
    {**TURN, "turn_order": 1},
    {"type": "Error", "error_code": 3005, "error": "no"},
    {"error": "no"},
    {"type": "Warning", "warning_code": 1, "warning": "careful"},
    {
        "type": "Heartbeat",
        "total_audio_received_ms": 50,
        "total_duration_ms": 50,
        "realtime_factor": 1.0,
        "max_speech_probability": 0.5,
    },
    {"type": "Silence", "start_ms": 0, "end_ms": 1000},
    {
        "type": "SpeakerRevision",
        "revisions": [{"turn_order": 0, "speaker_label": "B", "words": [WORD]}],
    },
    {
        "type": "LLMGatewayResponse",
        "turn_order": 0,
        "transcript": "x",
        "data": {"a": 1},
    },
    {"type": "Tomorrow", "news": [1, 2]},
]
TERMINATION = {
    "type": "Termination",
    "audio_duration_seconds": 1,
    "session_duration_seconds": 1,
}

# ---- what may come ----

numbers = (
    st.integers()
    | st.sampled_from([2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400])
    | st.floats()
    | st.sampled_from([1e308, -1e308, 5e-324])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner)
    ),
    max_leaves=8,
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@st.composite
def mutated(draw: st.DrawFn, valid: list[dict[str, Any]]) -> dict[str, Any]:
    """A valid message of which some parts are wrong, missing or of another type."""
    message: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 3))):
        node: Any = message
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], (dict, list)) and draw(st.booleans()):
                node = node[key]
                continue
            if draw(st.booleans()):
                node[key] = draw(values)
            else:
                del node[key]
            break
    return message


def as_json(message: Any) -> bytes:
    return json.dumps(message).encode()


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """A valid message with a stretch of its bytes replaced."""
    text = as_json(draw(st.sampled_from(VALID)))
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    return text[:start] + draw(st.binary(max_size=8)) + text[end:]


texts = st.binary(max_size=80) | torn() | mutated(VALID).map(as_json)

DEEP = {"type": "LLMGatewayResponse", "turn_order": 1.5, "data": nested(600)}
DEEPER = b'{"type":"New","x":' + b"[" * 100_000
NESTED_TURN = as_json({**TURN, "words": nested(300)})


# ---- decode ----


@given(texts)
@example(DEEPER)
@example(NESTED_TURN)
@example(as_json({**TURN, "turn_order": 10**400}))
@example(as_json({**BEGIN, "expires_at": 1e308}))
@example(b"\xff\xfe{")
@example(b'{"type":"Turn","words":[{"text":"\\ud800"}]}')
def test_decode_gives_a_message_or_a_message_error(text: bytes) -> None:
    try:
        event = messages.decode(text)
    except MessageError:
        return
    assert isinstance(event, messages.Event)


def test_decode_of_something_deep() -> None:
    test_decode_gives_a_message_or_a_message_error.hypothesis.inner_test(  # type: ignore[attr-defined]
        as_json(DEEP)
    )


def test_a_turn_of_too_many_words() -> None:
    def turn(words: int) -> bytes:
        return as_json({**TURN, "words": [WORD] * words})

    decoded = messages.decode(turn(10_000))
    assert isinstance(decoded, Turn)
    assert len(decoded.words) == 10_000
    with pytest.raises(MessageError, match="words"):
        messages.decode(turn(10_001))


# ---- a stream, without a socket ----


class FakeWire:
    """A wire that swallows what it is given; its server is the test."""

    silent_seconds = 0.0

    def __init__(self, owner: Owner) -> None:
        self.frames = frames_to(lambda audio: None, self._read)
        self.say = owner.received
        self._owner: Owner | None = owner

    def _read(self, text: bytes) -> None:
        if b"Terminate" in text:
            asyncio.get_running_loop().call_soon(self.say, as_json(TERMINATION))

    async def close(self) -> None:
        if self._owner is not None:
            owner, self._owner = self._owner, None
            owner.closed(1000, "")


@asynccontextmanager
async def fake_wires(begin: bytes) -> AsyncIterator[list[FakeWire]]:
    """All sessions are opened on fake wires, which are in the list then."""
    wires: list[FakeWire] = []

    async def open_fake(
        url: str, headers: Mapping[str, str], owner: Owner, **options: Any
    ) -> FakeWire:
        loop = asyncio.get_running_loop()
        loop.call_soon(owner.received, begin)
        if wires:  # one that replaces another begins well
            loop.call_soon(owner.received, as_json(GOOD))
        wires.append(FakeWire(owner))
        return wires[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aai_stream.connection.wire.picows.open_wire", open_fake)
        patch.setattr("aai_stream.client.uniform", lambda low, high: 0.0)
        patch.setattr("aai_stream.protocol.turns.MISSING_SECONDS", 0)
        yield wires


GOOD = {**TURN, "turn_order": 77_777, "transcript": "all is well"}


async def tell(
    texts: list[bytes], begin: bytes = as_json(BEGIN), retries: int = 0
) -> None:
    """Open a stream, tell it `texts` and a good Turn, see that it tells that.

    Nothing of it may end a session, but with `retries` a turn may that has no end.
    """
    async with (
        fake_wires(begin) as wires,
        aai_stream.connect(
            api_key="k", base_url="ws://127.0.0.1:9", max_retries=retries
        ) as stream,
    ):
        stream.push(bytes(32_000))
        for text in [*texts, as_json(GOOD)]:
            wires[0].say(text)

        async def good_turn() -> None:
            async for event in stream:
                if isinstance(event, Turn) and event.transcript == "all is well":
                    return
            pytest.fail("the good turn was not told")

        await within(5, good_turn())
        await within(5, stream.end())
    assert 1 <= len(wires) <= 1 + retries


@given(st.lists(texts, max_size=8))
@example([as_json({**BEGIN, "expires_at": 10**400})])
@example([as_json({**TURN, "turn_order": 2**63 - 1}), as_json(TURN)])
@example([as_json({**TURN, "words": [{**WORD, "end": 1e308}]})])
@example([as_json({**TURN, "words": [{**WORD, "start": 2**62, "end": -(2**62)}]})])
@example([as_json(TURN)] * 5)
async def test_the_stream_lives_on(texts: list[bytes]) -> None:
    await tell(texts)


@settings(max_examples=40)
@given(st.lists(mutated(VALID[2:5]).map(as_json), max_size=8), st.integers(0, 1))
async def test_the_stream_survives_any_turns(texts: list[bytes], retries: int) -> None:
    await tell(texts, retries=retries)


def is_begin(text: bytes) -> bool:
    try:
        return isinstance(messages.decode(text), messages.Begin)
    except MessageError:
        return False


begins = mutated([{**BEGIN, "configuration": {"model": "x", "sample_rate": 16_000}}])


@given(begins.map(as_json).filter(is_begin))
@example(as_json({**BEGIN, "expires_at": 2**53}))
@example(as_json({**BEGIN, "expires_at": -(2**53)}))
@example(as_json({**BEGIN, "expires_at": 0.5}))
@example(as_json({**BEGIN, "expires_at": 0}))
@example(as_json({**BEGIN, "expires_at": "soon"}))
@example(as_json({**BEGIN, "expires_at": 10**18}))
@example(as_json({**BEGIN, "expires_at": 253_402_300_799}))
@example(as_json({**BEGIN, "expires_at": True}))
@example(as_json({**BEGIN, "expires_at": [7]}))
@example(as_json({**BEGIN, "id": 7, "configuration": "x"}))
@example(as_json({**BEGIN, "id": None, "configuration": {"sample_rate": [{}]}}))
async def test_any_begin(begin: bytes) -> None:
    await tell([], begin)


@pytest.mark.parametrize("name", ["start", "end"])
async def test_words_of_another_age(name: str) -> None:
    """Numbers of hundreds of digits can't be reckoned with."""
    turn = as_json({**TURN, "words": [{**WORD, name: 10**400}]})
    await tell_plugin([turn])
    with pytest.raises(MessageError):
        messages.decode(turn)


@given(mutated([TERMINATION]).map(as_json))
async def test_a_termination_that_nobody_asked_for(text: bytes) -> None:
    async with (
        fake_wires(as_json(BEGIN)) as wires,
        aai_stream.connect(api_key="k", base_url="ws://127.0.0.1:9") as stream,
    ):
        wires[0].say(text)
        wires[0].say(as_json(GOOD))
        try:
            async for event in stream:
                if isinstance(event, Turn):
                    break
        except EndedError:
            assert isinstance(messages.decode(text), messages.Termination)


@given(st.lists(texts, max_size=8))
@example([as_json({**TURN, "language_code": "x" * 50, "speaker_label": ""})])
@example([as_json({**TURN, "language_code": "_-_"})])
@example([as_json({**TURN, "words": [{**WORD, "end": 1e308}], "utterance": "x"})])
@example([as_json({"type": "SpeechStarted", "timestamp": 1e308})])
async def test_the_plugin_lives_on(texts: list[bytes]) -> None:
    await tell_plugin(texts)


async def tell_plugin(texts: list[bytes]) -> None:
    """As `tell` does with a stream."""
    async with fake_wires(as_json(BEGIN)) as wires:
        stt = STT(api_key="k", base_url="ws://127.0.0.1:9", sample_rate=8000)
        stream = stt.stream(conn_options=APIConnectOptions(max_retry=0))
        await until(lambda: bool(stream.session_id))
        for text in [*texts, as_json(GOOD)]:
            wires[0].say(text)
        async for event in stream:
            heard = event.alternatives[0].text if event.alternatives else ""
            if event.type == FINAL and heard == "all is well":
                break
        else:
            pytest.fail("the good turn was not told")
        await stream.aclose()
    assert len(wires) == 1


# ---- a stream on a socket ----

HOSTILE: list[bytes | str] = [
    "garbage",
    "",
    "null",
    "[]",
    "5",
    b"binary",
    b"",
    '{"type":"Turn","turn_order":"first"}',
    '{"type":null}',
    DEEPER.decode(),
    json.dumps({**TURN, "words": [{"text": "x"}] * 10_001}),
    json.dumps(BEGIN),
    '{"type":"Turn","turn_order":1e400}',
]


async def told_to(
    *hostile: bytes | str, first: Callable[[web.WebSocketResponse], Any] | None = None
) -> tuple[list[Any], aai_stream.StreamStats]:
    """What a stream tells of a server that says `hostile` and then a good Turn.

    The first session, with `first`, is as that does, and the second says the rest.
    """
    sessions = 0

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        nonlocal sessions
        sessions += 1
        await begin_then(socket)
        if first is not None and sessions == 1:
            await first(socket)
            return
        for message in hostile:
            if isinstance(message, bytes):
                await socket.send_bytes(message)
            else:
                await socket.send_str(message)
        await socket.send_json(GOOD)
        await terminate_when_asked(socket)

    async with (
        websocket_server(handler) as url,
        aai_stream.connect(api_key="k", base_url=url) as stream,
    ):
        events = []
        async for event in stream:
            events.append(event)
            if isinstance(event, Turn):
                break
        await within(5, stream.end())
        return events, stream.stats


async def test_a_hostile_server_on_a_socket() -> None:
    events, stats = await told_to(*HOSTILE)
    assert [type(event).__name__ for event in events] == ["Begin", "Begin", "Turn"]
    assert stats.malformed_messages == len(HOSTILE) - 3  # Begin and what is binary
    assert stats.sessions == 1


async def _too_long(socket: web.WebSocketResponse) -> None:
    await socket.send_str(json.dumps({**TURN, "transcript": "x" * 1024 * 1024}))
    await socket.receive()


async def _bad_frame(socket: web.WebSocketResponse) -> None:
    assert socket._writer is not None
    socket._writer.transport.write(b"\xf3\xff\0\0\0")
    await socket.receive()


async def _bad_utf8_reason(socket: web.WebSocketResponse) -> None:
    await socket.close(code=3005, message=b"\xff\xfe")


@pytest.mark.parametrize("first", [_too_long, _bad_frame, _bad_utf8_reason])
async def test_what_no_websocket_says_costs_a_connection(
    first: Callable[[web.WebSocketResponse], Any],
) -> None:
    events, stats = await told_to(first=first)
    assert [type(event).__name__ for event in events] == ["Begin", "Begin", "Turn"]
    assert stats.sessions == 2


# ---- turns in any order ----


def turn(order: int, words: int, *, end: bool = False) -> Turn:
    """What an honest server tells of a turn of at most 9 words."""
    start = 10_000 * order
    spoken = [
        Word(text=f"{order}.{k}", start=start + 100 * k, end=start + 100 * k + 90)
        for k in range(words)
    ]
    text = " ".join(word.text for word in spoken)
    return Turn(
        turn_order=order,
        transcript=text,
        words=spoken,
        end_of_turn=end,
        is_final=end,
    )


GIVE_UP, GIVE_ALL_UP = -1, -2
steps = st.lists(
    st.tuples(st.integers(GIVE_ALL_UP, 12), st.integers(1, 9), st.booleans()),
    max_size=60,
)


@given(steps)
@example([(0, 1, False), (1, 2, True), (1, 1, False), (0, 2, True)])
def test_turns_that_come_in_any_order(steps: list[tuple[int, int, bool]]) -> None:
    """Lost, doubled or exchanged: each final is told once, none before an earlier turn
    that is open, no partial behind its final; all when nobody waits any more."""
    turns = Turns()
    came: set[int] = set()  # finals
    told: set[int] = set()
    still_open: set[int] = set()
    for order, words, end in [*steps, (GIVE_UP, 0, False)]:
        ready: list[Turn | LostTurn] = []
        if order == GIVE_ALL_UP:
            still_open.clear()
            ready += turns.finish(0, 60_000)
        elif order == GIVE_UP:
            last = max(came - told, default=0)
            still_open = {o for o in still_open if o >= last}
            ready += turns.check(MISSING_SECONDS, 60_000)
        else:
            ready += turns.take(turn(order, 9 if end else words, end=end), 0)
            if end:
                came.add(order)
            elif order not in came:
                still_open.add(order)
        still_open -= came
        for one in ready:
            if isinstance(one, LostTurn):
                continue
            assert one.turn_order not in told
            assert one.end_of_turn or one.turn_order not in came
            if one.end_of_turn:
                told.add(one.turn_order)
                assert not any(o < one.turn_order for o in still_open)
        if order < 0:
            assert told == came
            assert turns.deadline == math.inf
        assert turns.is_idle == (told == came and not still_open)


def test_a_final_that_comes_again_much_later() -> None:
    turns = Turns()
    for order in range(18):
        assert turns.take(turn(order, 2, end=True), 0)
    assert turns.take(turn(0, 2, end=True), 0) == []


wild_turns = st.builds(
    Turn,
    turn_order=st.integers(-2, 3) | st.integers(),
    transcript=st.sampled_from(["", "a", "b"]),
    words=st.lists(
        st.builds(Word, start=st.integers(), end=st.integers(-5, 5) | st.integers()),
        max_size=3,
    ),
    end_of_turn=st.booleans(),
)


@given(st.lists(st.tuples(wild_turns, st.booleans()) | st.none(), max_size=40))
def test_turns_that_contradict_themselves(
    steps: list[tuple[Turn, bool] | None],
) -> None:
    """Nothing breaks, and no final waits for ever."""
    turns = Turns()
    told: list[Turn] = []
    finals: list[Turn] = []
    for step in [*steps, None]:
        if step is None:
            ended = turns.finish(0, 60_000)
            told += [t for t in ended if isinstance(t, Turn)]
            assert {f.turn_order for f in finals} <= {t.turn_order for t in told}
            continue
        one, formatted = step
        one.is_final = one.end_of_turn and formatted
        if one.is_final:
            finals.append(one)
        told += turns.take(one, 0)
    assert len([t for t in told if t.is_final]) <= len(steps)
    assert turns.deadline == math.inf
    assert turns.finish(0, 60_000) == []
