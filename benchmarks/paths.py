"""What is measured: a 50 ms frame through the core and to the wire, a message back."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import count
from typing import Any, Literal, NamedTuple
from unittest.mock import Mock

from aiohttp import ClientWebSocketResponse, ClientWSTimeout
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_websocket import WebSocketWriter

from aai_stream._core import AudioRing, Backlog, FrameWriter, Gate, Pacer, Tap, Timeline
from aai_stream.connection.credentials import Credentials
from aai_stream.connection.wire.aiohttp import AiohttpWire
from aai_stream.connection.wire.picows import PicowsWire
from aai_stream.livekit.events import TurnTranslator
from aai_stream.load.clients import noise
from aai_stream.messages import Turn, decode
from aai_stream.options import Options
from aai_stream.protocol.pace import BURST_SECONDS, CATCH_UP_RATE
from aai_stream.protocol.retry import Retries
from aai_stream.protocol.settings import Settings
from aai_stream.runner import Link, Runner

Encoding = Literal["pcm_s16le", "pcm_mulaw"]
Work = Callable[[], object]


class Path(NamedTuple):
    """A way that audio or a message takes."""

    open: Callable[[], AbstractContextManager[Work]]
    """Makes what goes the way once, as often as it is called."""
    packages: tuple[str, ...] = ()
    """Whose code is on the way, besides Python's and the core's."""


def repeat(work: Work, times: int) -> None:
    for _ in range(times):
        work()


@contextmanager
def ring(
    rate: int, channels: int = 1, pushes: int = 1, encoding: Encoding = "pcm_s16le"
) -> Iterator[Work]:
    """Audio into the ring, in so many pushes, and out as a chunk."""
    ring = AudioRing(16000, encoding=encoding)
    pcm = noise(rate // 20 // pushes * channels)

    def frame() -> None:
        for _ in range(pushes):
            ring.write(pcm, rate, channels)
        while (chunk := ring.next_chunk()) is not None:
            ring.ack(chunk.start)

    yield frame


@contextmanager
def twice(path: Path) -> Iterator[Work]:
    """The same path, wastefully."""
    with path.open() as frame:
        yield lambda: repeat(frame, 2)


class NullTransport(asyncio.Transport):
    """Takes all and only counts."""

    written = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        pass

    def get_protocol(self) -> asyncio.BaseProtocol:
        return Mock()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass


@contextmanager
def picows_wire(transport: NullTransport) -> Iterator[PicowsWire]:
    """Our wire as picows finds it when the handshake is done."""
    wire = PicowsWire(Mock(), None)
    wire.on_ws_connected(Mock(underlying_transport=transport))
    yield wire


@contextmanager
def aiohttp_wire(transport: NullTransport) -> Iterator[AiohttpWire]:
    """Our wire on aiohttp's own websocket."""
    loop = asyncio.new_event_loop()
    protocol = BaseProtocol(loop)
    incoming = WebSocketDataQueue(protocol, 2**16, loop=loop)
    outgoing = WebSocketWriter(protocol, transport, use_mask=True)
    response, timeout = Mock(), ClientWSTimeout()

    async def create() -> AiohttpWire:
        ws = ClientWebSocketResponse(
            incoming, outgoing, None, response, timeout, True, True, loop
        )
        return AiohttpWire(ws, Mock(), None)

    wire = loop.run_until_complete(create())
    yield wire
    incoming.feed_eof()
    loop.run_until_complete(wire._reader)
    loop.close()


@contextmanager
def ring_to_wire(
    open_wire: Callable[[NullTransport], AbstractContextManager[Any]],
    *,
    recorded: bool = False,
) -> Iterator[Work]:
    """From a push to the transport, masked and framed; `recorded`: what a call on file
    adds is taken once a second, as by the thread that writes."""
    ring = AudioRing(16000)
    timeline = Timeline(16000)
    gate = Gate(ring, Pacer(CATCH_UP_RATE, 16000, BURST_SECONDS))
    pcm = noise(800)
    transport = NullTransport()
    seconds = count(step=0.05)  # live audio
    with open_wire(transport) as wire:
        gate.connect(wire.frames, lambda: next(seconds))
        gate.open(timeline, 1 << 40)

        def frame() -> None:
            gate.push(pcm, 16000)
            ring.ack(ring.sent)

        frame()
        assert transport.written == 8 + 1600  # header and mask, then the audio
        if not recorded:
            yield frame
            return
        tap = ring.tap = timeline.tap = Tap(time.monotonic, Backlog(1 << 20))
        frames = count(1)

        def recorded_frame() -> None:
            frame()
            if next(frames) % 20 == 0:
                tap.take()

        yield recorded_frame


