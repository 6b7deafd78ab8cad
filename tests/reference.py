"""Slow, obvious models of what the core does fast; tests compare the two.

The one thing not modelled is soxr itself: resampling by it is judged by handing soxr a
whole signal at once. Filters are modelled by their coefficients, which have tests of
their own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np
import soxr

import _filters as filters

Frames = Sequence[Sequence[int]]
"""Audio as one tuple of channels per frame."""


def mix_down(frames: Frames) -> list[int]:
    """Mean of the channels, to the nearest integer, ties to even."""
    return [round(Fraction(sum(frame), len(frame))) for frame in frames]


def filtered(rate_in: int, rate_out: int, resampler: str = "auto") -> bool:
    """Whether it is a filter that resamples."""
    return resampler != "soxr" and filters.between(rate_in, rate_out) is not None


def resample(
    frames: Frames,
    rate_in: int,
    rate_out: int,
    resampler: str = "auto",
    *,
    last: bool = True,
) -> list[int]:
    """The whole signal at once.

    Without `last`, only what there is of it while more may follow.
    """
    if filtered(rate_in, rate_out, resampler):
        return convolve(mix_down(frames), rate_in, rate_out, last=last)
    means = [float(Fraction(sum(frame), len(frame))) for frame in frames]
    return soxr_resample(means, rate_in, rate_out, last=last)


def soxr_resample(
    signal: Sequence[float], rate_in: int, rate_out: int, *, last: bool = True
) -> list[int]:
    """By soxr, in PCM16 steps; to nearest, ties to even, saturated."""
    stream = soxr.ResampleStream(rate_in, rate_out, 1, "float32", "HQ")
    output = stream.resample_chunk(np.array(signal, np.float32), last)
    return [min(max(round(value), -32768), 32767) for value in output.tolist()]


def prototype(form: filters.Filter) -> list[int]:
    """The impulse response at `form.up` times the input's rate."""
    newest_first = form.coefficients[:, ::-1]
    return [int(value) for value in newest_first.T.reshape(-1)]


