"""What `AudioRing.write` takes and refuses, mixdown, and µ-law."""

from __future__ import annotations

import io
import math
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import soundfile
from livekit import rtc
from numpy.typing import NDArray

from aai_stream._core import AudioRing, as_bytes
from aai_stream.errors import AudioError, InputError
from tests import reference
from tests.audio import everything, noise, to_frames, to_pcm, to_samples

RATE = 16000

PCM = noise(801)


def f32(samples: Iterable[float]) -> NDArray[np.float32]:
    return np.array(list(samples), np.float32)


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
    "float64": (np.zeros(4), {}, "int16, float32 .* 'd'"),
    "float16": (np.zeros(4, np.float16), {}, "int16, float32 .* 'e'"),
    "big-endian floats": (np.zeros(4, ">f4"), {}, "'>f'"),
    "half a frame of floats": (
        np.zeros(3, np.float32),
        {"num_channels": 2},
        "12 bytes .* 2-channel float32 frames .8 bytes",
    ),
    "floats of other channels": (
        np.zeros((8, 2), np.float32),
        {"num_channels": 4},
        r"\(frames, 4\)",
    ),
    "floats as loud as int16": (
        f32([0.5, 120]),
        {},
        "from -1 to 1.*within 8: divide by 32768",
    ),
    "floats just too loud": (f32([-8.0001]), {}, "within 8"),
    "NaN": (f32([0.5] * 600 + [math.nan]), {}, "replace NaN"),
    "infinite": (f32([-math.inf]), {}, "numbers from -1 to 1"),
    "int32": (np.zeros(4, np.int32), {}, "int16, .* 'i'"),
    "uint16": (np.zeros(4, np.uint16), {}, "int16, .* 'H'"),
    "int8": (np.zeros(4, np.int8), {}, "int16, .* 'b'"),
    "big-endian": (np.zeros(4, ">i2"), {}, "int16, .* '>h'"),
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


FLOATS: dict[str, Callable[[NDArray[np.float32]], Any]] = {
    "NumPy": lambda samples: samples,
    "NumPy (n, 1)": lambda samples: samples.reshape(-1, 1),
    "array": lambda samples: array("f", samples.tolist()),
    "memoryview": lambda samples: memoryview(samples.tobytes()).cast("f"),
    "memoryview of @f": lambda samples: memoryview(samples.tobytes()).cast("@f"),
    "odd address": lambda samples: np.frombuffer(
        b"!" + samples.tobytes(), "<f4", offset=1
    ),
}


def pcm_of(samples: Iterable[float]) -> bytes:
    """int16 of floats, the obvious way: to the nearest, ties to even, clipped."""
    return to_pcm(max(-32768, min(32767, round(s * 32768))) for s in samples)


def floats(count: int, seed: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1.2, 1.2, count).astype(np.float32)


@pytest.mark.parametrize("kind", FLOATS)
def test_every_kind_of_float32_buffer(kind: str) -> None:
    ring = AudioRing(RATE)
    samples = floats(801)
    assert ring.write(FLOATS[kind](samples), RATE) == 801
    assert everything(ring) == pcm_of(samples.tolist())
    assert ring.samples_in == {RATE: 801}


def test_floats_are_scaled_rounded_and_clipped() -> None:
    step = 1 / 32768
    values = {
        0.0: 0,
        1.0: 32767,
        -1.0: -32768,
        1.5: 32767,
        -8.0: -32768,
        8.0: 32767,
        0.4 * step: 0,
        0.5 * step: 0,
        1.5 * step: 2,
        -0.5 * step: 0,
        -1.5 * step: -2,
        32766.6 * step: 32767,
        1e-40: 0,
    }
    ring = AudioRing(RATE)
    ring.write(f32(values), RATE)
    assert to_samples(everything(ring)) == list(values.values())


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("columns", [False, True])
def test_floats_are_what_int16_would_be(
    rate: int, channels: int, columns: bool
) -> None:
    samples = floats(2400 * channels)
    pcm = pcm_of(samples.tolist())
    first, second = AudioRing(RATE), AudioRing(RATE)
    first.write(samples.reshape(-1, channels) if columns else samples, rate, channels)
    second.write(pcm, rate, channels)
    assert everything(first) == everything(second)
    assert first.samples_in == second.samples_in


