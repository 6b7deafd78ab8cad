"""What `AudioRing.write` takes and refuses, mixdown, and µ-law."""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
from livekit import rtc

from aai_stream._core import AudioRing, as_bytes
from aai_stream.errors import AudioError, InputError
from tests import reference
from tests.audio import everything, noise, to_frames, to_pcm, to_samples

RATE = 16000

PCM = noise(801)

BUFFERS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "memoryview of h": lambda pcm: memoryview(pcm).cast("h"),
    "memoryview of @h": lambda pcm: memoryview(pcm).cast("@h"),
    "array": lambda pcm: array("h", pcm),
    "NumPy": lambda pcm: np.frombuffer(pcm, np.int16),
    "NumPy <i2": lambda pcm: np.frombuffer(pcm, "<i2"),
    "NumPy (n, 1)": lambda pcm: np.frombuffer(pcm, np.int16).reshape(-1, 1),
    "NumPy bytes": lambda pcm: np.frombuffer(pcm, np.uint8),
    "odd address": lambda pcm: memoryview(b"!" + pcm)[1:],
    "odd address, NumPy": lambda pcm: np.frombuffer(b"!" + pcm, "<i2", offset=1),
    "AudioFrame.data": lambda pcm: rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2).data,
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_every_kind_of_buffer(kind: str) -> None:
    ring = AudioRing(RATE)
    assert ring.write(BUFFERS[kind](PCM), RATE) == 801
    assert everything(ring) == PCM
    assert ring.samples_in == {RATE: 801}


@pytest.mark.parametrize("kind", ["bytes", "odd address", "NumPy bytes"])
def test_channels_interleave_in_every_kind_of_buffer(kind: str) -> None:
    ring = AudioRing(RATE)
    pcm = noise(300, 2)
    assert ring.write(BUFFERS[kind](pcm), RATE, 2) == 300
    assert everything(ring) == to_pcm(reference.mix_down(to_frames(pcm, 2)))


def test_a_chunk_of_the_ring_can_be_written_back() -> None:
    ring = AudioRing(RATE)
    ring.write(PCM[:1600], RATE)
    chunk = ring.next_chunk()
    assert chunk is not None
    for _ in range(30):
        ring.write(chunk, RATE)
    assert everything(ring) == PCM[:1600] * 30


def test_nothing_is_a_fine_input() -> None:
    ring = AudioRing(RATE)
    assert ring.write(b"", 8000, 2) == 0
    assert (ring.samples_in, ring.memory_bytes) == ({}, 0)


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "odd count": (b"\0" * 3, {}, "3 bytes .* 1-channel"),
    "half a frame": (b"\0" * 6, {"num_channels": 2}, "6 bytes .* 2-channel"),
    "text": ("pcm", {}, "int16 .* 'str'"),
    "None": (None, {}, "int16 .* 'NoneType'"),
    "list": ([1, 2], {}, "int16 .* 'list'"),
    "gaps": (memoryview(bytes(8))[::2], {}, "contiguous"),
    "gaps, NumPy": (np.zeros(8, np.int16)[::2], {}, "contiguous"),
    "turned": (np.zeros((8, 2), np.int16).T, {"num_channels": 8}, "contiguous"),
    "released": (memoryview(b""), {}, "released"),
    "float32": (np.zeros(4, np.float32), {}, "int16 .* 'f'"),
    "int32": (np.zeros(4, np.int32), {}, "int16 .* 'i'"),
    "uint16": (np.zeros(4, np.uint16), {}, "int16 .* 'H'"),
    "int8": (np.zeros(4, np.int8), {}, "int16 .* 'b'"),
    "big-endian": (np.zeros(4, ">i2"), {}, "int16 .* '>h'"),
    "other channels": (np.zeros((8, 2), np.int16), {}, r"\(frames, 1\)"),
    "bytes in columns": (np.zeros((8, 2), np.uint8), {"num_channels": 2}, "shape"),
    "three dimensions": (np.zeros((2, 2, 1), np.int16), {}, "3 dimensions"),
    "rate 0": (PCM, {"sample_rate": 0}, "sample_rate .* 1000 to 768000, not 0"),
    "rate < 0": (PCM, {"sample_rate": -1}, "sample_rate .* 768000, not -1"),
    "rate too high": (PCM, {"sample_rate": 768_001}, "not 768001"),
    "rate beyond int64": (PCM, {"sample_rate": 2**64}, "not 18446744073709551616"),
    "fractional rate": (PCM, {"sample_rate": 44100.5}, "not 44100.5"),
    "rate as text": (PCM, {"sample_rate": "16000"}, "not '16000'"),
    "no channels": (PCM, {"num_channels": 0}, "num_channels .* 1 to 64, not 0"),
    "channels < 0": (PCM, {"num_channels": -2}, "num_channels .* 64, not -2"),
    "65 channels": (PCM, {"num_channels": 65}, "num_channels .* 64, not 65"),
    "channels as bool": (PCM, {"num_channels": True}, "not True"),
}
REFUSED["released"][0].release()


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_the_ring_untouched(what: str) -> None:
    data, arguments, message = REFUSED[what]
    ring = AudioRing(RATE)
    ring.write(PCM[:100], 24000)
    before = (ring.written, ring.pending_ms, ring.samples_in, ring.memory_bytes)
    with pytest.raises(AudioError, match=message):
        ring.write(data, **{"sample_rate": RATE, **arguments})
    assert before == (
        ring.written,
        ring.pending_ms,
        ring.samples_in,
        ring.memory_bytes,
    )


