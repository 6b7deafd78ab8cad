"""A hundred calls at once against a server that keeps failing: nothing may be lost.

    python -m benchmarks.soak --seconds 600
    python -m benchmarks.soak --seconds 60 --streams 50 --processes

Streams of `aai_stream.connect` and of the LiveKit plugin, in real time, one call after
another, each checked by its content. Prints what happened, how memory went and what
was left behind; the exit status is 1 if a word was lost, a task or a ring's memory
stayed, or memory grew. Growth is judged in runs of three minutes and more: it takes
two until there have been as many calls at once as there will ever be.

With `--processes` each has a process of its own, as LiveKit's jobs have, and all share
one account: its new sessions a minute and its sessions at once are fewer than they
would like.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import functools
import gc
import logging
import multiprocessing
import os
import random
import sys
import time
import weakref
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents.stt import SpeechEventType

import aai_stream
from aai_stream.emulator.engines.marked import MarkedEngine, check_marked, marked_audio
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator, Service
from aai_stream.livekit import STT, SpeechStream
from aai_stream.messages import Turn

FAULTS = [
    "status,code=503,chance=0.1,seed=1",
    "refuse,seconds=0.2,chance=0.02,seed=2",
    "reset,at=5s,chance=0.2,seed=3",
    "drop,at=turn:7,chance=0.1,seed=4",
    "close,code=3005,error=x,at=final:2,chance=0.1,seed=5",
    "expire,at=8s,chance=0.1,seed=6",
    "freeze,at=3s,chance=0.05,seed=7",
    "no-final,at=4s,chance=0.05,seed=8,cut=0.2",
    "garbage,at=2s,chance=0.2,seed=9",
    "reset,at=terminate,chance=0.1,seed=10",
]
DEAD_AFTER = 2.0
RATES = (8_000, 16_000, 24_000, 48_000)
COUNTS = (10, 20, 40)
"""Words a call, two a second or so."""
MOST_GROWTH = 10.0
"""MB a minute, for all streams together; less is noise."""
SETTLED_SECONDS = 120.0

PER_STREAM = 6
"""New sessions a minute that an account of processes has, for each of them."""

Account = dict[str, Any]
"""Its limits, as keywords."""
Words = list[tuple[str, int]]
living = weakref.WeakSet[aai_stream.Stream | SpeechStream]()


async def stream_call(
    url: str, audio: bytes, rate: int, account: Account
) -> tuple[Words, int]:
    """A call through `aai_stream.connect`: its words, and how many sessions it took."""
    words: Words = []
    async with aai_stream.connect(
        api_key="k", base_url=url, dead_after=DEAD_AFTER, max_retries=50, **account
    ) as stream:
        living.add(stream)

        async def listen() -> None:
            async for event in stream:
                if isinstance(event, Turn) and event.end_of_turn:
                    words.extend((word.text, word.start) for word in event.words)

        listening = asyncio.ensure_future(listen())
        async for block in in_real_time(audio, rate):
            stream.push(block, sample_rate=rate)
        await stream.end()
        await listening
        return words, stream.stats.sessions


async def plugin_call(
    url: str, audio: bytes, rate: int, account: Account
) -> tuple[Words, int]:
    """A call through the LiveKit plugin."""
    words: Words = []
    sessions = 0
    stt = STT(api_key="k", base_url=url, dead_after=DEAD_AFTER, **account)
    retry = APIConnectOptions(max_retry=50, retry_interval=0.1)

    @stt.on("server_message")
    def count(said: Any) -> None:
        nonlocal sessions
        sessions += isinstance(said.message, aai_stream.messages.Begin)

    stream = stt.stream(conn_options=retry)
    living.add(stream)
    async with stream:

        async def speak() -> None:
            async for block in in_real_time(audio, rate):
                stream.push_frame(rtc.AudioFrame(block, rate, 1, len(block) // 2))
            stream.end_input()

        speaking = asyncio.ensure_future(speak())
        async for event in stream:
            if event.type is SpeechEventType.FINAL_TRANSCRIPT:
                words += [
                    (str(word), round(1000 * float(word.start_time or 0)))
                    for word in event.alternatives[0].words or ()
                ]
        await speaking
    return words, sessions


@functools.cache
def recording(rate: int, count: int) -> bytes:
    """What is said in a call; shared, so that memory is the streams' own."""
    return marked_audio(count, sample_rate=rate).tobytes()