def test_no_floats_are_a_fine_input() -> None:
    ring = AudioRing(RATE)
    assert ring.write(np.zeros((0, 2), np.float32), 8000, 2) == 0
    assert (ring.samples_in, ring.memory_bytes) == ({}, 0)


FILES = {
    "WAV": b"RIFF\x24\0\0\0WAVEfmt ",
    "MP3": b"ID3\x04\0\0\0\0\x00\x23",
    "Ogg": b"OggS\0\x02\0\0",
    "WebM": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81",
    "FLAC": b"fLaC\0\0\0\x22",
    "MP4": b"\0\0\0\x20ftypisom",
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_a_file_is_no_pcm(kind: str, rate: int) -> None:
    ring = AudioRing(RATE)
    head = FILES[kind] + bytes(1600)
    for data in (head, np.frombuffer(head, np.int16)):
        with pytest.raises(AudioError, match=f"begins like a file: .*{kind}.* decode"):
            ring.write(data, rate)
        with pytest.raises(AudioError, match=f"begins like a file: .*{kind}.* decode"):
            ring.pcm_of(data, rate)
    assert (ring.written, ring.samples_in, ring.memory_bytes) == (0, {}, 0)
    ring.write(bytes(2), rate)
    ring.write(head, rate)  # by then it is audio, whatever it looks like


def test_only_a_stream_s_first_bytes_can_be_a_file_s() -> None:
    ring = AudioRing(RATE)
    ring.write(b"", RATE)
    with pytest.raises(AudioError, match="begins like a file"):
        ring.write(FILES["WAV"], RATE)
    ring.write(bytes(2), RATE)
    ring.drain()
    ring.flush()
    ring.write(FILES["WAV"], RATE)
    ring.write(FILES["WAV"], 24_000)
    assert ring.pcm_of(FILES["WAV"], 8_000) == FILES["WAV"]
    for short in (b"RI", b"OggR", b"ID"):
        AudioRing(RATE).write(bytes(2) if len(short) % 2 else short, RATE)


@pytest.mark.parametrize("kind", BUFFERS)
def test_a_copy_of_every_kind_of_buffer(kind: str) -> None:
    ring = AudioRing(RATE)
    assert ring.pcm_of(BUFFERS[kind](PCM), 24_000) == PCM
    assert (ring.written, ring.samples_in) == (0, {})


@pytest.mark.parametrize("kind", FLOATS)
def test_a_copy_of_every_kind_of_float32_buffer(kind: str) -> None:
    samples = floats(300)
    expected = pcm_of(samples.tolist())
    assert AudioRing(RATE).pcm_of(FLOATS[kind](samples), RATE) == expected
    assert bytes(as_bytes(FLOATS[kind](samples), RATE)) == expected


def test_a_copy_is_one() -> None:
    data = bytearray(PCM)
    copy = AudioRing(RATE).pcm_of(data, RATE)
    data[:] = bytes(len(data))
    assert copy == PCM


def test_any_thread_may_copy() -> None:
    ring = AudioRing(RATE)
    ring.write(PCM, RATE)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ring.pcm_of, PCM, 24_000).result() == PCM


@pytest.mark.parametrize("what", REFUSED)
def test_a_copy_is_refused_as_a_write_is(what: str) -> None:
    data, arguments, message = REFUSED[what]
    with pytest.raises(AudioError, match=message):
        AudioRing(RATE).pcm_of(data, **{"sample_rate": RATE, **arguments})


def test_a_copy_at_a_rate_that_fir_cannot_take() -> None:
    ring = AudioRing(RATE, resampler="fir")
    with pytest.raises(AudioError, match="resampler='fir' can't make 16000 Hz of 441"):
        ring.pcm_of(PCM, 44_100)
    assert ring.pcm_of(PCM, 48_000) == PCM


def test_nothing_is_a_fine_input() -> None:
    ring = AudioRing(RATE)
    assert ring.write(b"", 8000, 2) == 0
    assert (ring.samples_in, ring.memory_bytes) == ({}, 0)


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
        (np.zeros(4), 16000, 1),
        (f32([9]), 16000, 1),
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
