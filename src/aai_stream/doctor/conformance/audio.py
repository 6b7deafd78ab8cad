"""Which audio messages are taken."""

from __future__ import annotations

from ..conversing import Exchange, Server
from .questions import Questions
from .sessions import IN_ORDER

audio = Questions()

_MS = 32  # bytes, at 16 kHz
_LENGTH = "Input Duration Error: Input Duration Violation: {:.1f} ms. Expected between "
_LENGTH += "50 and 1000 ms"


def violation(ms: float) -> str:
    """The Error for a message of that length, and the close."""
    return f"Error 3007 {_LENGTH.format(ms)}, close 3007"


def _told(exchange: Exchange) -> str:
    told = [
        f"Error {error.get('error_code')} {error.get('error')}"
        for error in exchange.of("Error")
    ]
    if exchange.of("Termination"):
        told.append("Termination")
    return ", ".join([*told, f"close {exchange.close_code}"])


def _ask_of_silence(name: str, expected: str, ms: int, *, chunk_ms: int = 100) -> None:
    """Ask what becomes of so much silence in messages of that length, and Terminate."""

    @audio.add(name, expected)
    async def _(server: Server, speech: bytes) -> str:
        async with server.session() as exchange:
            await exchange.send(bytes(_MS * ms), chunk_ms=chunk_ms)
            await exchange.say("Terminate")
            await exchange.rest()
            return _told(exchange)


_ask_of_silence("messages of 50 ms", IN_ORDER, 500, chunk_ms=50)
_ask_of_silence("messages of 1000 ms", IN_ORDER, 2000, chunk_ms=1000)
_ask_of_silence("a message of 1200 ms", violation(1200), 1200, chunk_ms=1200)
_ask_of_silence("messages of 20 ms, half a second", IN_ORDER, 500, chunk_ms=20)
_ask_of_silence("messages of 20 ms, three seconds", violation(20), 3000, chunk_ms=20)
_ask_of_silence("a short last message", IN_ORDER, 220)


@audio.add("a message over 128 KB", "close 1009")
async def _(server: Server, speech: bytes) -> str:
    async with server.session(sample_rate="96000") as exchange:
        await exchange.send(bytes(130 * 1024), chunk_ms=10_000)
        await exchange.rest(seconds=5)
        return _told(exchange)


@audio.add("an odd number of bytes", "close 3006")
async def _(server: Server, speech: bytes) -> str:
    async with server.session() as exchange:
        await exchange.send(bytes(_MS * 100 + 1), chunk_ms=200)
        await exchange.rest(seconds=5)
        return f"close {exchange.close_code}"


@audio.add("speech at ten times real time", "heard, close 1000")
async def _(server: Server, speech: bytes) -> str:
    async with server.session() as exchange:
        exchange.pace = max(exchange.pace, 10)
        await exchange.send(speech)
        await exchange.say("Terminate")
        await exchange.rest(seconds=60)
        heard = "heard" if exchange.finals else "not heard"
        return f"{heard}, close {exchange.close_code}"
