"""Whom a load is made of: one audio stream of some client library each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..client import connect
from ..models import DEFAULT_MODEL
from ..stats import StreamStats

CHUNK_SAMPLES = 800
"""50 ms, of what is sent."""


@dataclass(frozen=True)
class Setting:
    """What all clients of a process have in common."""

    url: str
    sample_rate: int
    """Of the frames that are pushed; what is sent has 16 kHz."""
    frame_ms: int = 50
    model: str = DEFAULT_MODEL

    @property
    def frame_samples(self) -> int:
        """In a frame, of which each has one channel."""
        return self.sample_rate * self.frame_ms // 1000


class Client(Protocol):
    """One stream."""

    session: str
    """The server's name for it, once it is open."""
    events: int
    """That were read."""

    async def open(self) -> None:
        """Connect, and read events from then on."""

    def push(self) -> None:
        """Push a frame, the next 10 or 50 ms of audio."""

    def stats(self) -> StreamStats | None:
        """The stream's own account, if it has one."""


class OurClient:
    """`aai_stream.connect`."""

    def __init__(self, setting: Setting) -> None:
        self.session = ""
        self.events = 0
        self._rate = setting.sample_rate
        self._frame = noise(setting.frame_samples)
        self._stream = connect(
            api_key="none", base_url=setting.url, speech_model=setting.model
        )

    async def open(self) -> None:
        await self._stream.__aenter__()
        self.session = self._stream.session_id or ""
        self._listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        async for _ in self._stream:
            self.events += 1

    def push(self) -> None:
        self._stream.push(self._frame, sample_rate=self._rate)

    def stats(self) -> StreamStats:
        return self._stream.stats


def noise(samples: int) -> bytes:
    """Audio that isn't silence: PCM16."""
    random = np.random.default_rng(3)
    return random.integers(-8000, 8000, samples, np.int16).tobytes()
