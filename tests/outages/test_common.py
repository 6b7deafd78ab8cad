"""Many streams that lose their server at once."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import aai_stream
from aai_stream._core import AudioRing, limit_memory
from aai_stream.connection import connector
from aai_stream.emulator.engines.marked import (
    DAMAGE,
    MarkedEngine,
    MarkedLayout,
    check_marked,
)
from aai_stream.emulator.engines.marked import marked_audio as make_marked_audio
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.errors import OptionError
from aai_stream.livekit import STT
from aai_stream.messages import AudioLost, Event, Turn
from tests.queues import Queue
from tests.servers import until, within

RATE = 8000
WORDS = 600
LAYOUT = MarkedLayout(words_per_turn=150, turn_gap_ms=3000)
"""Turns of 40 s."""
TURN_SECONDS = 42

connect = partial(
    aai_stream.connect,
    api_key="k",
    sample_rate=RATE,
    chunk_ms=1000,
    catch_up_rate=math.inf,
)


class Call:
    """A stream that speaks the marked audio, second by second."""

    audio = make_marked_audio(WORDS, sample_rate=RATE, layout=LAYOUT).tobytes()

    def __init__(self, url: str, **options: Any) -> None:
        self.stream = connect(base_url=url, **options)
        self.events: list[Event] = []
        self.seconds = 0

    def speak(self, seconds: int) -> None:
        begin, self.seconds = self.seconds, self.seconds + seconds
        self.stream.push(self.audio[2 * RATE * begin : 2 * RATE * self.seconds])

    async def finish(self) -> None:
        """Say the rest."""
        self.stream.push(self.audio[2 * RATE * self.seconds :])
        await self.stream.end()
        self.events += [event async for event in self.stream]
        await self.stream.aclose()

    @property
    def words(self) -> list[tuple[str, int]]:
        return [
            (word.text, word.start)
            for event in self.events
            if isinstance(event, Turn) and event.end_of_turn
            for word in event.words
        ]

    @property
    def lost(self) -> list[tuple[int, int]]:
        """Its stretches, in samples; what lies side by side is one."""
        stretches: list[tuple[int, int]] = []
        for start, end in sorted(
            (event.start_sample, event.end_sample)
            for event in self.events
            if isinstance(event, AudioLost)
        ):
            if stretches and stretches[-1][1] == start:
                stretches[-1] = stretches[-1][0], end
            else:
                stretches.append((start, end))
        return stretches


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aai_stream.client.uniform", lambda low, high: 0.0)


def opened(calls: list[Call]) -> int:
    """How many sessions there were."""
    return sum(call.stream.stats.sessions for call in calls)


async def test_nobody_loses_a_word_while_they_wait_for_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of the streams are 40 s into a turn, and the last to lose their server. If
    they came back in that order, after 60 to 96 s, most of their replay buffers would
    have been full before."""
    queue = Queue(5)
    monkeypatch.setattr(connector, "shared_limiter", lambda *_: queue.limiter)

    async def pass_places(until_opened: int, talking: list[Call]) -> None:
        """Let time pass, and some speak on, until so many sessions were opened."""
        while (count := opened(calls)) < until_opened:
            begin = queue.time.now
            await queue.go_to(queue.next_moment)
            for call in talking:
                call.speak(round(queue.time.now - begin))
            await until(lambda: opened(calls) > count)

    async with Emulator(MarkedEngine()) as server:
        calls = [Call(server.url) for _ in range(8)]
        for number, call in enumerate(calls):  # so one place is free every 12 s
            await queue.go_to(queue.begin + 12 * number)
            opening = asyncio.ensure_future(call.stream.__aenter__())
            if number >= 5:
                await until(lambda: queue.limiter.waiting == 1)
                await pass_places(number + 1, [])
            await within(5, opening)
        for number, call in enumerate(calls):
            call.speak(1 if number < 4 else TURN_SECONDS - 2)
            await call.stream.drain()
        server.faults.append(fault("reset"))
        await until(lambda: queue.limiter.waiting == len(calls))
        server.faults.clear()
        await pass_places(16, calls)
        assert max(call.seconds for call in calls) > 130
        await within(30, asyncio.gather(*(call.finish() for call in calls)))
    for call in calls:
        assert call.lost == []
        assert check_marked(call.words, count=WORDS, layout=LAYOUT) == []
        assert call.stream.stats.sessions == 2