async def in_real_time(audio: bytes, rate: int) -> Any:
    """The audio in frames of 50 ms, each when it is due."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    size = rate // 20 * 2
    for start in range(0, len(audio), size):
        yield audio[start : start + size]
        due += 0.05
        await asyncio.sleep(due - loop.time())


class Soak:
    """Calls without end, until the time is up."""

    def __init__(self, url: str, seconds: float, account: Account) -> None:
        self.url = url
        self.account = account
        self.until = time.monotonic() + seconds
        self.counts = collections.Counter[str]()
        self.problems: list[str] = []

    async def line(self, number: int) -> None:
        """One call after the other."""
        rng = random.Random(number)
        await asyncio.sleep(rng.random() * 3)
        call = (stream_call, plugin_call)[number % 2]
        while time.monotonic() < self.until:
            rate, count = rng.choice(RATES), rng.choice(COUNTS)
            audio = recording(rate, count)
            try:
                words, sessions = await call(self.url, audio, rate, self.account)
            except Exception as exc:
                self.problems.append(f"{call.__name__}: {exc!r}")
                continue
            self.counts["calls"] += 1
            self.counts["sessions"] += sessions
            self.counts["words"] += count
            if found := check_marked(words, count=count):
                self.problems.append(f"{call.__name__} at {rate} Hz: {found}")


async def soak(url: str, streams: int, seconds: float) -> bool:
    """Whether all went well."""
    before = len(asyncio.all_tasks())
    run = Soak(url, seconds, {})
    lines = [asyncio.ensure_future(run.line(number)) for number in range(streams)]
    memory: list[tuple[float, float, float]] = []
    began = time.monotonic()
    while not all(line.done() for line in lines):
        await asyncio.wait(lines, timeout=1)
        memory.append((time.monotonic() - began, resident_mb(), rings_mb()))
    await asyncio.gather(*lines)
    await asyncio.sleep(0.1)
    gc.collect()
    left = len(asyncio.all_tasks()) - before
    since = min(SETTLED_SECONDS, seconds / 2)
    at, mb, rings = np.array([m for m in memory if since < m[0] < seconds]).T
    growth = 60 * float(np.polyfit(at, mb, 1)[0])
    print(f"{streams} streams, {seconds:g} s: {dict(run.counts)}")
    print(
        f"memory {mb[-1]:.0f} MB, from {since:.0f} s on {growth:+.1f} MB a minute; of "
        f"it rings {rings.mean():.1f} MB, at most {rings.max():.1f}, in the end "
        f"{rings_mb():.1f}; tasks left {left}"
    )
    tell(run.problems)
    flat = seconds - since < 60 or growth < MOST_GROWTH
    return flat and not (run.problems or left or rings_mb())


def soak_processes(url: str, streams: int, seconds: float) -> bool:
    """The same with a process each, on one account. Whether all went well."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "aai_stream.livekit"])
    account: Account = {
        "sessions_per_minute": PER_STREAM * streams,
        "max_sessions": streams,
    }
    counts = collections.Counter[str]()
    problems: list[str] = []
    pipes = []
    for number in range(streams):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, number, url, seconds, account)
        context.Process(target=_one_line, args=arguments).start()
        theirs.close()
        pipes.append(ours)
    for number, pipe in enumerate(pipes):
        try:
            did, found = pipe.recv()
        except EOFError:
            found, did = [f"process {number} has died"], {}
        counts.update(did)
        problems += found
    print(f"{streams} processes on one account, {seconds:g} s: {dict(counts)}")
    tell(problems)
    return not problems


def _one_line(
    pipe: Connection, number: int, url: str, seconds: float, account: Account
) -> None:
    async def run() -> Soak:
        soak = Soak(url, seconds, account)
        await soak.line(number)
        return soak

    logging.disable(logging.CRITICAL)
    done = asyncio.run(run())
    pipe.send((dict(done.counts), done.problems))


def tell(problems: list[str]) -> None:
    """Print what went wrong, or the beginning of it."""
    for problem in problems[:20]:
        print("PROBLEM", problem)


def resident_mb() -> float:
    """This process's memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def rings_mb() -> float:
    """The memory of all living streams' rings."""
    stats = [stream.stats for stream in living]
    return sum(told.memory_bytes for told in stats if told is not None) / 1e6


def serve(pipe: Connection, most: int | None) -> None:
    """The failing server, in a process of its own; it has `most` sessions at once."""

    async def run() -> None:
        faults = [fault(text) for text in FAULTS]
        service = Service(max_sessions=most)
        async with Emulator(MarkedEngine(), service=service, faults=faults) as server:
            pipe.send(server.url)
            await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
            happened = collections.Counter(
                applied.fault.kind for applied in server.faults.applied
            )
            pipe.send(dict(happened))

    logging.disable(logging.CRITICAL)
    asyncio.run(run())


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--processes", action="store_true", help="one for each stream")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    most = asked.streams if asked.processes else None
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, most)
    )
    server.start()
    url = ours.recv()
    if asked.processes:
        well = soak_processes(url, asked.streams, asked.seconds)
    else:
        well = asyncio.run(soak(url, asked.streams, asked.seconds))
    ours.send(None)
    print("faults:", ours.recv())
    server.join()
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