def turn(words: int, *, order: int = 7, final: bool = False) -> bytes:
    """A Turn as the server sends it."""
    return json.dumps(
        {
            "type": "Turn",
            "turn_order": order,
            "turn_is_formatted": final,
            "end_of_turn": final,
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
    ).encode()


@contextmanager
def decoding(words: int) -> Iterator[Work]:
    """A Turn from text to struct."""
    text = turn(words)
    yield lambda: decode(text)


@contextmanager
def to_stream(words: int, *, counted: bool = False) -> Iterator[Work]:
    """A Turn from the wire through all of a stream: now and then it is final. `counted`
    in metrics, too."""
    told: list[object] = []
    runner = Runner(
        told.append,
        ring=AudioRing(16000),
        options=Options({}),
        settings=Settings(20.0, 20.0, 10.0, math.inf, True),
        retries=Retries(10, patience=120.0, draw=lambda low, high: low),
        connector=Mock(
            credentials=Credentials("key"), host="127.0.0.1", time_of_day=lambda: 0.0
        ),
        connect_timeout=10.0,
    )
    if counted:
        from aai_stream.telemetry.counting import Counting

        runner.reporter.counting = Counting(runner.protocol, "local")
    runner._loop = loop = asyncio.new_event_loop()
    runner.protocol.start(loop.time())
    session = runner.protocol.next_session(loop.time(), 0.0)
    assert session is not None
    link = runner._links[session] = Link(runner, session)
    link.connected(Mock(frames=FrameWriter(), silent_seconds=0.0))
    link.received(b'{"type":"Begin","id":"x","expires_at":4000000000}')
    runner.gate.push(noise(16000 * 60), 16000)
    parts = [turn(words, order=0, final=part == 4) for part in range(5)]
    messages = count()

    def turns() -> None:
        order, part = divmod(next(messages), 5)
        link.received(parts[part].replace(b'order": 0', b'order": %d' % order))
        told.clear()

    yield turns
    loop.close()


@contextmanager
def to_livekit(words: int) -> Iterator[Work]:
    """A turn's last two messages, to LiveKit's events: a new word, and the end."""
    texts = turn(words - 1), turn(words, final=True)
    translator = TurnTranslator()

    def end_of_turn() -> None:
        for text in texts:
            message = decode(text)
            assert isinstance(message, Turn)
            translator.events(message, 0.0)

    yield end_of_turn


PATHS = {
    "ring, 16 kHz": Path(partial(ring, 16000)),
    "ring, 24 kHz": Path(partial(ring, 24000)),
    "ring, 48 kHz in 10 ms": Path(partial(ring, 48000, pushes=5)),
    "ring, 8 kHz": Path(partial(ring, 8000)),
    "ring, 44.1 kHz": Path(partial(ring, 44100), packages=("numpy", "soxr")),
    "ring, stereo": Path(partial(ring, 16000, channels=2)),
    "ring, mu-law": Path(partial(ring, 16000, encoding="pcm_mulaw")),
    "ring to picows wire": Path(
        partial(ring_to_wire, picows_wire), packages=("picows",)
    ),
    "ring to picows wire, recorded": Path(
        partial(ring_to_wire, picows_wire, recorded=True), packages=("picows",)
    ),
    "ring to aiohttp wire": Path(
        partial(ring_to_wire, aiohttp_wire), packages=("aiohttp",)
    ),
    **{
        f"turn of {words} words": Path(partial(decoding, words), packages=("msgspec",))
        for words in (4, 12, 30)
    },
    "turn of 12 words to a stream": Path(partial(to_stream, 12), packages=("msgspec",)),
    "turn of 12 words to a stream, in metrics": Path(
        partial(to_stream, 12, counted=True), packages=("msgspec", "prometheus-client")
    ),
    **{
        f"turn of {words} words to LiveKit": Path(
            partial(to_livekit, words), packages=("livekit-agents", "msgspec")
        )
        for words in (4, 12)
    },
}

WASTEFUL = {
    "ring, 24 kHz, done twice": Path(partial(twice, PATHS["ring, 24 kHz"])),
}
"""Worse on purpose: the gate must notice."""
