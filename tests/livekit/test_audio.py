"""What is sent: the audio that was pushed, in the order and the chunks it should be."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from livekit import rtc

from aai_stream.errors import AudioError, OptionError
from aai_stream.livekit import STT
from tests.audio import count_up, noise, to_samples
from tests.livekit.servers import (
    NO_RETRY,
    RATE,
    Server,
    closing,
    collect,
    make_stt,
    push,
    silence,
    streaming,
    to_frames,
)
from tests.reference import decode_mulaw, encode_mulaw
from tests.servers import BEGIN, until
from tests.talks import Talk

MIN_TAIL = 800
"""Samples in 50 ms, the shortest message that AssemblyAI takes."""


async def sent(*audio: tuple[bytes, int, int], **options: Any) -> Talk:
    """What a server gets of audio, each with its rate and number of channels."""
    async with Server() as server, streaming(server.url, **options) as stream:
        for pcm, rate, channels in audio:
            push(stream, pcm, rate, channels)
        stream.end_input()
        await collect(stream)
        assert stream._resampler is None  # LiveKit's own, of which we need none
    return server.talks[0]


def tone(rate: int, seconds: float) -> bytes:
    """A sine of 440 Hz."""
    at = np.arange(round(rate * seconds)) / rate
    return (10_000 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()


def pitch(samples: npt.NDArray[np.int16], rate: int = RATE) -> float:
    """The loudest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples.astype(float)))
    return float(np.argmax(spectrum)) * rate / len(samples)


# ---- of any kind ----


