"""The published plugin and ours, each playing the same script against one server.

All goes in step: the server tells what a step holds once it has got the step's audio,
and no more audio is pushed before the client has read it. So what comes out depends on
the script alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from livekit import rtc
from livekit.agents.stt import SpeechData, SpeechEvent, SpeechStream
from livekit.agents.types import TimedString
from livekit.plugins import assemblyai

from aai_stream import livekit as ours
from tests.livekit.scripts import Script
from tests.livekit.servers import NO_RETRY, RATE
from tests.servers import BEGIN, http_server, until, within

FRAME_MS = 10
OFFICIAL, OURS = "official", "ours"
SIDES = (OFFICIAL, OURS)

Told = dict[str, Any]
"""What can be seen of an event."""


def make_stt(side: str, **options: Any) -> Any:
    """The plugin of that side."""
    options.setdefault("api_key", "key")
    if side == OFFICIAL:
        return assemblyai.STT(**options)
    return ours.STT(catch_up_rate=math.inf, **options)


@dataclass
class Connection:
    """What the server has seen of a client."""

    query: dict[str, str]
    headers: dict[str, str]
    chunks: list[bytes] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    read: int = 0
    """Of Begin and the steps: so many have come, and been worked on."""
    closed: bool = False

    @property
    def heard_ms(self) -> float:
        return sum(map(len, self.chunks)) / 2 / RATE * 1000

    def asked(self, kind: str) -> int:
        """How many messages of that type came."""
        return sum(text["type"] == kind for text in self.texts)


class ScriptServer:
    """Plays a script to every client, in step with it: see the module.

    The sessions of the first `breaks` clients break off after `break_ms` of audio.
    Nobody gets in before `gate` is set.
    """

    def __init__(self, script: Script, *, breaks: int = 0, break_ms: int = 0) -> None:
        self.script = script
        self.breaks = breaks
        self.break_ms = break_ms
        self.connections: list[Connection] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptServer]:
        async with http_server(self._accept) as self.url:
            yield self

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        # A client answers a ping only after all messages before it have been worked
        # on. With `autoping` its answer would not be shown here.
        socket = web.WebSocketResponse(autoping=False, timeout=1)
        await socket.prepare(request)
        connection = Connection(dict(request.query), dict(request.headers))
        self.connections.append(connection)
        await _tell(socket, {**BEGIN, **self.script.begin})
        breaks = len(self.connections) <= self.breaks
        if breaks and self.break_ms == 0:
            await socket.close(code=1011)
        left = deque(self.script.steps)
        async for message in socket:
            if message.type is web.WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is web.WSMsgType.PONG:
                connection.read += 1
            elif message.type is web.WSMsgType.BINARY:
                connection.chunks.append(bytes(message.data))
                if breaks and connection.heard_ms >= self.break_ms:
                    await socket.close(code=1011)
                while left and connection.heard_ms >= left[0].at_ms:
                    await _tell(socket, *left.popleft().messages)
            else:
                connection.texts.append(message.json())
                if connection.asked("Terminate"):
                    await self._finish(socket)
        connection.closed = True
        return socket

    async def _finish(self, socket: web.WebSocketResponse) -> None:
        ended = {"audio_duration_seconds": 1, "session_duration_seconds": 1}
        await _tell(
            socket, *self.script.after_terminate, {"type": "Termination", **ended}
        )
        await socket.close()


async def _tell(socket: web.WebSocketResponse, *messages: Any) -> None:
    for message in messages:
        if isinstance(message, str):
            await socket.send_str(message)
        elif isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_json(message)
    await socket.ping()


def push(stream: SpeechStream, ms: int, *, rate: int = RATE, channels: int = 1) -> None:
    """Push silence in frames of 10 ms."""
    assert ms % FRAME_MS == 0
    samples = rate * FRAME_MS // 1000
    for _ in range(ms // FRAME_MS):
        data = bytes(2 * channels * samples)
        stream.push_frame(rtc.AudioFrame(data, rate, channels, samples))


def push_pcm(stream: SpeechStream, pcm: bytes) -> None:
    """Push mono of the usual rate in frames of 50 ms."""
    size = RATE // 20 * 2
    for start in range(0, len(pcm), size):
        part = pcm[start : start + size]
        stream.push_frame(rtc.AudioFrame(part, RATE, 1, len(part) // 2))


@contextlib.asynccontextmanager
async def open_stream(
    side: str, server: ScriptServer, *, offset: float = 0.0, **options: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """A plugin and a stream of its that has read Begin."""
    async with aiohttp.ClientSession() as http:
        stt = make_stt(side, base_url=server.url, http_session=http, **options)
        stream = stt.stream(conn_options=NO_RETRY)
        try:
            stream.start_time_offset = offset
            await until(lambda: any(c.read for c in server.connections))
            if side == OFFICIAL:
                # Without the microseconds that its start took.
                stream.start_time_offset = offset
            yield stt, stream
        finally:
            await stream.aclose()


Handshake = tuple[dict[str, Any], str]


async def handshakes(server: ScriptServer, *stts: Any) -> list[Handshake]:
    """What each plugin's next stream asks for, and with which key."""
    asked = []
    for stt in stts:
        before = len(server.connections)
        stream = stt.stream(conn_options=NO_RETRY)

        def is_open(wanted: int = before + 1) -> bool:
            seen = server.connections
            return len(seen) == wanted and seen[-1].read > 0

        await until(is_open)
        await stream.aclose()
        connection = server.connections[-1]
        asked.append((meaning(connection.query), connection.headers["Authorization"]))
    return asked


