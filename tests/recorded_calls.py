"""Recorded calls for tests: made entry by entry, or of what a server really says."""

from __future__ import annotations

import contextlib
import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import numpy.typing as npt
import soundfile

from aai_stream.recorder import format as recorded

Message = dict[str, Any]
UNIX = 1_700_000_000.0
CHUNK_MS = 50


@dataclass
class Recorder:
    """A call being recorded; `audio` is all of its stream. Time counts events."""

    audio: npt.NDArray[np.int16]
    rate: int = 16_000
    encoding: str = "pcm_s16le"
    entries: list[recorded.Entries] = field(default_factory=list)
    sessions: int = 0

    def session(self, **query: str) -> Session:
        """One more session is asked for."""
        self.sessions += 1
        session = Session(self, self.sessions)
        session.add(recorded.Opening, query={"sample_rate": str(self.rate), **query})
        return session

    def write(self, path: Path) -> Path:
        """The call as a file."""
        meta = recorded.Meta(
            library="0.1.0",
            stream="stream-1",
            began=UNIX,
            host="127.0.0.1",
            sample_rate=self.rate,
            encoding=self.encoding,
            chunk_ms=CHUNK_MS,
            settings={},
        )
        flac = io.BytesIO()
        soundfile.write(flac, self.audio, self.rate, format="FLAC", subtype="PCM_16")
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (
                (recorded.META, msgspec.json.encode(meta)),
                (recorded.AUDIO, flac.getvalue()),
                (recorded.EVENTS, msgspec.json.Encoder().encode_lines(self.entries)),
            ):
                # A date of its own would make each file another one.
                archive.writestr(zipfile.ZipInfo(name), data)
        return path


