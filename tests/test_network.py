"""A bad network: what is pushed is heard once, in order and in time, or told as lost.

The audio says its own word numbers; a proxy does to the connection what networks do.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError
from livekit.agents.stt import SpeechEventType

import aai_stream
from aai_stream.connection.wire import picows
from aai_stream.emulator.engines.marked import (
    DAMAGE,
    MarkedEngine,
    MarkedLayout,
    check_marked,
    marked_audio,
)
from aai_stream.emulator.engines.markings import WORD_MS
from aai_stream.emulator.server import Emulator
from aai_stream.livekit import STT, ServerMessage, SpeechStream
from aai_stream.messages import AudioLost, Event, Turn
from tests.proxy import Link, Proxy, Way
from tests.servers import until, within

RATE = 8000
LAYOUT = MarkedLayout(words_per_turn=2, turn_gap_ms=200, lead_ms=20)
COUNT = 4
AUDIO = marked_audio(COUNT, sample_rate=RATE, layout=LAYOUT)
HEARD_MS = WORD_MS + 20  # the server tells the last word of a turn by what follows it
DEAD_AFTER = 0.3

# Half the bytes of PCM, so that there are fewer to cut at.
SMALL: dict[str, Any] = {"api_key": "k", "sample_rate": RATE, "encoding": "pcm_mulaw"}

connect = partial(aai_stream.connect, **SMALL, catch_up_rate=math.inf)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before trying again, or for goodbyes that can't come."""
    monkeypatch.setattr("aai_stream.client.uniform", lambda low, high: 0.0)
    monkeypatch.setattr("aai_stream.connection.wire.CLOSE_SECONDS", 0.05)


@pytest.fixture
def _short_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux lets a socket's buffer grow with the speed that its peer had lately, until
    it takes a whole test's audio; one that was set stays."""
    connect = picows._connect

    async def connect_with_a_short_buffer(host: str, port: int) -> socket.socket:
        sock = await connect(host, port)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return sock

    monkeypatch.setattr(picows, "_connect", connect_with_a_short_buffer)


@pytest.fixture(autouse=True)
async def _leaves_no_task() -> AsyncIterator[None]:
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        await asyncio.wait(left, timeout=10)
    assert not [task for task in left if not task.done()]


@asynccontextmanager
async def bad_line() -> AsyncIterator[Proxy]:
    """The way to an embedded server that hears marked audio."""
    async with Emulator(MarkedEngine()) as server, Proxy(server.url) as proxy:
        yield proxy


async def all_events(stream: aai_stream.Stream) -> list[Event]:
    """Of a stream that is about to end: what it says until then."""
    ending = asyncio.ensure_future(stream.end())
    events = [event async for event in stream]
    await ending
    return events


async def speak(url: str, **options: Any) -> list[Event]:
    """Say all of `AUDIO` and give what is told."""
    async with connect(base_url=url, **options) as stream:
        stream.push(AUDIO)
        await stream.drain()
        return await all_events(stream)