async def test_mu_law_is_mu_law() -> None:
    audio = noise(RATE // 2)
    client = await sent((audio, RATE, 1), encoding="pcm_mulaw")
    assert client.query["encoding"] == "pcm_mulaw"
    assert {len(chunk) for chunk in client.chunks} == {MIN_TAIL}
    samples = to_samples(audio)
    assert list(client.audio) == [encode_mulaw(sample) for sample in samples]
    decoded = [decode_mulaw(byte) for byte in client.audio]
    assert np.allclose(decoded, samples, rtol=0.04, atol=700)


async def test_stereo_is_mixed_down() -> None:
    left, right = (np.frombuffer(noise(RATE // 2, seed=s), "<i2") for s in (1, 2))
    stereo = np.stack([left, right], axis=1).tobytes()
    client = await sent((stereo, RATE, 2))
    mean = (left.astype(float) + right) / 2
    heard = np.frombuffer(client.audio, "<i2")
    assert len(heard) == len(left)
    assert np.abs(heard - mean).max() <= 0.5


async def test_the_input_may_change_in_mid_stream() -> None:
    inputs = [(RATE, 1), (48_000, 1), (8000, 1), (44_100, 1), (24_000, 1)]
    client = await sent(*((tone(rate, 0.5), rate, n) for rate, n in inputs))
    heard = np.frombuffer(client.audio, "<i2")
    whole = RATE * len(inputs) // 2
    assert 0 <= len(heard) - whole < MIN_TAIL
    assert not heard[whole:].any()  # what pads the tail
    for number in range(len(inputs)):
        part = heard[RATE * number // 2 :][: RATE // 2]
        assert pitch(part) == pytest.approx(440, abs=4)


@pytest.mark.parametrize("rate", [8000, 24_000, 44_100, 48_000])
async def test_native_sends_what_comes_at_its_own_rate(rate: int) -> None:
    audio = noise(rate // 2)
    client = await sent((audio, rate, 1), sample_rate="native")
    assert client.query["sample_rate"] == str(rate)
    assert client.audio == audio
    assert {len(chunk) for chunk in client.chunks} == {2 * rate // 20}


async def test_native_stays_with_the_first_rate() -> None:
    client = await sent(
        (tone(24_000, 0.5), 24_000, 1),
        (tone(48_000, 0.5), 48_000, 1),
        sample_rate="native",
    )
    assert client.query["sample_rate"] == "24000"
    heard = np.frombuffer(client.audio, "<i2")
    assert 24_000 <= len(heard) < 24_000 + 1200  # with what pads the tail to 50 ms
    assert pitch(heard[12_000:24_000], 24_000) == pytest.approx(440, abs=4)


async def test_native_mixes_down_all_the_same() -> None:
    mono = np.frombuffer(noise(12_000), "<i2")
    stereo = np.repeat(mono, 2).tobytes()
    client = await sent((stereo, 24_000, 2), sample_rate="native")
    assert client.audio == mono.tobytes()


async def test_native_connects_when_there_is_a_frame() -> None:
    native: dict[str, Any] = {"sample_rate": "native"}
    async with Server() as server, streaming(server.url, **native) as stream:
        stream.flush()  # of nothing
        stream.force_endpoint()
        assert server.calls == []
        push(stream, silence(0.05, 8000), 8000)
        stream.end_input()
        await collect(stream)
    assert server.talks[0].heard == [silence(0.05, 8000), {"type": "Terminate"}]


async def test_audio_of_the_right_rate_is_passed_on_untouched() -> None:
    audio = noise(24_000)
    client = await sent((audio, 24_000, 1), sample_rate=24_000)
    assert client.query["sample_rate"] == "24000"
    assert client.audio == audio


async def test_a_frame_that_is_no_audio_is_refused_and_nothing_lost() -> None:
    async with Server() as server, streaming(server.url) as stream:
        push(stream, silence(0.05))
        with pytest.raises(ValueError, match="rate"):
            stream.push_frame(rtc.AudioFrame(bytes(200), 1, 1, 100))
        push(stream, silence(0.05))
        stream.end_input()
        await collect(stream)
    assert server.talks[0].seconds == pytest.approx(0.1)


async def test_the_resampler_may_be_chosen() -> None:
    audio = tone(24_000, 0.5)
    heard = {}
    for kind in ("auto", "fir", "soxr"):
        client = await sent((audio, 24_000, 1), resampler=kind)
        heard[kind] = client.audio[:16_000]
    assert heard["auto"] == heard["fir"] != heard["soxr"]
    with pytest.raises(OptionError, match="resampler must be auto, soxr or fir"):
        STT(api_key="k", resampler="best")  # type: ignore[arg-type]


async def test_a_rate_that_fir_can_t_take_is_refused_and_nothing_lost() -> None:
    fir: dict[str, Any] = {"resampler": "fir"}
    async with Server() as server, streaming(server.url, **fir) as stream:
        push(stream, silence(0.05))
        with pytest.raises(AudioError, match="of 44100 Hz"):
            push(stream, silence(0.05, 44_100), 44_100)
        push(stream, silence(0.05))
        stream.end_input()
        await collect(stream)
    assert server.talks[0].seconds == pytest.approx(0.1)


@pytest.mark.parametrize("rate", [8000, 24_000, 32_000, 48_000])
async def test_each_frame_leaves_when_it_is_pushed(rate: int) -> None:
    async with Server() as server, streaming(server.url) as stream:
        client = await server.client()
        await until(lambda: stream.session_id is not None)
        lengths = []
        for count in range(1, 21):
            frame = rtc.AudioFrame(silence(0.05, rate), rate, 1, rate // 20)
            stream.push_frame(frame)
            if count > 1:
                await until(lambda: len(client.chunks) == count - 1)  # noqa: B023
                lengths.append(len(client.chunks[-1]) // 2)
        stream.end_input()
        await collect(stream)
    assert 1600 - 3 * 16 <= lengths[0] < 1600
    assert set(lengths[1:]) == {800}


# ---- in chunks ----


@pytest.mark.parametrize(
    ("seconds", "samples"),
    [
        (0.05, 800),
        (0.06, 960),
        (0.0625, 1000),
        (0.1, 1600),
        (0.333, 5328),
        (1, 16_000),
    ],
)
async def test_chunks_are_as_long_as_asked(seconds: float, samples: int) -> None:
    audio = count_up(0, 33_333)
    client = await sent((audio, RATE, 1), buffer_size_seconds=seconds)
    lengths = [len(chunk) // 2 for chunk in client.chunks]
    full = 33_333 // samples
    assert lengths[:full] == [samples] * full
    assert all(MIN_TAIL <= length <= RATE for length in lengths)
    assert client.audio[: len(audio)] == audio
    padding = client.audio[len(audio) :]
    assert padding == bytes(len(padding))
    assert len(padding) < 2 * MIN_TAIL


@pytest.mark.parametrize("rate", [8000, 24_000])
async def test_chunks_at_other_rates(rate: int) -> None:
    audio = noise(rate)
    client = await sent(
        (audio, rate, 1), sample_rate="native", buffer_size_seconds=0.0625
    )
    assert {len(chunk) // 2 for chunk in client.chunks} == {rate // 16}


async def test_chunks_change_their_length_at_once() -> None:
    audio = noise(RATE)
    async with Server() as server, streaming(server.url) as stream:
        await until(lambda: stream.session_id is not None)
        push(stream, audio[:16_000])
        stream.update_options(buffer_size_seconds=0.1)
        push(stream, audio[16_000:])
        stream.end_input()
        await collect(stream)
    client = server.talks[0]
    assert [len(chunk) // 2 for chunk in client.chunks] == [800] * 10 + [1600] * 5
    assert client.audio == audio


@pytest.mark.parametrize("samples", [1, 160, 799, 800, 801, 1440])
@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_mulaw"])
async def test_the_last_chunk_is_not_too_short(samples: int, encoding: str) -> None:
    client = await sent((count_up(1, samples), RATE, 1), encoding=encoding)
    width = 2 if encoding == "pcm_s16le" else 1
    chunks = 1 if samples <= MIN_TAIL else 2
    assert [len(chunk) for chunk in client.chunks] == [width * MIN_TAIL] * chunks


@pytest.mark.parametrize("frame_ms", [1, 7, 20, 50, 130, 1000])
async def test_how_audio_is_cut_up_does_not_matter(frame_ms: int) -> None:
    audio = noise(RATE)
    async with Server() as server, streaming(server.url) as stream:
        for frame in to_frames(audio, frame_ms=frame_ms):
            stream.push_frame(frame)
        stream.end_input()
        await collect(stream)
    assert server.talks[0].chunks == [
        audio[start : start + 1600] for start in range(0, len(audio), 1600)
    ]


# ---- in order, and in time ----


async def test_what_is_pushed_before_there_is_a_connection_is_sent_at_its_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aai_stream.protocol.sending.BURST_SECONDS", 0)
    audio = noise(RATE // 2)
    async with Server() as server, streaming(server.url, catch_up_rate=4) as stream:
        push(stream, audio)
        stream.end_input()
        await collect(stream)
    client = server.talks[0]
    assert client.audio == audio
    # At four times real time, but for a chunk or two that arrived late.
    assert client.arrived[-1] - client.arrived[0] > 0.08


async def test_flush_sends_the_tail_and_ends_no_turn() -> None:
    async with Server() as server, streaming(server.url) as stream:
        client = await server.client()
        push(stream, count_up(1, 480))
        await until(lambda: stream.session_id is not None)
        assert client.heard == []
        stream.flush()
        await until(lambda: len(client.heard) == 1)
        push(stream, count_up(481, 800))
        stream.end_input()
        await collect(stream)
    assert not make_stt(server.url).capabilities.manual_flush
    assert client.heard == [
        count_up(1, 480) + bytes(640),
        count_up(481, 800),
        {"type": "Terminate"},
    ]


async def test_manual_flush_ends_the_turn_behind_what_was_pushed() -> None:
    async with Server() as server:
        stt = make_stt(server.url, manual_flush=True)
        assert stt.capabilities.manual_flush
        async with closing(stt.stream(conn_options=NO_RETRY)) as stream:
            await until(lambda: stream.session_id is not None)
            push(stream, count_up(1, 1280))
            stream.flush()
            push(stream, count_up(1281, 800))
            stream.flush()
            stream.flush()
            stream.end_input()
            await collect(stream)
    assert server.talks[0].heard == [
        count_up(1, 800),
        count_up(801, 480) + bytes(640),
        {"type": "ForceEndpoint"},
        count_up(1281, 800),
        {"type": "ForceEndpoint"},
        {"type": "ForceEndpoint"},
        {"type": "Terminate"},
    ]


@pytest.mark.parametrize("manual_flush", [True, False])
async def test_a_turn_that_was_ended_before_there_is_a_connection(
    manual_flush: bool,
) -> None:
    let_begin = asyncio.Event()

    async def behave(client: Talk) -> None:
        await let_begin.wait()
        await client.say(BEGIN)

    options: dict[str, Any] = {"manual_flush": manual_flush}
    async with Server(behave) as server, streaming(server.url, **options) as stream:
        client = await server.client()
        end_turn = stream.flush if manual_flush else stream.force_endpoint
        push(stream, count_up(1, 1600))
        end_turn()
        push(stream, count_up(1601, 1000))
        end_turn()
        let_begin.set()
        await until(lambda: client.asked == ["ForceEndpoint"] * 2)
        push(stream, count_up(2601, 800))
        stream.end_input()
        await collect(stream)
    heard, ends = 0, []
    for told in client.heard:
        if isinstance(told, bytes):
            heard += len(told) // 2
        elif told["type"] == "ForceEndpoint":
            ends.append(heard)
    # Without a flush the rest that is no full chunk belongs to the next turn.
    assert ends == [1600, 3200 if manual_flush else 2400]
    pushed = np.array(to_samples(client.audio))
    assert pushed[pushed != 0].tolist() == list(range(1, 3401))