@pytest.mark.parametrize(
    ("size", "rate", "channels", "fine"),
    [
        (1600, 16000, 1, True),
        (1600, 24000, 2, True),
        (1601, 16000, 1, False),
        (1602, 16000, 2, False),
        (1600, 0, 1, False),
        (1600, 16000, 99, False),
    ],
)
def test_a_buffer_is_released_on_every_path(
    size: int, rate: int, channels: int, fine: bool
) -> None:
    data = bytearray(size)
    ring = AudioRing(RATE)
    if fine:
        ring.write(data, rate, channels)
        ring.write(memoryview(data)[1:-1], rate, 1)
    else:
        with pytest.raises(AudioError):
            ring.write(data, rate, channels)
    data.append(0)  # BufferError while anything exports it


def test_errors_are_value_errors_of_ours() -> None:
    with pytest.raises(ValueError, match="num_channels") as caught:
        AudioRing().write(b"", 16000, 0)
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("argument", "allowed"),
    [
        ({"sample_rate": 999}, "1000 to 768000, not 999"),
        ({"sample_rate": 16000.5}, "1000 to 768000, not 16000.5"),
        ({"encoding": "opus"}, "pcm_s16le or pcm_mulaw, not 'opus'"),
        ({"encoding": None}, "pcm_s16le or pcm_mulaw, not None"),
        ({"chunk_ms": 0}, "1 to 1000, not 0"),
        ({"chunk_ms": 1000.1}, "1 to 1000, not 1000.1"),
        ({"chunk_ms": float("nan")}, "1 to 1000, not nan"),
        ({"chunk_ms": "50"}, "1 to 1000, not '50'"),
        ({"chunk_ms": True}, "1 to 1000, not True"),
        ({"replay_seconds": 0.5}, "1 to 600, not 0.5"),
        ({"replay_seconds": 601}, "1 to 600, not 601"),
        ({"replay_seconds": True}, "1 to 600, not True"),
        ({"replay_seconds": None}, "1 to 600, not None"),
        ({"resampler": "best"}, "auto, soxr or fir, not 'best'"),
        ({"resampler": None}, "auto, soxr or fir, not None"),
    ],
)
def test_bad_arguments_of_a_ring(argument: dict[str, Any], allowed: str) -> None:
    with pytest.raises(AudioError, match=f"{next(iter(argument))} must be .*{allowed}"):
        AudioRing(**argument)


