"""The client's faces as one thing: `Stream`, LiveKit's `SpeechStream`, and the protocol
that both are made of."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from livekit import rtc
from livekit.agents import NOT_GIVEN, APIConnectOptions, APIError
from typing_extensions import Buffer

import aai_stream
from aai_stream import livekit
from aai_stream.connection.credentials import TokenSource
from aai_stream.errors import AaiStreamError
from tests.simulation.account import Account
from tests.simulation.driver import ProtocolFace
from tests.simulation.report import Report
from tests.simulation.speech import RATE

FAILURES = (AaiStreamError, APIError)
"""What a stream may end with."""


@dataclass(frozen=True)
class Settings:
    """What a face is made with."""

    kind: str
    """`stream`, `livekit` or `protocol`."""
    parameters: dict[str, Any]
    tokens: str
    """`new` ones, always the same `one`, or none but a key."""
    chunk_seconds: float
    rate: float
    replay_seconds: float
    per_minute: float
    skip_silence: bool
    max_retries: int
    park_after: float | None

    @property
    def is_livekit(self) -> bool:
        """Whether it is LiveKit's."""
        return self.kind == "livekit"


class Face(Protocol):
    """A stream, whichever."""

    def push(self, pcm: Buffer) -> None: ...
    def flush(self) -> None: ...
    def force_endpoint(self) -> None: ...
    def update(self, changes: dict[str, Any]) -> None: ...
    def keep_alive(self) -> None: ...
    async def drain(self) -> None: ...
    async def end(self) -> None: ...
    async def aclose(self) -> None: ...
    @property
    def memory_bytes(self) -> int: ...


class StreamFace:
    """`aai_stream.Stream`."""

    def __init__(self, stream: aai_stream.Stream, report: Report) -> None:
        self._stream = stream
        self._reading = asyncio.ensure_future(self._read(report))
        self.push = stream.push
        self.flush = stream.flush
        self.force_endpoint = stream.force_endpoint
        self.keep_alive = stream.keep_alive
        self.drain = stream.drain

    async def _read(self, report: Report) -> None:
        with contextlib.suppress(*FAILURES):
            async for event in self._stream:
                report.take(event)

    def update(self, changes: dict[str, Any]) -> None:
        self._stream.update(**changes)

    async def end(self) -> None:
        try:
            await self._stream.end()
        finally:
            await self._stream.aclose()
            await asyncio.wait([self._reading])

    async def aclose(self) -> None:
        """Close at once."""
        await self._stream.aclose()
        await asyncio.wait([self._reading])

    @property
    def memory_bytes(self) -> int:
        return self._stream.stats.memory_bytes


class LiveKitFace:
    """`aai_stream.livekit`'s `SpeechStream`."""

    def __init__(self, stream: livekit.SpeechStream, report: Report) -> None:
        self._stream = stream
        self._failure: BaseException | None = None
        self._reading = asyncio.ensure_future(self._read(report))

    async def _read(self, report: Report) -> None:
        try:
            async for event in self._stream:
                report.take_speech(event)
        except APIError as exc:
            self._failure = exc

    def push(self, pcm: Buffer) -> None:
        if self._failure is not None:
            raise self._failure
        data = bytes(pcm)
        with self._maybe_over():
            self._stream.push_frame(rtc.AudioFrame(data, RATE, 1, len(data) // 2))

    @contextlib.contextmanager
    def _maybe_over(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as exc:
            raise self._failure or AaiStreamError("the stream is over") from exc

    def flush(self) -> None:
        with self._maybe_over():
            self._stream.flush()

    def force_endpoint(self) -> None:
        self._stream.force_endpoint()

    def update(self, changes: dict[str, Any]) -> None:
        self._stream.update_options(**changes)

    def keep_alive(self) -> None:
        """It does so by itself."""

    async def drain(self) -> None:
        """It can't."""

    async def end(self) -> None:
        with self._maybe_over():
            self._stream.end_input()
        await asyncio.wait([self._reading])
        await self._stream.aclose()
        if self._failure is not None:
            raise self._failure

    async def aclose(self) -> None:
        """Close at once."""
        await self._stream.aclose()
        await asyncio.wait([self._reading])

    @property
    def memory_bytes(self) -> int:
        stats = self._stream.stats
        return 0 if stats is None else stats.memory_bytes


@contextlib.asynccontextmanager
async def open_face(
    settings: Settings, account: Account, report: Report
) -> AsyncIterator[Face]:
    """A stream that tells `report`. It is closed at the end."""
    key = None if settings.tokens else "key"
    token: TokenSource | None = None
    if settings.tokens:
        token = account.mint if settings.tokens == "new" else account.mint()
    face: Face
    if settings.kind == "protocol":
        driven = ProtocolFace(account, settings, token, report)
        await driven.open()
        try:
            yield driven
        finally:
            await driven.aclose()
        return
    if settings.is_livekit:
        face = _livekit_face(settings, account, key, token, report)
        try:
            yield face
        finally:
            await face.aclose()
        return
    stream = aai_stream.connect(
        api_key=key,
        token=token,
        base_url=f"wss://{account.host}",
        sample_rate=RATE,
        chunk_ms=settings.chunk_seconds * 1000,
        replay_seconds=settings.replay_seconds,
        catch_up_rate=settings.rate,
        max_retries=settings.max_retries,
        skip_silence=settings.skip_silence,
        park_after=settings.park_after,
        sessions_per_minute=settings.per_minute,
        max_sessions=_most(account),
        **settings.parameters,
    )
    async with stream:
        face = StreamFace(stream, report)
        try:
            yield face
        finally:
            await face.aclose()


def _livekit_face(
    settings: Settings,
    account: Account,
    key: str | None,
    token: TokenSource | None,
    report: Report,
) -> LiveKitFace:
    parameters = dict(settings.parameters)
    extra = {
        name: parameters.pop(name)
        for name in ("session_heartbeat", "acknowledge_silence")
        if name in parameters
    }
    plugin = livekit.STT(
        api_key=key or NOT_GIVEN,
        token=token,
        base_url=f"wss://{account.host}",
        model=parameters.pop("speech_model"),
        sample_rate=RATE,
        buffer_size_seconds=settings.chunk_seconds,
        replay_seconds=settings.replay_seconds,
        catch_up_rate=settings.rate,
        skip_silence=settings.skip_silence,
        park_after=settings.park_after,
        sessions_per_minute=settings.per_minute,
        max_sessions=_most(account),
        extra_params={name: str(value).lower() for name, value in extra.items()},
        **parameters,
    )
    plugin.on("server_message", lambda remark: report.take(remark.message))
    retries = settings.max_retries
    stream = plugin.stream(conn_options=APIConnectOptions(max_retry=retries))
    return LiveKitFace(stream, report)


def _most(account: Account) -> int | None:
    """As many sessions as the account may have, which its streams are told."""
    places = account.terms.places
    return None if places == math.inf else int(places)
