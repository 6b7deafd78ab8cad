"""PCM16 for tests, and what a ring made of it, as plain integers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from aai_stream._core import AudioRing, Chunk


def to_pcm(samples: Iterable[int]) -> bytes:
    return np.array(list(samples), "<i2").tobytes()


def to_samples(*chunks: Chunk | bytes) -> list[int]:
    samples: list[int] = np.frombuffer(b"".join(map(bytes, chunks)), "<i2").tolist()
    return samples


def noise(frames: int, channels: int = 1, seed: int = 1) -> bytes:
    """White noise over the whole range, the same for the same arguments."""
    random = np.random.default_rng(seed)
    return random.integers(-32768, 32768, frames * channels, np.int16).tobytes()


def count_up(start: int, count: int) -> bytes:
    """Audio whose every sample tells where in the stream it lies, up to 65536."""
    return np.arange(start, start + count).astype(np.int16).tobytes()


def to_frames(pcm: bytes, channels: int) -> list[list[int]]:
    frames: list[list[int]]
    frames = np.frombuffer(pcm, "<i2").reshape(-1, channels).tolist()
    return frames


def next_chunk(ring: AudioRing) -> Chunk:
    """The next chunk of `ring`, which must have one."""
    chunk = ring.next_chunk()
    assert chunk is not None
    return chunk


def everything(ring: AudioRing) -> bytes:
    """All that was written and not yet sent."""
    return b"".join(map(bytes, ring.flush(min_ms=0)))


def hum(seconds: float, rms: float, rate: int = 16_000, seed: int = 1) -> bytes:
    """The steady noise of a room: white, and always as loud."""
    random = np.random.default_rng(seed)
    sound = random.normal(0, rms, round(seconds * rate))
    return np.clip(np.round(sound), -32768, 32767).astype(np.int16).tobytes()


def speech(
    seconds: float, peak: float, rate: int = 16_000, seed: int = 1, noise_rms: float = 0
) -> bytes:
    """What has the loudness of speech: syllables, four a second, and softer ones."""
    random = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    syllables = np.abs(np.sin(4 * np.pi * at)) * (0.6 + 0.4 * np.sin(2 * np.pi * at))
    voice = peak * syllables * np.sin(2 * np.pi * 220 * at + np.sin(50 * at))
    sound = voice + random.normal(0, noise_rms, len(at))
    return np.clip(np.round(sound), -32768, 32767).astype(np.int16).tobytes()
