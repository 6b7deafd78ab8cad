"""What can't be had for less: a message on its way, resampling and a Turn, alone.

Each with caches as cold as a hundred streams that take turns leave them.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median
from urllib.parse import urlsplit

from livekit import rtc

from aai_stream import messages
from aai_stream._core import AudioRing
from aai_stream.load import talk
from aai_stream.load.clients import noise
from aai_stream.load.process import Child
from aai_stream.load.serving import ServerProcess

from .turns import Bench

SEND = "TLS record and send() of 1600 bytes"
RING = "ring, 50 ms at 16 kHz"
TURN = "a Turn of 8 words decoded"

STREAMS, TURNS = 100, 40
PAUSE_SECONDS = 0.0005
"""Between two messages: 2000 a second, as 100 streams make them."""


def floor(bench: Bench) -> dict[str, float]:
    """Median µs of each."""
    with (
        ServerProcess(bench.server_core, bench.certificate) as server,
        Child(
            _measure, server.url, cores={bench.core}, ca=bench.certificate.ca
        ) as child,
    ):
        found: dict[str, float] = child.ask(None)
    return found


def _measure(pipe: Connection, url: str) -> None:
    pipe.recv()
    ringing = {rate: _median_us(_resample(rate)) for rate in (16_000, 24_000, 48_000)}
    pipe.send(
        {
            SEND: _median_us(_send(url), PAUSE_SECONDS),
            RING: ringing[16_000],
            "ring and resampling, 50 ms at 24 kHz": ringing[24_000],
            "ring and resampling, 50 ms at 48 kHz": ringing[48_000],
            "LiveKit's resampler, 50 ms at 24 kHz": _median_us(_resample_peer(24_000)),
            TURN: _median_us([_decode(messages.decode)]),
            "the same by json.loads": _median_us([_decode(json.loads)]),
        }
    )


def _median_us(works: list[Callable[[], object]], pause: float = 0) -> float:
    """CPU of one of them, when they take turns."""
    times = []
    for number in range(TURNS * STREAMS):
        work = works[number % len(works)]
        began = time.thread_time_ns()
        work()
        times.append(time.thread_time_ns() - began)
        if pause:
            time.sleep(pause)
    return median(times[STREAMS:]) / 1000


def _send(url: str) -> list[Callable[[], object]]:
    address = urlsplit(url)
    context = ssl.create_default_context()
    return [
        _connection(address.hostname or "", address.port or 0, context)
        for _ in range(STREAMS)
    ]


def _connection(host: str, port: int, context: ssl.SSLContext) -> Callable[[], object]:
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
    sock.sendall(outgoing.read())
    tls.write(
        b"GET /v3/ws?sample_rate=16000 HTTP/1.1\r\nHost: localhost\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    sock.sendall(outgoing.read())
    frame = b"\x82\xfe" + (1600).to_bytes(2, "big") + os.urandom(4 + 1600)

    def send() -> None:
        tls.write(frame)
        sock.send(outgoing.read())

    return send


def _resample(rate: int) -> list[Callable[[], object]]:
    pcm = noise(rate // 20)
    return [_ring(pcm, rate) for _ in range(STREAMS)]


def _ring(pcm: bytes, rate: int) -> Callable[[], object]:
    ring = AudioRing(16_000)

    def write() -> None:
        ring.write(pcm, rate)
        while (chunk := ring.next_chunk()) is not None:
            ring.ack(chunk.start)

    return write


def _resample_peer(rate: int) -> list[Callable[[], object]]:
    frame = rtc.AudioFrame(noise(rate // 20), rate, 1, rate // 20)
    quality = rtc.AudioResamplerQuality.HIGH
    resamplers = [
        rtc.AudioResampler(rate, 16_000, quality=quality) for _ in range(STREAMS)
    ]
    return [_push(resampler, frame) for resampler in resamplers]


def _push(resampler: rtc.AudioResampler, frame: rtc.AudioFrame) -> Callable[[], object]:
    return lambda: resampler.push(frame)


def _decode(decode: Callable[[bytes], object]) -> Callable[[], object]:
    (message,) = talk.UNIVERSAL_3.said(talk.UNIVERSAL_3.steps - 1)
    return lambda: decode(message)
