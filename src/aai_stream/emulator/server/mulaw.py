"""G.711 mu-law to PCM16, by table."""

from __future__ import annotations


def _linear(code: int) -> int:
    """The sample that `code` stands for (ITU-T G.711)."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 0x07)) - 0x84
    return -magnitude if code & 0x80 else magnitude


_SAMPLES = [_linear(code) & 0xFFFF for code in range(256)]
_LOW = bytes(sample & 0xFF for sample in _SAMPLES)
_HIGH = bytes(sample >> 8 for sample in _SAMPLES)


def decode(data: bytes) -> bytes:
    """`data` as little-endian PCM16, two bytes for each one."""
    pcm = bytearray(2 * len(data))
    pcm[0::2] = data.translate(_LOW)
    pcm[1::2] = data.translate(_HIGH)
    return bytes(pcm)