def test_a_string_enum_is_as_good_as_its_string() -> None:
    class Name(str):
        """As `enum.StrEnum` makes them."""

    ring = AudioRing(encoding=Name("pcm_mulaw"), resampler=Name("fir"))  # type: ignore[arg-type]
    ring.write(bytes(960), 24000)
    assert [len(chunk) for chunk in ring.flush()] == [800]


# -- mixdown --


def test_stereo_is_mixed_to_the_nearest_ties_to_even() -> None:
    levels = [*range(-32768, 32768, 257), -2, -1, 0, 1, 2, 3]
    frames = [[left, right] for left in levels for right in levels[-12:]]
    frames += [[right, left] for left, right in frames]
    ring = AudioRing(RATE)
    ring.write(to_pcm(sample for frame in frames for sample in frame), RATE, 2)
    assert to_samples(everything(ring)) == reference.mix_down(frames)


@pytest.mark.parametrize("channels", [2, 3, 4, 5, 6, 8, 63, 64])
def test_any_number_of_channels_is_mixed_the_same_way(channels: int) -> None:
    loud = [[32767] * channels, [-32768] * channels]
    ties = [[(n * (c + 1)) % 5 - 2 for c in range(channels)] for n in range(300)]
    frames = loud + ties + to_frames(noise(400, channels), channels)
    ring = AudioRing(RATE)
    pcm = to_pcm(sample for frame in frames for sample in frame)
    assert ring.write(pcm, RATE, channels) == len(frames)
    assert to_samples(everything(ring)) == reference.mix_down(frames)


@pytest.mark.parametrize("channels", [2, 3])
def test_channels_are_not_rounded_before_soxr(channels: int) -> None:
    ring = AudioRing(RATE, resampler="soxr")
    ring.write(to_pcm([100, 100, 101][-channels:] * 4800), 48000, channels)
    mean = float(np.float32(100 + 1 / channels))
    expected = reference.soxr_resample([mean] * 4800, 48000, RATE)
    assert to_samples(everything(ring)) == expected


# -- µ-law --


def test_mulaw_is_g711_for_every_sample() -> None:
    every_sample = np.arange(-32768, 32768).astype(np.int16)
    ring = AudioRing(RATE, encoding="pcm_mulaw")
    ring.write(every_sample.tobytes(), RATE)
    ours = everything(ring)
    file = io.BytesIO()
    soundfile.write(file, every_sample, RATE, "ULAW", format="RAW")
    assert ours == file.getvalue()
    assert ours == bytes(map(reference.encode_mulaw, every_sample.tolist()))


def test_mulaw_codes_survive_a_round_trip() -> None:
    levels = [reference.decode_mulaw(byte) for byte in range(256)]
    file = io.BytesIO(bytes(range(256)))
    decoded, _ = soundfile.read(
        file, dtype="int16", samplerate=RATE, channels=1, format="RAW", subtype="ULAW"
    )
    assert levels == decoded.tolist()
    ring = AudioRing(RATE, encoding="pcm_mulaw")
    ring.write(array("h", levels), RATE)
    negative_zero = 0x7F
    assert everything(ring) == bytes(
        0xFF if byte == negative_zero else byte for byte in range(256)
    )


@pytest.mark.parametrize(
    "data", [b"", bytes(4), np.zeros((0, 2), np.int16), np.ones((3, 2), np.int16)]
)
def test_as_bytes_shows_what_write_takes(data: Any) -> None:
    view = as_bytes(data, 16000, 2)
    assert (view.format, view.ndim) == ("B", 1)
    assert bytes(view) == bytes(data)


@pytest.mark.parametrize(
    ("data", "rate", "channels"),
    [
        (bytes(3), 16000, 1),
        (np.zeros(4, np.float32), 16000, 1),
        (np.zeros((4, 2), np.int16), 16000, 1),
        (b"", 0, 1),
        (b"", 16000, 0),
    ],
)
def test_as_bytes_refuses_what_write_refuses(
    data: Any, rate: int, channels: int
) -> None:
    with pytest.raises(AudioError) as ours:
        as_bytes(data, rate, channels)
    with pytest.raises(AudioError) as write:
        AudioRing().write(data, rate, channels)
    assert str(ours.value) == str(write.value)
