"""A server with faults, and what clients see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from aai_stream.emulator.clock import Clock
from aai_stream.emulator.engines.engine import Engine, HeardWord, Hypothesis
from aai_stream.emulator.engines.script import say
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from tests.emulator.helpers import PLAIN, Client, Message
from tests.servers import port_of

SCRIPT = [say("one", at_ms=0), say("two", at_ms=1000), say("three", at_ms=2000)]
REQUEST = (
    b"GET /v3/ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: key\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def faulty(engine: Engine, *texts: str, clock: Clock | None = None) -> Emulator:
    faults = [fault(text) for text in texts]
    return Emulator(engine, service=PLAIN, faults=faults, clock=clock)


def happened(emulator: Emulator) -> list[str]:
    """The kinds of the faults that have happened."""
    return [applied.fault.kind for applied in emulator.faults.applied]


def turn(text: str, *, end: bool = False) -> Hypothesis:
    return Hypothesis((HeardWord(text, 0, 9, 1.0),), 9, end, float(end))


async def nothing_comes(client: Client) -> None:
    """Fail if the server says a word within a good many turns of the loop."""
    waiting = asyncio.ensure_future(client.next())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def lost(client: Client) -> list[Message]:
    """Everything up to the end of a connection that no close frame ends."""
    messages: list[Message] = []
    while (message := await client.next()).type is aiohttp.WSMsgType.TEXT:
        messages.append(message.json())
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert client.ws.close_code in (None, 1006)
    return messages


@asynccontextmanager
async def raw_socket(
    emulator: Emulator, request: bytes = REQUEST
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection on which a websocket was asked for."""
    port = port_of(emulator.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