@dataclass
class Played:
    """What became of a script."""

    events: list[Told]
    connection: Connection


async def play(
    side: str, script: Script, *, offset: float = 0.0, **options: Any
) -> Played:
    """All that a plugin makes of a script."""
    async with (
        ScriptServer(script).running() as server,
        open_stream(side, server, offset=offset, **options) as (_, stream),
    ):
        reading = asyncio.ensure_future(_read(stream))
        (connection,) = server.connections
        pushed_ms = 0
        for number, step in enumerate(script.steps, start=1):
            push(stream, step.at_ms - pushed_ms)
            pushed_ms = step.at_ms
            told = number + 1  # and Begin

            def is_read(told: int = told) -> bool:
                return connection.read >= told or reading.done()

            await until(is_read)
        push(stream, script.tail_ms)
        stream.end_input()
        events = await within(5, reading)
        assert len(server.connections) == 1
        return Played([seen(event, stream) for event in events], connection)


async def _read(stream: SpeechStream) -> list[SpeechEvent]:
    return [event async for event in stream]


def seen(event: SpeechEvent, stream: SpeechStream) -> Told:
    """Everything in an event, but for the time when it was made; wall-clock times
    count from the stream's start.
    """
    told = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
    del told["created_at"]
    told["type"] = event.type.value
    told["alternatives"] = [_seen_data(data) for data in event.alternatives]
    if event.recognition_usage is not None:
        told["recognition_usage"] = _rounded(vars(event.recognition_usage))
    for name in ("speech_start_time", "speech_end_time"):
        if told[name] is not None:
            told[name] = round(told[name] - stream.start_time, 6)
    return told


def _seen_data(data: SpeechData) -> Told:
    told = _rounded({f.name: getattr(data, f.name) for f in dataclasses.fields(data)})
    if data.words is not None:
        told["words"] = [_seen_word(word) for word in data.words]
    return told


def _seen_word(word: TimedString) -> Told:
    return {"text": str(word)} | _rounded(vars(word))


def _rounded(fields: dict[str, Any]) -> dict[str, Any]:
    # All times are whole ms: nothing lies where rounding could go either way.
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in fields.items()}


def used(events: list[Told]) -> float:
    """Seconds of audio that were reported."""
    usage = [e["recognition_usage"] for e in events if e["recognition_usage"]]
    return float(round(sum(u["audio_duration"] for u in usage), 6))


def with_usage_to_the_end(events: list[Told], played: Script) -> list[Told]:
    """With the usage that only ours reports: since the last turn, when all is over."""
    rest = round(played.seconds - used(events), 6)
    if not rest:
        return events
    nothing = dict.fromkeys(("speech_start_time", "speech_end_time"))
    return [
        *events,
        {
            "type": "recognition_usage",
            "request_id": "",
            "alternatives": [],
            "recognition_usage": {
                "audio_duration": rest,
                "input_tokens": 0,
                "output_tokens": 0,
            },
            **nothing,
        },
    ]


def with_ends_of_speech(events: list[Told]) -> list[Told]:
    """With an end of speech for those who were left speaking when all is over, and one
    start for each end."""
    expected: list[Told] = []
    speaking = started = False
    for event in events:
        kind = event["type"]
        if kind == "start_of_speech" and started:
            continue
        started = (started or kind == "start_of_speech") and kind != "end_of_speech"
        if kind in ("start_of_speech", "interim_transcript"):
            speaking = True
        elif kind == "end_of_speech":
            speaking = False
        expected.append(event)
    if speaking:
        nothing = dict.fromkeys(
            ("recognition_usage", "speech_start_time", "speech_end_time")
        )
        end = {"type": "end_of_speech", "request_id": "", "alternatives": []}
        expected.append(end | nothing)
    return expected


def meaning(query: dict[str, str]) -> dict[str, Any]:
    """The values of a query as the server understands them; empty ones left out."""
    read = {name: _value(text) for name, text in query.items()}
    return {name: value for name, value in read.items() if value not in ("", [])}


def _value(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return text
