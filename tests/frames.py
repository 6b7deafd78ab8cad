"""The frames of a client, read as its server reads them."""

from __future__ import annotations

from collections.abc import Callable

from aai_stream._core import FrameWriter

TEXT, BINARY = 1, 2


def unframed(frame: bytes) -> tuple[int, bytes]:
    """The opcode of a whole masked frame, and its payload (RFC 6455, 5.2)."""
    length = frame[1] & 0x7F
    start = 2 + {126: 2, 127: 8}.get(length, 0)
    key, masked = frame[start : start + 4], frame[start + 4 :]
    return frame[0] & 0x0F, unmasked(masked, key)


def unmasked(masked: bytes, key: bytes) -> bytes:
    """A payload as it was before it was masked (RFC 6455, 5.3)."""
    size = len(masked)
    mask = (key * (size // 4 + 1))[:size]
    bits = int.from_bytes(masked, "little") ^ int.from_bytes(mask, "little")
    return bits.to_bytes(size, "little")


def frames_to(
    on_audio: Callable[[bytes], object], on_text: Callable[[bytes], object]
) -> FrameWriter:
    """Frames whose messages get to these two."""

    def write(frame: bytes) -> None:
        opcode, payload = unframed(frame)
        (on_audio if opcode == BINARY else on_text)(payload)

    frames = FrameWriter()
    frames.open(write)
    return frames
