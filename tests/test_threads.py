"""Audio from other threads, as a sound card's callbacks bring it."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest

from aai_stream.errors import AudioError, RefusedError, StateError
from tests.audio import count_up, to_samples
from tests.servers import within
from tests.talks import PER_MS, SECOND, Server, closed_with, collect, connect, well

PIECE = 160  # samples


async def in_a_thread(call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """Call it in another thread, for which this one waits."""
    return await asyncio.to_thread(call, *arguments, **more)


async def test_all_arrives_in_order() -> None:
    """Also what the thread changes afterwards."""
    server = Server(well)

    def play(push: Callable[[Any], None]) -> None:
        block = bytearray(2 * PIECE)
        for start in range(0, len(SECOND), len(block)):
            block[:] = SECOND[start : start + len(block)]
            push(block)

    async with server.serve() as url, connect(base_url=url) as stream:
        await in_a_thread(play, stream.push_threadsafe)
        await within(5, stream.end())
    assert server.talks[0].audio == SECOND


async def test_any_audio_that_push_takes() -> None:
    server = Server(well)
    halves = array("f", [0.25, -0.25] * 1600)
    async with server.serve() as url, connect(base_url=url) as stream:
        push = partial(in_a_thread, stream.push_threadsafe)
        await push(halves)
        await push(halves, num_channels=2)
        await push(bytes(4800), sample_rate=48_000)
        await within(5, stream.end())
    samples = to_samples(server.talks[0].audio)
    assert samples[:3200] == [8192, -8192] * 1600
    assert samples[3200:4800] == [0] * 1600
    assert len(samples) >= 4800 + 800


async def test_several_threads_at_once() -> None:
    """Each one's audio in its order, and no sample of another's within a push."""
    server = Server(well)
    together = Barrier(4)

    def play(number: int, push: Callable[[Any], None]) -> None:
        together.wait()
        for k in range(25):
            push(count_up(1000 * (number + 1) + k, 1) * PIECE)

    with ThreadPoolExecutor(4) as pool:
        async with server.serve() as url, connect(base_url=url) as stream:
            loop = asyncio.get_running_loop()
            await asyncio.gather(
                *(
                    loop.run_in_executor(pool, play, number, stream.push_threadsafe)
                    for number in range(4)
                )
            )
            await within(5, stream.end())
    samples = to_samples(server.talks[0].audio)[: 100 * PIECE]
    pieces = [samples[i : i + PIECE] for i in range(0, len(samples), PIECE)]
    assert all(len(set(piece)) == 1 for piece in pieces)
    for number in range(4):
        mine = [p[0] % 1000 for p in pieces if p[0] // 1000 == number + 1]
        assert mine == list(range(25))


async def test_before_the_stream_is_entered_it_waits() -> None:
    server = Server(well)
    async with server.serve() as url:
        stream = connect(base_url=url)
        await in_a_thread(stream.push_threadsafe, SECOND)
        async with stream:
            await within(5, stream.end())
    assert server.talks[0].audio == SECOND


async def test_who_makes_it_elsewhere_enters_it_first() -> None:
    server = Server(well)
    async with server.serve() as url:
        stream = await in_a_thread(connect, base_url=url)
        with pytest.raises(StateError, match="not open yet"):
            await in_a_thread(stream.push_threadsafe, SECOND)
        async with stream:
            await in_a_thread(stream.push_threadsafe, SECOND)
            await within(5, stream.end())
    assert server.talks[0].audio == SECOND


@pytest.mark.parametrize(
    ("data", "options", "says"),
    [
        (bytes(3), {}, "3 bytes"),
        (array("f", [math.nan]), {}, "NaN"),
        (b"RIFF\0\0\0\0WAVE", {}, "begins like a file"),
        (bytes(4), {"sample_rate": 0}, "sample_rate"),
        (bytes(4), {"sample_rate": 44_100}, "'fir' can't make 16000 Hz of 44100"),
        (bytes(4), {"num_channels": 0}, "num_channels"),
    ],
)
async def test_what_is_no_audio_is_refused_there(
    data: Any, options: dict[str, Any], says: str
) -> None:
    server = Server(well)
    async with (
        server.serve() as url,
        connect(base_url=url, resampler="fir") as stream,
    ):
        with pytest.raises(AudioError, match=says):
            await in_a_thread(stream.push_threadsafe, data, **options)
        assert stream.stats.written_samples == 0
        await within(5, stream.end())


async def test_after_the_end() -> None:
    server = Server(well)
    async with server.serve() as url, connect(base_url=url) as stream:
        await within(5, stream.end())
        with pytest.raises(StateError, match="ended"):
            await in_a_thread(stream.push_threadsafe, SECOND)


async def test_the_end_takes_what_was_handed_over_before() -> None:
    server = Server(well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push_threadsafe(SECOND)
        await stream.end()  # before the loop gets to it
    assert server.talks[0].audio == SECOND


async def test_what_comes_as_the_stream_is_ended_is_let_go(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(well)
    async with server.serve() as url, connect(base_url=url) as stream:
        loop = asyncio.get_running_loop()
        ring = stream._protocol.ring

        class EndedMeanwhile:
            def pcm_of(self, *arguments: Any) -> bytes:
                asyncio.run_coroutine_threadsafe(stream.end(), loop).result()
                return ring.pcm_of(*arguments)

            def __getattr__(self, name: str) -> Any:
                return getattr(ring, name)

        monkeypatch.setattr(stream._protocol, "ring", EndedMeanwhile())
        await within(5, in_a_thread(stream.push_threadsafe, SECOND))
        await asyncio.sleep(0)
        assert stream.stats.written_samples == 0
    assert server.talks[0].audio == b""
    assert not caplog.records


async def test_after_a_failure() -> None:
    server = Server(closed_with(1008))
    async with server.serve() as url:
        stream = connect(base_url=url)
        with pytest.raises(RefusedError):
            async with stream:
                await collect(stream)
        with pytest.raises((RefusedError, StateError)):
            await in_a_thread(stream.push_threadsafe, SECOND)


def test_after_the_loop() -> None:
    async def made() -> Any:
        return connect(base_url="ws://127.0.0.1:1")

    stream = asyncio.run(made())
    with pytest.raises(StateError, match="event loop is closed"):
        stream.push_threadsafe(SECOND)


async def test_push_itself_is_for_the_loop_s_thread() -> None:
    server = Server(well)
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND[: 100 * PER_MS])
        with pytest.raises(StateError, match="belongs to the thread") as caught:
            await in_a_thread(stream.push, SECOND)
        assert "push_threadsafe" in str(caught.value)
        await within(5, stream.end())
