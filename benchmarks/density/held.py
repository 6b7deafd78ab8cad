"""How much audio a resampler keeps to itself, between pushes of 50 ms."""

from __future__ import annotations

from collections.abc import Callable

from livekit import rtc

from aai_stream._core import AudioRing
from aai_stream.load.clients import noise

from .spread import Spread

SENT_RATE = 16_000
WARM_PUSHES, PUSHES = 40, 400


def held_back_ms(rate: int) -> tuple[Spread, Spread]:
    """Ours, and LiveKit's as it is used for STT, when the stream has run for a while.

    That is what has been pushed and has not come out, as audio: neither counts on
    what it says of itself.
    """
    pcm = noise(rate // 20)
    ring = AudioRing(SENT_RATE)

    def ours() -> int:
        ring.write(pcm, rate)
        while (chunk := ring.next_chunk()) is not None:
            ring.ack(chunk.start)
        return ring.written

    resampler = rtc.AudioResampler(
        rate, SENT_RATE, quality=rtc.AudioResamplerQuality.HIGH
    )
    came = 0

    def theirs() -> int:
        nonlocal came
        frame = rtc.AudioFrame(pcm, rate, 1, rate // 20)
        came += sum(out.samples_per_channel for out in resampler.push(frame))
        return came

    return _shortfall(ours), _shortfall(theirs)


def _shortfall(push: Callable[[], int]) -> Spread:
    """`push` takes 50 ms more and tells how many samples came out so far."""
    short = [
        50 * (number + 1) - 1000 * push() / SENT_RATE
        for number in range(WARM_PUSHES + PUSHES)
    ]
    return Spread.of(short[WARM_PUSHES:])