def convolve(
    signal: Sequence[int], rate_in: int, rate_out: int, *, last: bool = True
) -> list[int]:
    """By a filter: zeros put between, convolved, thinned out; to nearest, a half up,
    saturated."""
    form = filters.between(rate_in, rate_out)
    assert form is not None
    up, taps = form.coefficients.shape
    # Before it begins and after it ends the signal is constant.
    held = [signal[0]] * taps + list(signal) + [signal[-1]] * taps
    stuffed = np.zeros(len(held) * up, np.int64)
    stuffed[::up] = held
    smooth = np.convolve(stuffed, prototype(form))
    if last:
        count = resampled_length(len(signal), rate_in, rate_out)
    else:
        known = len(signal) - taps // 2
        count = max(0, ceil(Fraction(known * up, form.down)))
    output = smooth[taps * up + taps * up // 2 :][:: form.down][:count].tolist()
    half = 1 << form.shift - 1
    return [min(max(value + half >> form.shift, -32768), 32767) for value in output]


def resampled_length(count: int, rate_in: int, rate_out: int) -> int:
    """How many samples `count` become: rounded, a half up."""
    return int(Fraction(count * rate_out, rate_in) + Fraction(1, 2))


# G.711, table 2a: the 14-bit magnitudes at which codes 0, 1, 2, … begin.
_DECISIONS = [0, 1]
for _code in range(1, 128):
    _DECISIONS.append(_DECISIONS[-1] + (2 << _code // 16))


def encode_mulaw(sample: int) -> int:
    """The G.711 µ-law byte for a 16-bit sample."""
    code = min(bisect_right(_DECISIONS, abs(sample) // 4) - 1, 127)
    return ~(code | (0x80 if sample < 0 else 0)) & 0xFF


def decode_mulaw(byte: int) -> int:
    """The 16-bit sample for a G.711 µ-law byte: the middle of the code's interval."""
    code = ~byte & 0x7F
    middle = (_DECISIONS[code] + _DECISIONS[code + 1]) // 2 if code else 0
    return middle * (4 if byte & 0x80 else -4)


class Ring:
    """`AudioRing` as a list of every sample ever written, and three integers.

    Methods are named as the core's. `write` is told how many samples the core let
    through, for only soxr knows when it answers; which samples they are is checked.
    It keeps the default resampler.
    """

    def __init__(
        self, sample_rate: int, encoding: str, chunk_ms: float, replay_seconds: float
    ) -> None:
        self.sample_rate = sample_rate
        self.encoding = encoding
        self.limit = ceil(sample_rate * replay_seconds)
        self.samples: list[int] = []
        self.acked = self.sent = 0
        self.dropped = self.forgotten = self.padded = 0
        self.samples_in: Counter[int] = Counter()
        self._rate = 0  # of what lies in `_input`
        self._input: list[Sequence[int]] = []  # since the last drain
        self._given = 0  # samples made of `_input` so far
        self.set_chunk_ms(chunk_ms)

    def set_chunk_ms(self, chunk_ms: float) -> None:
        self.chunk = self.next = self.length(chunk_ms)
        self._start_drifting()

    def rewind(self, sample: int) -> None:
        self.sent = sample
        self._start_drifting()

    def _start_drifting(self) -> None:
        """While a filter holds audio back, the next chunk ends where a write does."""
        self._adrift = bool(self._rate) and filtered(self._rate, self.sample_rate)

    @property
    def written(self) -> int:
        return len(self.samples)

    def length(self, ms: float) -> int:
        """The fewest samples that last `ms`."""
        return ceil(Fraction(str(ms)) * self.sample_rate / 1000)

    def write(self, frames: Frames, rate: int, accepted: int) -> None:
        """Append `frames`, of which `accepted` samples reach the ring at once."""
        self.samples_in[rate] += len(frames)
        drained = self.drain() if rate != self._rate else 0
        if rate == self.sample_rate:
            assert accepted - drained == len(frames)
            self._append(mix_down(frames))
            return
        if rate != self._rate:
            self._rate = rate
            self._start_drifting()
        self._input += frames
        ready = resample(self._input, rate, self.sample_rate, last=False)
        due, most = accepted - drained, len(ready) - self._given
        assert due == most if filtered(rate, self.sample_rate) else 0 <= due <= most
        self._append(ready[self._given : self._given + due])
        self._given += due
        waiting = self.written - self.sent
        if self._adrift and waiting >= self.chunk:
            self._adrift = False
            longer = self.chunk + waiting % self.chunk
            self.next = longer if longer <= self.length(1000) else self.next

    def drain(self) -> int:
        """Append the rest of what `_input` becomes; returns how many samples."""
        if not self._rate:
            return 0
        rest = resample(self._input, self._rate, self.sample_rate)[self._given :]
        self._append(rest)
        self._rate, self._input, self._given = 0, [], 0
        self._adrift = False
        return len(rest)

    def next_chunk(self) -> bytes | None:
        if self.written - self.sent < self.next:
            return None
        chunk, self.next = self._send(self.next), self.chunk
        return chunk

    def flush(self, min_ms: float) -> list[bytes]:
        self.drain()
        chunks = []
        while (chunk := self.next_chunk()) is not None:
            chunks.append(chunk)
        if rest := self.written - self.sent:
            padding = max(self.length(min_ms) - rest, 0)
            self.padded += padding
            chunks.append(self._send(rest) + self.encode([0] * padding))
        return chunks

    def encode(self, samples: Sequence[int]) -> bytes:
        """The bytes of `samples` in the ring's encoding."""
        if self.encoding == "pcm_mulaw":
            return bytes(encode_mulaw(sample) for sample in samples)
        return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)

    def _send(self, count: int) -> bytes:
        self.sent += count
        return self.encode(self.samples[self.sent - count : self.sent])

    def _append(self, samples: Sequence[int]) -> None:
        for sample in samples:
            self.samples.append(sample)
            if self.written - self.acked > self.limit:
                self._let_go_of_oldest()

    def _let_go_of_oldest(self) -> None:
        if self.acked < self.sent:
            self.forgotten += 1
        else:
            self.dropped += 1
            self.sent += 1
        self.acked += 1


def client_frame(opcode: int, payload: bytes, key: bytes) -> bytes:
    """A whole websocket message from a client (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + length + key + masked