async def speak_to_livekit(
    url: str, *, timeout: float = 5.0, **options: Any
) -> list[tuple[str, int]]:
    """Likewise by the plugin; gives the words of final transcripts."""
    stt = STT(**SMALL, base_url=url, catch_up_rate=math.inf, **options)
    patience = APIConnectOptions(max_retry=5, retry_interval=0.01, timeout=timeout)
    stream = stt.stream(conn_options=patience)
    pcm = AUDIO.tobytes()
    for at in range(0, len(pcm), 800):
        data = pcm[at : at + 800]
        stream.push_frame(rtc.AudioFrame(data, RATE, 1, len(data) // 2))
    return await rest_of(stream)


async def rest_of(stream: SpeechStream) -> list[tuple[str, int]]:
    """End the stream; gives the words of its final transcripts."""
    stream.end_input()
    words = []
    async for event in stream:
        if event.type == SpeechEventType.FINAL_TRANSCRIPT:
            for word in event.alternatives[0].words or []:
                assert isinstance(word.start_time, float)
                words.append((str(word), round(1000 * word.start_time)))
    await stream.aclose()
    return words


def finals(events: Sequence[Event]) -> list[Turn]:
    return [e for e in events if isinstance(e, Turn) and e.end_of_turn]


def words_of(events: Sequence[Event]) -> list[tuple[str, int]]:
    return [(word.text, word.start) for t in finals(events) for word in t.words]


def lost(events: Sequence[Event]) -> list[AudioLost]:
    return [event for event in events if isinstance(event, AudioLost)]


def problems(events: Sequence[Event], count: int = COUNT) -> list[str]:
    """What is wrong with the finals of a conversation that should have lost nothing."""
    wrong = check_marked(words_of(events), count=count, layout=LAYOUT)
    orders = [turn.turn_order for turn in finals(events)]
    if any(one >= other for one, other in pairwise(orders)):
        wrong.append(f"turns in the order {orders}")
    return wrong + [f"lost: {loss}" for loss in lost(events)]


# Cut


def cuts(passed: bytes, whole: int, step: int) -> list[int]:
    """Every byte up to `whole`, from there on each `step`th."""
    return [*range(whole), *range(whole, len(passed), step)]


def end_of_first_turn(down: bytes) -> int:
    start = down.index(b'"type":"Turn"')
    return down.index(b"\x81", start)  # where the next message begins


async def test_a_cut_after_any_byte_from_the_server() -> None:
    """Of the handshake, Begin and the first Turn each; then of the rest some."""
    wrong = {}
    async with bad_line() as proxy:
        assert problems(await within(5, speak(proxy.url))) == []
        down = bytes(proxy.links[0].down.passed)
        all_told = down.rindex(b"\x81", 0, down.index(b"Termination"))
        for at in cuts(down, end_of_first_turn(down), 41):
            before = len(proxy.links)
            proxy.plan(Link(down=Way(cut_after=at), reset=at % 2 == 0))
            events = await within(5, speak(proxy.url))
            assert len(proxy.links[before].down.passed) == at
            if found := problems(events):
                wrong[at] = found
            # Behind the last final nothing is missed that another session could tell,
            # unless a reset has overtaken it.
            opened = len(proxy.links) - before
            assert opened == 2 or (opened == 1 and at >= all_told)
    assert wrong == {}


async def test_a_cut_after_any_byte_from_the_client() -> None:
    """Of the handshake and the first header each; then of the audio some."""
    wrong = {}
    async with bad_line() as proxy:
        assert problems(await within(5, speak(proxy.url))) == []
        up = bytes(proxy.links[0].up.passed)
        for at in cuts(up, up.index(b"\r\n\r\n") + 4 + 8, 151):
            before = len(proxy.links)
            proxy.plan(Link(up=Way(cut_after=at), reset=at % 2 == 0))
            events = await within(5, speak(proxy.url))
            assert len(proxy.links[before].up.passed) == at
            if found := problems(events):
                wrong[at] = found
    assert wrong == {}


async def test_cut_again_and_again() -> None:
    """Each session comes a little further than the one before it."""
    async with bad_line() as proxy:
        proxy.plan(*(Link(down=Way(cut_after=100 * n)) for n in range(12)))
        async with connect(base_url=proxy.url, max_retries=12) as stream:
            stream.push(AUDIO)
            await within(10, proxy.connected(13))
            assert problems(await within(5, all_events(stream))) == []


async def test_the_plugin_survives_cuts() -> None:
    async def one(link: Link) -> list[str]:
        async with Proxy(server.url) as proxy:
            proxy.plan(link)
            words = await speak_to_livekit(proxy.url)
            assert len(proxy.links) == 2
            return check_marked(words, count=COUNT, layout=LAYOUT)

    async with Emulator(MarkedEngine()) as server:
        async with Proxy(server.url) as whole:
            assert check_marked(await speak_to_livekit(whole.url), layout=LAYOUT) == []
            said, heard = whole.links[0].down.passed, whole.links[0].up.passed
        last = said.rindex(b'"end_of_turn":true')
        down = [
            Link(down=Way(cut_after=n), reset=n % 2 == 0) for n in range(0, last, 59)
        ]
        up = [
            Link(up=Way(cut_after=n), reset=n % 2 == 0)
            for n in range(0, len(heard) - 400, 331)
        ]
        wrong = await within(30, asyncio.gather(*map(one, down + up)))
    assert wrong == [[]] * len(wrong)


@pytest.fixture
def counted_tries(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Grows whenever a stream waits to try again, which takes 1 ms then."""
    tries = []

    def draw(low: float, high: float) -> float:
        tries.append(high)
        return 0.001

    monkeypatch.setattr("aai_stream.client.uniform", draw)
    return tries


async def test_nobody_listens_for_a_while(counted_tries: list[float]) -> None:
    async with bad_line() as proxy:
        proxy.refuse()

        async def listen_again() -> None:
            tried = len(counted_tries)
            await until(lambda: len(counted_tries) > tried + 2)
            await proxy.listen()

        listening = asyncio.ensure_future(listen_again())
        async with connect(base_url=proxy.url, max_retries=10_000) as stream:
            await listening
            half = len(AUDIO) // 2
            stream.push(AUDIO[:half])
            proxy.refuse()
            proxy.links[0].cut()
            stream.push(AUDIO[half:])
            await listen_again()
            assert problems(await within(5, all_events(stream))) == []


# Pieces


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("say", [speak, speak_to_livekit])
async def test_pieces_change_nothing(size: int, say: Callable[..., Any]) -> None:
    async with bad_line() as proxy:
        whole = await within(5, say(proxy.url))
        proxy.plan(Link(Way(piece_bytes=size), Way(piece_bytes=size)))
        pieces = await within(20, say(proxy.url))
        assert len(proxy.links) == 2
    if say is speak_to_livekit:
        assert pieces == whole
    else:
        assert [e for e in pieces if isinstance(e, Turn)] == [
            e for e in whole if isinstance(e, Turn)
        ]


async def test_a_slow_line_changes_nothing() -> None:
    async with bad_line() as proxy:
        slow = Way(piece_bytes=200, delay_seconds=0.001)
        proxy.plan(Link(slow, Way(piece_bytes=40, delay_seconds=0.001)))
        assert problems(await within(10, speak(proxy.url))) == []
        assert len(proxy.links) == 1


# Half-open

STALLS: list[Callable[[Link], None]] = [
    Link.stall,
    lambda link: link.up.stall(),
    lambda link: link.down.stall(),
]
stalls = pytest.mark.parametrize("stall", STALLS, ids=["both", "up", "down"])


@stalls
@pytest.mark.parametrize("after_a_turn", [False, True])
async def test_a_half_open_socket_is_noticed(
    stall: Callable[[Link], None], after_a_turn: bool
) -> None:
    events: list[Event] = []
    half = len(AUDIO) // 2 if after_a_turn else 0
    async with (
        bad_line() as proxy,
        connect(base_url=proxy.url, dead_after=DEAD_AFTER) as stream,
    ):
        stream.push(AUDIO[:half])
        while after_a_turn and not finals(events):
            events.append(await within(5, anext(stream)))
        stall(proxy.links[0])
        stream.push(AUDIO[half:])
        # A busy machine may be late; unasked it would be noticed in ten seconds.
        await within(5 * DEAD_AFTER, proxy.connected(2))
        events += await within(5, all_events(stream))
        assert len(proxy.links) == 2
    assert problems(events) == []


@stalls
async def test_a_half_open_socket_while_it_ends(stall: Callable[[Link], None]) -> None:
    async with (
        bad_line() as proxy,
        connect(base_url=proxy.url, dead_after=DEAD_AFTER) as stream,
    ):
        stream.push(AUDIO)
        stall(proxy.links[0])
        events = await within(5, all_events(stream))
        assert len(proxy.links) == 2
    assert problems(events) == []


@pytest.mark.parametrize("at", [0, 150, 350, 500, 700, 1500])
async def test_the_plugin_notices_a_half_open_socket(at: int) -> None:
    """That stalls after so many bytes: in the handshake, Begin, a turn, …"""
    async with bad_line() as proxy:
        proxy.plan(Link(down=Way(stall_after=at)))
        words = await within(
            10, speak_to_livekit(proxy.url, timeout=2, dead_after=DEAD_AFTER)
        )
        assert len(proxy.links) == 2
    assert check_marked(words, count=COUNT, layout=LAYOUT) == []


async def test_the_plugin_gives_up_where_no_session_begins() -> None:
    async with bad_line() as proxy:
        proxy.plan(*(Link(down=Way(stall_after=0)) for _ in range(9)))
        stt = STT(**SMALL, base_url=proxy.url)
        patience = APIConnectOptions(max_retry=2, retry_interval=0.01, timeout=0.3)
        stream = stt.stream(conn_options=patience)
        stream.push_frame(rtc.AudioFrame.create(RATE, 1, 800))
        reading = asyncio.ensure_future(anext(stream))
        trying = asyncio.ensure_future(proxy.connected(4))
        await asyncio.wait([reading, trying], return_when=asyncio.FIRST_COMPLETED)
        await stream.aclose()
        trying.cancel()
        with pytest.raises(APIError):
            await reading
        assert len(proxy.links) == 3


# A server that doesn't keep up


def accounts(
    words: Sequence[tuple[str, int]],
    gone: Sequence[AudioLost],
    count: int,
    layout: MarkedLayout = LAYOUT,
) -> list[str]:
    """What is wrong if `count` words were said: each should be heard at its place, or
    told as lost, but not both."""
    wrong = []
    spans = [
        (1000 * loss.start_sample / RATE, 1000 * loss.end_sample / RATE)
        for loss in gone
    ]
    heard = []
    for text, at in words:
        name = text.lower().strip(".,?")
        if name != DAMAGE:
            number = int(name[1:])
            heard.append(number)
            if abs(layout.start_ms(number) - at) > 2:
                wrong.append(f"{name} at {at} ms")
        elif not any(start - HEARD_MS <= at <= end + 2 for start, end in spans):
            wrong.append(f"damage at {at} ms")
    if heard != sorted(set(heard)):
        wrong.append(f"heard {heard}")
    for number in range(count):
        begin = layout.start_ms(number)
        told = any(s + 1 < begin + WORD_MS and e - 1 > begin for s, e in spans)
        spoilt = any(s < begin + HEARD_MS and e > begin for s, e in spans)
        if told and number in heard:
            wrong.append(f"w{number:04} is both")
        if not spoilt and number not in heard:
            wrong.append(f"w{number:04} is neither")
    return wrong


async def talk(stream: aai_stream.Stream, audio: Any) -> None:
    """Push audio in small pieces, as fast as the loop turns."""
    for at in range(0, len(audio), RATE // 20):
        stream.push(audio[at : at + RATE // 20])
        await asyncio.sleep(0)


def incidents(caplog: pytest.LogCaptureFixture) -> int:
    return sum("audio is being lost" in r.getMessage() for r in caplog.records)


@pytest.mark.usefixtures("_short_buffer")
@pytest.mark.parametrize("replay_seconds", [1, 3])
async def test_a_server_that_stops_reading(
    replay_seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """What the ring can't keep is told by its samples, all else is heard."""
    count = 240
    audio = marked_audio(count, sample_rate=RATE, layout=LAYOUT)
    third = len(audio) // 3
    async with (
        bad_line() as proxy,
        connect(base_url=proxy.url, replay_seconds=replay_seconds) as stream,
    ):
        for part in (audio[:third], audio[third : 2 * third]):
            proxy.links[0].up.stall()
            await talk(stream, part)
            stats = stream.stats
            waits = stats.written_samples - stats.sent_samples
            assert replay_seconds - 0.05 <= waits / RATE <= replay_seconds
            # Half a second more for a push that isn't resampled yet, and a chunk.
            assert stats.memory_bytes <= 2 * RATE * (replay_seconds + 0.6)
            proxy.links[0].up.resume()
            await within(5, stream.drain())
        # The second is told again only if it comes late enough.
        assert 1 <= incidents(caplog) <= 2
        await talk(stream, audio[2 * third :])
        await within(5, stream.drain())
        events = await within(5, all_events(stream))
        stats = stream.stats
    assert accounts(words_of(events), lost(events), count) == []
    told = sum(loss.end_sample - loss.start_sample for loss in lost(events))
    assert told == stats.dropped_samples > 10 * RATE
    losses = lost(events)
    assert len(losses) >= 2  # more if buffers below took some in between
    assert all(a.end_sample < b.start_sample for a, b in pairwise(losses))
    assert len(proxy.links) == 1


async def talk_into_a_stall(proxy: Proxy, audio: Any) -> tuple[list[Event], int]:
    """Say `audio` to a server that reads none of it before its end."""
    async with connect(base_url=proxy.url, replay_seconds=2) as stream:
        (link,) = proxy.links
        link.up.stall()
        await talk(stream, audio)
        link.up.resume()
        return await all_events(stream), stream.stats.dropped_samples


@pytest.mark.usefixtures("_short_buffer")
async def test_a_server_that_reads_again_only_at_the_end() -> None:
    audio = marked_audio(120, sample_rate=RATE, layout=LAYOUT)
    async with bad_line() as proxy:
        events, dropped = await within(5, talk_into_a_stall(proxy, audio))
    assert accounts(words_of(events), lost(events), 120) == []
    assert sum(e.end_sample - e.start_sample for e in lost(events)) == dropped


@pytest.mark.usefixtures("_short_buffer")
async def test_the_plugin_tells_what_a_server_did_not_read() -> None:
    audio = marked_audio(120, sample_rate=RATE, layout=LAYOUT).tobytes()
    gone: list[AudioLost] = []

    def on_message(told: ServerMessage) -> None:
        if isinstance(told.message, AudioLost):
            gone.append(told.message)

    async with bad_line() as proxy:
        proxy.plan(Link(up=Way(stall_after=5000)))
        stt = STT(**SMALL, base_url=proxy.url, catch_up_rate=math.inf, replay_seconds=2)
        stt.on("server_message", on_message)
        stream = stt.stream()
        for at in range(0, len(audio), 800):
            data = audio[at : at + 800]
            stream.push_frame(rtc.AudioFrame(data, RATE, 1, len(data) // 2))
            await asyncio.sleep(0)
        proxy.links[0].up.resume()
        words = await within(5, rest_of(stream))
        assert len(proxy.links) == 1
    assert accounts(words, gone, 120) == []
    assert sum(loss.end_sample - loss.start_sample for loss in gone) > 5 * RATE


@pytest.mark.parametrize("told", [False, True])
async def test_a_cut_in_a_turn_that_is_longer_than_the_ring(told: bool) -> None:
    """What only the lost session had heard is told as lost, also if it had not yet
    said that it heard anything."""
    layout = MarkedLayout(words_per_turn=100, lead_ms=20)
    audio = marked_audio(40, sample_rate=RATE, layout=layout)
    half = len(audio) // 2
    async with (
        bad_line() as proxy,
        connect(base_url=proxy.url, replay_seconds=1) as stream,
    ):
        (link,) = proxy.links
        if not told:
            link.down.stall()
        await talk(stream, audio[:half])
        await until(lambda: len(link.up.passed) > half)
        words = 0
        while told and words < 18:
            event = await within(5, anext(stream))
            words = len(event.words) if isinstance(event, Turn) else 0
        link.cut()
        await within(5, proxy.connected(2))
        await talk(stream, audio[half:])
        await within(5, stream.drain())
        events = await within(5, all_events(stream))
        assert stream.stats.dropped_samples == 0
    assert accounts(words_of(events), lost(events), 40, layout) == []
