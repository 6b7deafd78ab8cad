"""The load server, as our own client and a raw one see it."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

import aai_stream
from aai_stream.load.server import LoadServer
from aai_stream.load.talk import STEP_MS, UNIVERSAL_3, UNIVERSAL_STREAMING, Talk
from aai_stream.load.tls import make_certificate, server_context
from aai_stream.messages import Turn
from tests.servers import port_of

CHUNK = bytes(1600)


@asynccontextmanager
async def load_server(*, spread: bool = True) -> AsyncIterator[LoadServer]:
    server = LoadServer(spread=spread)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("universal-3-6-pro", UNIVERSAL_3),
        ("universal-streaming-english", UNIVERSAL_STREAMING),
    ],
)
async def test_a_stream_s_audio_is_counted_and_answered(model: str, told: Talk) -> None:
    async with (
        load_server() as server,
        aai_stream.connect(
            api_key="k",
            base_url=server.url,
            speech_model=model,
            catch_up_rate=math.inf,
        ) as stream,
    ):
        for _ in range(5 * told.steps):
            stream.push(CHUNK)
        termination = await stream.end()
        turns = [event async for event in stream if isinstance(event, Turn)]
    assert server.heard["session-0"].bytes == 5 * told.steps * len(CHUNK)
    assert termination is not None
    assert termination.audio_duration_seconds == pytest.approx(told.steps / 4)
    assert len(turns) == told.steps
    assert [turn.end_of_turn for turn in turns] == [False] * (told.steps - 1) + [True]
    assert turns[-1].transcript == " ".join(told.words)


@pytest.mark.parametrize(("spread", "silent"), [(True, 1), (False, 0)])
async def test_talks_may_begin_at_different_times(spread: bool, silent: int) -> None:
    async with (
        load_server(spread=spread) as server,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.url}/v3/ws"),
        http.ws_connect(f"{server.url}/v3/ws") as second,
    ):
        assert (await second.receive_json())["id"] == "session-1"
        await second.send_bytes(bytes(32 * STEP_MS * (silent + 1)))
        started = await second.receive_json()
        assert (await second.receive_json())["type"] == "Turn"
    assert started["timestamp"] == silent * STEP_MS + 10


async def test_arrivals_are_noted_while_it_records() -> None:
    async with (
        load_server() as server,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.url}/v3/ws") as socket,
    ):
        assert (await socket.receive_json())["id"] == "session-0"
        for server.recording in (False, True):
            before = asyncio.get_running_loop().time()
            for _ in range(5):
                await socket.send_bytes(CHUNK)
            while (await socket.receive_json())["type"] != "Turn":
                pass
    arrivals = server.heard["session-0"].arrivals
    assert list(arrivals[::2]) == [1600 * count for count in range(6, 11)]
    assert before < arrivals[1] <= arrivals[-1]


@pytest.mark.parametrize("cut", [1, 3, 7, 200])
async def test_frames_may_come_in_any_pieces(cut: int) -> None:
    request = (
        b"GET /v3/ws?sample_rate=16000 HTTP/1.1\r\nHost: x\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    frames = [b"\x82\xfe" + (1600).to_bytes(2, "big") + bytes(4) + CHUNK] * 2
    frames.append(b"\x82\xff" + (70_000).to_bytes(8, "big") + bytes(4 + 70_000))
    frames.append(b"\x89\x84\0\1\2\3" + bytes(x ^ i for i, x in enumerate(b"ping")))
    sent = request + b"".join(frames)
    async with load_server() as server:
        port = port_of(server.url)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, len(sent), cut * 16):
            writer.write(sent[start : start + cut])
            writer.write(sent[start + cut : start + cut * 16])
            await asyncio.sleep(0)
        answer = await reader.readuntil(b"\x8a\x04ping")
        writer.close()
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
    assert server.heard["session-0"].bytes == 2 * 1600 + 70_000


async def test_over_tls() -> None:
    certificate = make_certificate()
    server = LoadServer(server_context(certificate))
    await server.start()
    trusting = ssl.create_default_context(cadata=certificate.ca.decode())
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.ws_connect(f"{server.url}/v3/ws") as socket,
    ):
        assert (await socket.receive_json())["type"] == "Begin"
    await server.stop()
