"""A process with one call, for test_one_account.py: one of many of an account.

    python -m tests.jobs URL NAME CLOCK PER_MINUTE WORDS

It opens its stream when its input has a line. It speaks as many words as its input
then says, line by line, all of them if that is `all`; then it says what was heard. The
account's minutes pass as CLOCK says, a file with a number in it, that is looked at
again and again.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import aai_stream
from aai_stream.connection import limiter
from aai_stream.connection.budget.book import Ask, Turn
from aai_stream.connection.budget.files import file_name, shared_directory
from aai_stream.connection.budget.host import HostBook
from aai_stream.connection.budget.limits import Limits
from aai_stream.emulator.engines.marked import MarkedLayout, marked_audio
from aai_stream.messages import AudioLost
from aai_stream.messages import Turn as Heard

LAYOUT = MarkedLayout(words_per_turn=150)
"""One turn: nothing is final before the end."""

LOOK_SECONDS = 0.1


class TurnedByHand(HostBook):
    """Looks at its clock again and again, as nobody says when it was turned."""

    def turn(
        self,
        limits: Limits,
        asks: Sequence[Ask],
        held: int,
        begun: Mapping[str, float],
    ) -> Turn:
        turn = super().turn(limits, asks, held, begun)
        return turn._replace(wait=LOOK_SECONDS if len(asks) > turn.admitted else 5)


def use_clock(path: Path) -> None:
    def now() -> float:
        return float(path.read_text())

    def open_book(host: str, account: str, budget: str | None) -> HostBook:
        return TurnedByHand(shared_directory() / file_name(host, account), now)

    limiter._open_book = open_book
    limiter.ConnectLimiter = partial(  # type: ignore[assignment, misc]
        limiter.ConnectLimiter, monotonic=now
    )


async def line() -> str:
    """The next of the input."""
    read: str = await asyncio.to_thread(sys.stdin.readline)
    return read.strip()


async def main(url: str, name: str, per_minute: str, words: int) -> None:
    audio = marked_audio(words, layout=LAYOUT).tobytes()
    spoken = 0
    await line()
    async with aai_stream.connect(
        api_key="k",
        base_url=url,
        catch_up_rate=math.inf,
        sessions_per_minute=float(per_minute),
        extra_params={"name": name},
    ) as stream:
        print("open", flush=True)
        while (words_spoken := await line()) != "all":
            end = 32 * LAYOUT.start_ms(int(words_spoken))
            stream.push(audio[spoken:end])
            await stream.drain()
            spoken = end
            print("spoken", flush=True)
        stream.push(audio[spoken:])
        await stream.end()
        events = [event async for event in stream]
    heard = [
        (word.text, word.start)
        for event in events
        if isinstance(event, Heard) and event.end_of_turn
        for word in event.words
    ]
    lost = sum(isinstance(event, AudioLost) for event in events)
    print(json.dumps([heard, lost, stream.stats.sessions]), flush=True)


if __name__ == "__main__":
    url, name, clock, per_minute, words = sys.argv[1:]
    use_clock(Path(clock))
    asyncio.run(main(url, name, per_minute, int(words)))