@dataclass
class Session:
    """One session of a call being recorded."""

    call: Recorder
    number: int

    def add(self, kind: Any, **fields: Any) -> None:
        """Something happens to it."""
        entries = self.call.entries
        common = {"unix": UNIX + len(entries) / 100, "stream_ms": 0}
        if kind is not recorded.Decided or fields["what"] == "Over":
            common["session"] = self.number
        entries.append(kind(**common, **fields))

    def connect(self, **configuration: Any) -> None:
        """It has its websocket and its Begin."""
        self.add(recorded.Connected)
        self.hear(
            {
                "type": "Begin",
                "id": f"recorded-{self.number}",
                "expires_at": 2_000_000_000,
                "configuration": {"model": "universal-3-6-pro", **configuration},
            }
        )

    def send(
        self,
        start_ms: int,
        end_ms: int,
        *,
        padding_ms: int = 0,
        chunk_ms: int = CHUNK_MS,
    ) -> None:
        """It is sent the stream's audio from `start_ms` to `end_ms`."""
        rate = self.call.rate
        for at in range(start_ms, end_ms, chunk_ms):
            count = min(chunk_ms, end_ms - at) * rate // 1000
            padding = padding_ms * rate // 1000 if at + chunk_ms >= end_ms else 0
            chunk = (at * rate // 1000, count, padding, 0)
            self.add(recorded.Sent, chunks=[chunk])

    def hear(self, *messages: Any) -> None:
        """The server says this to it."""
        for message in messages:
            if isinstance(message, str):
                self.add(recorded.Received, text=message)
            else:
                self.add(recorded.Received, message=message)

    def say(self, kind: str, **fields: Any) -> None:
        """It says this to the server."""
        self.add(recorded.Said, message={"type": kind, **fields})

    def terminate(self, *messages: Any) -> None:
        """It ends as asked; `messages` come before Termination."""
        self.say("Terminate")
        self.hear(*messages, {"type": "Termination"})
        self.close(1000)
        self.over("ended")

    def close(self, code: int, reason: str = "") -> None:
        """Its connection is closed, or has broken (1006)."""
        self.add(recorded.Closed, code=code, reason=reason)

    def over(self, outcome: str, failure: str = "", code: int | None = None) -> None:
        """It is over; `failure` is the type of the exception."""
        error = {"type": failure, "text": "…", "code": code} if failure else None
        fields = {"session": "…", "outcome": outcome, "failure": error}
        self.add(recorded.Decided, what="Over", fields=fields)

    def lose(self, code: int = 1006, reason: str = "") -> None:
        """Its connection breaks."""
        self.close(code, reason)
        self.over("lost", "DroppedError", code)


def turn(
    order: int, *words: tuple[str, int, int], end: bool = False, **more: Any
) -> Message:
    """A Turn as the service tells it; words have a text, a start and an end in ms."""
    text = " ".join(word for word, _, _ in words)
    return {
        "type": "Turn",
        "turn_order": order,
        "turn_is_formatted": False,
        "end_of_turn": end,
        "transcript": text,
        "end_of_turn_confidence": 1.0 if end else 0.1,
        "words": [
            {
                "text": word,
                "start": start,
                "end": stop,
                "confidence": 0.9,
                "word_is_final": end,
            }
            for word, start, stop in words
        ],
        "utterance": text if end else "",
        **more,
    }


def noise(ms: int, rate: int = 16_000, *, seed: int = 1) -> npt.NDArray[np.int16]:
    """What a microphone hears of nothing: no two stretches of it are the same."""
    samples = np.random.default_rng(seed).normal(0, 300, ms * rate // 1000)
    return samples.astype(np.int16)


class Driver:
    """A client that sends stretches of a stream, and reads at once what they lead to.

    With `session` it is recorded. `told` is all that the server said but Begin.
    """

    def __init__(
        self,
        ws: aiohttp.ClientWebSocketResponse[Any],
        audio: npt.NDArray[np.int16],
        rate: int = 16_000,
        *,
        session: Session | None = None,
        encode: Any = None,
    ) -> None:
        self._ws = ws
        self._audio = audio
        self._rate = rate
        self._session = session
        self._encode = encode
        self.told: list[Any] = []
        self.close_code: int | None = None
        self._ponged = b""

    async def send(self, start_ms: int, end_ms: int, chunk_ms: int = CHUNK_MS) -> bool:
        """Send the stream's audio from `start_ms` to `end_ms`; False if the server ends
        the session meanwhile."""
        for at in range(start_ms, end_ms, chunk_ms):
            stop = min(at + chunk_ms, end_ms)
            piece = self._audio[at * self._rate // 1000 : stop * self._rate // 1000]
            data = piece.tobytes() if self._encode is None else self._encode(piece)
            if self._session is not None:
                self._session.send(at, stop, chunk_ms=chunk_ms)
            with contextlib.suppress(ConnectionError):  # which reading sees as well
                await self._ws.send_bytes(data)
            if not await self._settled():
                return False
        return True

    async def say(self, kind: str) -> bool:
        """Send a message of this kind."""
        if self._session is not None:
            self._session.say(kind)
        await self._ws.send_json({"type": kind})
        return await self._settled()

    async def terminate(self) -> None:
        """Ask for the end, and read up to it."""
        if self._session is not None:
            self._session.say("Terminate")
        await self._ws.send_json({"type": "Terminate"})
        while await self._read():
            pass

    async def _settled(self) -> bool:
        """Read what was told up to here. False if the connection is over."""
        for ping in (b"it has been read", b"the answers have been written"):
            with contextlib.suppress(ConnectionError):
                await self._ws.ping(ping)
            self._ponged = b""
            while self._ponged != ping:
                if not await self._read():
                    return False
        return True

    async def _read(self) -> bool:
        """Take the next thing that comes; False if it is the end."""
        message = await self._ws.receive()
        if message.type is aiohttp.WSMsgType.PONG:
            self._ponged = message.data
            return True
        if message.type is aiohttp.WSMsgType.TEXT:
            try:
                told: Any = msgspec.json.decode(message.data)
            except msgspec.DecodeError:
                told = message.data
            self.told.append(told)
            if self._session is not None:
                self._session.hear(told)
            return True
        is_close = message.type is aiohttp.WSMsgType.CLOSE
        self.close_code = message.data if is_close else 1006
        if self._session is not None:
            self._session.close(self.close_code, message.extra or "")
        return False
