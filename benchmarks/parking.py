"""How much later words come that wake a parked stream.

    python -m benchmarks.parking

Somebody speaks to an embedded server, rests until there is no session, and speaks
again, in real time: a sentence, or a word. The server's Begin comes after 0.3 or 1.3 s,
which are usual. Prints how long after a turn's first word its text came, and how long
after its last word its final: the medians of `ROUNDS`, and those of a stream that keeps
its session.
"""

from __future__ import annotations

import asyncio
from itertools import product
from statistics import median

import aai_stream
from aai_stream.emulator.engines.marked import MarkedEngine, MarkedLayout, marked_audio
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.messages import Turn

ROUNDS = 5
PARK_SECONDS = 10.0
REST_SECONDS = 13.0
RATE = 16_000
BLOCK_SECONDS = 0.02
BEGINS = (0.3, 1.3)

WORDS = (5, 1)
"""Of a turn."""


class Speaker:
    """Speaks into a stream in real time."""

    def __init__(self, stream: aai_stream.Stream) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._began = self._due

    async def say(self, audio: bytes) -> None:
        """Push `audio` as it is spoken."""
        block = 2 * round(BLOCK_SECONDS * RATE)
        for start in range(0, len(audio), block):
            self._due += BLOCK_SECONDS
            await asyncio.sleep(self._due - self._loop.time())
            self._stream.push(audio[start : start + block])

    def said_at(self, stream_ms: int) -> float:
        """When that was spoken, by the loop's clock."""
        return self._began + stream_ms / 1000


async def measure(
    begin_seconds: float, words: int, park_after: float | None
) -> tuple[float, float]:
    """The medians of how late the first text and the final of a turn of so many `words`
    come, in seconds."""
    layout = MarkedLayout(words_per_turn=words)
    late = fault(f"late-begin,seconds={begin_seconds}")
    firsts: dict[int, float] = {}
    finals: dict[int, float] = {}
    async with (
        Emulator(MarkedEngine(), faults=[late]) as server,
        aai_stream.connect(
            api_key="k", base_url=server.url, park_after=park_after
        ) as stream,
    ):
        speaker, loop = Speaker(stream), asyncio.get_running_loop()

        async def read() -> None:
            async for turn in stream:
                if not isinstance(turn, Turn) or not turn.words:
                    continue
                order, now = turn.turn_order, loop.time()
                firsts.setdefault(order, now - speaker.said_at(turn.words[0].end))
                if turn.is_final:
                    finals[order] = now - speaker.said_at(turn.words[-1].end)

        reading = asyncio.ensure_future(read())
        for number in range(1 + ROUNDS):
            said = marked_audio(words, first=words * number, layout=layout)
            await speaker.say(said.tobytes())
            await speaker.say(bytes(2 * round(REST_SECONDS * RATE)))
        expected = 1 if park_after is None else 1 + ROUNDS
        assert server.sessions_opened == expected, server.sessions_opened
        await stream.end()
        await reading
    assert sorted(finals) == list(range(1 + ROUNDS)), finals
    # The first turn has a session that was there before it, in any case.
    return median([*firsts.values()][1:]), median([*finals.values()][1:])


async def main() -> None:
    """Measure and print."""
    ways = [*product(BEGINS, WORDS, (None, PARK_SECONDS))]
    results = await asyncio.gather(*[measure(*way) for way in ways])
    print("| Begin after | words | park_after | first text | final |")
    print("|---|---|---|---|---|")
    for (begin, words, park), (first, final) in zip(ways, results, strict=True):
        print(f"| {begin} s | {words} | {park} | {first:.2f} s | {final:.2f} s |")


if __name__ == "__main__":
    asyncio.run(main())