@pytest.fixture
def _bounded() -> Iterator[None]:
    gc.collect()  # other tests' rings
    yield
    limit_memory(512_000_000)


@pytest.mark.usefixtures("_bounded")
@pytest.mark.parametrize("make", [aai_stream.connect, STT])
def test_the_number_given_last_bounds_the_process(make: Callable[..., object]) -> None:
    def most_of_a_ring() -> int:
        ring = AudioRing(replay_seconds=600)
        for _ in range(300):
            ring.write(bytes(32_000), 16_000)
        return ring.memory_bytes

    make(api_key="k", replay_memory_mb=5)
    assert 4_500_000 < most_of_a_ring() <= 5_000_000
    make(api_key="k", replay_memory_mb=2.5)
    assert 2_000_000 < most_of_a_ring() <= 2_500_000
    make(api_key="k")
    assert most_of_a_ring() <= 2_500_000
    with pytest.raises(OptionError, match="replay_memory_mb must be at least 1, not 0"):
        make(api_key="k", replay_memory_mb=0)
    assert most_of_a_ring() <= 2_500_000
    make(api_key="k", replay_memory_mb=math.inf)
    assert most_of_a_ring() > 9_000_000


@pytest.mark.usefixtures("_bounded")
async def test_those_that_hold_most_lose_their_oldest_audio_and_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Six streams wait for their server with 4 MB of memory. Three have 10 s, which is
    nothing to give; the other three talk for 120 s, 1.9 MB each, but for one that
    falls silent after 90 s and has to give way all the same."""
    queue = Queue(6)
    monkeypatch.setattr(connector, "shared_limiter", lambda *_: queue.limiter)
    talk = [10, 10, 10, 90, 120, 120]
    async with Emulator(MarkedEngine()) as server:
        calls = [Call(server.url, replay_memory_mb=4) for _ in talk]
        for call in calls:
            await call.stream.__aenter__()
            call.speak(2)
            await call.stream.drain()
        server.faults.append(fault("reset"))
        await until(lambda: queue.limiter.waiting == len(calls))
        server.faults.clear()
        for second in range(2, 120):
            for call, seconds in zip(calls, talk, strict=True):
                if second < seconds:
                    call.speak(1)
            assert calls[0].stream.stats.process_memory_bytes <= 4_000_000
        await queue.finish()
        await until(lambda: opened(calls) == 2 * len(calls))
        stats = [call.stream.stats for call in calls]
        limit_memory(512_000_000)
        await within(30, asyncio.gather(*(call.finish() for call in calls)))
    for call, count, seconds in zip(calls, stats, talk, strict=True):
        assert count.written_samples == RATE * seconds
        lost_until = call.lost[0][1] if call.lost else 0
        assert call.lost == ([(0, lost_until)] if lost_until else [])
        assert count.dropped_samples + count.forgotten_samples == lost_until
        if seconds == 10:
            assert lost_until == 0
        else:  # a third of what the small ones leave each, to within an eighth
            kept = count.written_samples - lost_until
            assert 7 / 8 < kept / (3_500_000 / 3 / 2) < 9 / 8
        heard = [text.lower().strip(".,?!") for text, _ in call.words]
        assert [text for text in heard if text != DAMAGE] == [
            f"w{n:04}"
            for n in range(WORDS)
            if LAYOUT.start_ms(n) * RATE >= 1000 * lost_until
        ]
