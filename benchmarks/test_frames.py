"""One 50 ms frame through the core, to the wire, and one message back."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from aiohttp import ClientWebSocketResponse, ClientWSTimeout
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_websocket import WebSocketWriter

from aai_stream._core import AudioRing
from aai_stream.livekit.events import TurnTranslator
from aai_stream.messages import Turn, Word, decode
from aai_stream.wire.aiohttp import AiohttpWire
from aai_stream.wire.picows import PicowsWire
from benchmarks.gate import check


def noise(samples: int) -> bytes:
    random = np.random.default_rng(3)
    return random.integers(-8000, 8000, samples, np.int16).tobytes()


@pytest.mark.parametrize(
    ("rate", "channels", "pushes", "encoding"),
    [
        pytest.param(16000, 1, 1, "pcm_s16le", id="16 kHz"),
        pytest.param(24000, 1, 1, "pcm_s16le", id="24 kHz"),
        pytest.param(48000, 1, 5, "pcm_s16le", id="48 kHz in 10 ms"),
        pytest.param(8000, 1, 1, "pcm_s16le", id="8 kHz"),
        pytest.param(44100, 1, 1, "pcm_s16le", id="44.1 kHz"),
        pytest.param(16000, 2, 1, "pcm_s16le", id="stereo"),
        pytest.param(16000, 1, 1, "pcm_mulaw", id="mu-law"),
    ],
)
def test_ring(
    benchmark: Any,
    request: pytest.FixtureRequest,
    rate: int,
    channels: int,
    pushes: int,
    encoding: str,
) -> None:
    ring = AudioRing(16000, encoding=encoding)  # type: ignore[arg-type]
    pcm = noise(rate // 20 // pushes * channels)

    def frame() -> None:
        for _ in range(pushes):
            ring.write(pcm, rate, channels)
        while (chunk := ring.next_chunk()) is not None:
            ring.ack(chunk.start)

    check(benchmark, f"ring, {request.node.callspec.id}", frame)


class NullTransport(asyncio.Transport):
    """Takes all and only counts."""

    written = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.fixture
def picows_wire() -> PicowsWire:
    """Our wire as picows finds it when the handshake is done."""
    wire = PicowsWire(Mock(), Mock(), None)
    wire.on_ws_connected(Mock(underlying_transport=NullTransport()))
    return wire


@pytest.fixture
def aiohttp_wire() -> Iterator[AiohttpWire]:
    """Our wire on aiohttp's own websocket, above a transport that only counts."""
    loop = asyncio.new_event_loop()
    protocol = BaseProtocol(loop)
    incoming = WebSocketDataQueue(protocol, 2**16, loop=loop)
    outgoing = WebSocketWriter(protocol, NullTransport(), use_mask=True)
    response, timeout = Mock(), ClientWSTimeout()

    async def create() -> AiohttpWire:
        ws = ClientWebSocketResponse(
            incoming, outgoing, None, response, timeout, True, True, loop
        )
        return AiohttpWire(ws, Mock(), Mock(), None)

    wire = loop.run_until_complete(create())
    yield wire
    incoming.feed_eof()
    loop.run_until_complete(wire._reader)
    loop.close()


@pytest.mark.parametrize("kind", ["picows", "aiohttp"])
def test_ring_to_wire(
    benchmark: Any, request: pytest.FixtureRequest, kind: str
) -> None:
    wire: PicowsWire | AiohttpWire = request.getfixturevalue(f"{kind}_wire")
    ring = AudioRing(16000)
    pcm = noise(800)
    transport = wire._transport
    assert isinstance(transport, NullTransport)

    def frame() -> None:
        ring.write(pcm, 16000)
        while (chunk := ring.next_chunk()) is not None:
            wire.send_audio(chunk)
            ring.ack(chunk.start)

    frame()
    assert transport.written == 8 + 1600  # header and mask, then the audio
    check(benchmark, f"ring to {kind} wire", frame)


@pytest.mark.parametrize("words", [4, 30])
def test_decode_turn(benchmark: Any, words: int) -> None:
    turn = {
        "type": "Turn",
        "turn_order": 7,
        "turn_is_formatted": False,
        "end_of_turn": False,
        "transcript": " ".join(["word"] * words),
        "end_of_turn_confidence": 0.0123,
        "utterance": "",
        "words": [
            {
                "text": "word",
                "start": 1000 + 300 * n,
                "end": 1240 + 300 * n,
                "confidence": 0.987654,
                "word_is_final": True,
            }
            for n in range(words)
        ],
    }
    text = json.dumps(turn).encode()
    check(benchmark, f"turn, {words} words", lambda: decode(text))


def test_turn_to_livekit(benchmark: Any) -> None:
    """A partial turn that has grown by a word."""
    words = [
        Word(text="word", start=300 * n, end=300 * n + 240, confidence=0.987654)
        for n in range(8)
    ]
    grown = itertools.cycle(
        Turn(transcript=" ".join(["word"] * n), words=words[:n]) for n in range(1, 9)
    )
    translator = TurnTranslator()

    def turn() -> None:
        translator.events(next(grown), 0.0)

    check(benchmark, "turn to LiveKit event", turn)
