"""Whole recordings: from a file, a pipe or memory to turns."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import wave
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from types import AsyncGeneratorType
from typing import Any

import numpy as np
import pytest
import soundfile
from aiohttp import web
from numpy.typing import NDArray

import aai_stream
from aai_stream._core import as_bytes
from aai_stream.emulator.engines.marked import MarkedEngine, MarkedLayout, marked_audio
from aai_stream.emulator.engines.replay import ReplayEngine
from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.errors import (
    AudioError,
    DroppedError,
    InputError,
    LostAudioError,
    MissingExtraError,
    RefusedError,
    RejectedError,
    SessionError,
)
from aai_stream.files import (
    Recording,
    memory_recording,
    open_recording,
    play,
    raw_recording,
)
from aai_stream.messages import AudioLost, Turn
from tests import recorded_calls
from tests.servers import (
    begin_then,
    terminate_when_asked,
    until,
    websocket_server,
    within,
)

WORDS = ["w0000", "w0001", "w0002", "w0003"]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with Emulator(MarkedEngine(), api_keys={"k"}) as server:
        yield server.url


def words(turns: list[aai_stream.messages.Turn]) -> list[str]:
    return [w.text.lower().strip(".") for turn in turns for w in turn.words]


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("wav", "PCM_16"),
        ("wav", "PCM_24"),
        ("wav", "FLOAT"),
        ("wav", "DOUBLE"),
        ("wav", "ULAW"),
        ("flac", "PCM_16"),
    ],
)
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2)])
async def test_a_file_becomes_turns(
    tmp_path: Path, url: str, kind: str, subtype: str, rate: int, channels: int
) -> None:
    path = tmp_path / f"speech.{kind}"
    audio = np.repeat(marked_audio(4, sample_rate=rate)[:, None], channels, axis=1)
    soundfile.write(path, audio / 32768, rate, subtype=subtype)
    turns = await aai_stream.transcribe(path, api_key="k", base_url=url, realtime=False)
    assert words(turns) == WORDS
    assert [turn.turn_order for turn in turns] == list(range(len(turns)))


FORMATS: list[tuple[str, str, dict[str, Any]]] = [
    ("WAV", "PCM_U8", {}),
    ("WAV", "PCM_16", {}),
    ("WAV", "PCM_24", {}),
    ("WAV", "PCM_32", {}),
    ("WAV", "FLOAT", {}),
    ("WAV", "DOUBLE", {}),
    ("WAV", "ULAW", {}),
    ("WAV", "ALAW", {}),
    ("WAV", "IMA_ADPCM", {}),
    ("AIFF", "PCM_16", {}),
    ("CAF", "ALAC_16", {}),
    ("FLAC", "PCM_16", {}),
    ("FLAC", "PCM_24", {}),
    ("OGG", "VORBIS", {}),
    ("OGG", "OPUS", {}),
    # Of MP3, the first at 128 kbit/s and the second at 32.
    (
        "MP3",
        "MPEG_LAYER_III",
        {"compression_level": 0.2, "bitrate_mode": "CONSTANT"},
    ),
    (
        "MP3",
        "MPEG_LAYER_III",
        {"compression_level": 0.85, "bitrate_mode": "CONSTANT"},
    ),
    ("MP3", "MPEG_LAYER_III", {"compression_level": 0.5, "bitrate_mode": "VARIABLE"}),
]


@pytest.mark.parametrize(("kind", "subtype", "options"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
async def test_a_file_read_in_blocks_is_what_it_is_as_a_whole(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    subtype: str,
    options: dict[str, Any],
    channels: int,
) -> None:
    """Also where it is louder than full scale, as lossy formats make of loud ones."""
    path = tmp_path / "speech"
    audio = loud_voice(16_000, channels)
    soundfile.write(path, audio, 16_000, format=kind, subtype=subtype, **options)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    expected = (whole * 32768).round().clip(-32768, 32767)
    recording = open_recording(path)
    blocks = [np.frombuffer(bytes(block), "i2") async for block in recording.blocks]
    assert {len(block) for block in blocks[:-1]} == {800 * channels}
    read = np.concatenate(blocks).reshape(-1, channels)
    assert recording.seconds == len(whole) / 16_000
    assert read.shape == expected.shape
    assert np.abs(read - expected).max() <= (kind == "MP3")  # its floats' last bits
    assert capfd.readouterr() == ("", "")


def loud_voice(rate: int, channels: int) -> NDArray[np.float64]:
    """Three seconds of tones that come and go, square at their loudest."""
    seconds = np.arange(3 * rate) / rate
    tones = sum(np.sin(2 * np.pi * hertz * seconds) for hertz in (220, 510, 1300))
    swelling = tones * (1 + np.sin(2 * np.pi * 3 * seconds))
    voice = swelling + np.random.default_rng(1).normal(0, 0.05, len(seconds))
    return np.repeat(voice.clip(-0.999, 0.999)[:, None], channels, axis=1)


@pytest.mark.parametrize("kind", [bytes, np.array, memoryview])
async def test_memory_becomes_turns(url: str, kind: type) -> None:
    turns = await aai_stream.transcribe(
        kind(marked_audio(4, sample_rate=24000)),
        sample_rate=24000,
        api_key="k",
        base_url=url,
        realtime=False,
    )
    assert words(turns) == WORDS


async def test_a_turn_that_is_told_twice_counts_once(url: str) -> None:
    async with aai_stream.connect(
        api_key="k",
        base_url=url,
        speech_model="universal-streaming-english",
        format_turns=True,
    ) as stream:
        audio = memory_recording(marked_audio(6), 16000, 1)
        events = [e async for e in play(audio, stream, realtime=False)]
    # The empty turn at the end is told, but counts as none.
    ends = [e for e in events if isinstance(e, Turn) and e.end_of_turn and e.words]
    assert len(ends) == 4
    assert stream.stats.turns == 2


async def test_formatted_finals_take_the_place_of_plain_ones(url: str) -> None:
    (turn,) = await aai_stream.transcribe(
        marked_audio(1),
        sample_rate=16000,
        api_key="k",
        base_url=url,
        realtime=False,
        speech_model="universal-streaming-english",
        format_turns=True,
    )
    assert turn.turn_is_formatted


async def test_what_was_not_transcribed_is_raised_with_the_rest() -> None:
    faults = [fault("no-final,at=2000ms")]
    async with Emulator(MarkedEngine(), faults=faults) as server:
        with pytest.raises(
            LostAudioError, match=r"not transcribed: 1\.36 to"
        ) as caught:
            await aai_stream.transcribe(
                marked_audio(12),
                sample_rate=16000,
                realtime=False,
                api_key="k",
                base_url=server.url,
                max_retries=0,
            )
    starts = [MarkedLayout().start_ms(number) for number in range(12)]
    missing = [
        f"w{number:04}"
        for number, ms in enumerate(starts)
        if any(part.start_ms <= ms < part.end_ms for part in caught.value.lost)
    ]
    heard = words(caught.value.turns)
    assert heard + missing == [f"w{number:04}" for number in range(12)]
    assert heard
    assert missing
    assert caught.value.retryable
    assert "w0" not in repr(caught.value).lower()


@pytest.mark.parametrize(
    ("failing", "code", "kind"),
    [
        ("reset,at=4000ms", 1006, DroppedError),
        ("close,at=4000ms,code=4000", 4000, RejectedError),
    ],
)
async def test_turns_outlive_a_stream_that_fails(
    failing: str, code: int, kind: type[SessionError]
) -> None:
    """Also what was not pushed yet is named."""
    audio = marked_audio(40)
    async with Emulator(MarkedEngine(), faults=[fault(failing)]) as server:
        with pytest.raises(LostAudioError, match=rf"to 18\.18 s \(.*{code}") as caught:
            await aai_stream.transcribe(
                audio,
                sample_rate=16000,
                catch_up_rate=2,
                realtime=False,
                api_key="k",
                base_url=server.url,
                max_retries=0,
            )
    heard, lost = words(caught.value.turns), caught.value.lost
    assert heard[0] == "w0000"
    assert type(caught.value.__cause__) is kind
    assert caught.value.retryable is kind.retryable
    assert caught.value.code == code
    assert lost[0].start_ms <= MarkedLayout().start_ms(len(heard))
    for one, next_ in pairwise(lost):
        assert one.end_sample == next_.start_sample
    assert lost[-1].end_sample == len(audio)
    assert lost[-1].end_ms == len(audio) // 16


async def test_a_stream_that_fails_before_a_turn_is_told_by_type() -> None:
    async with Emulator(MarkedEngine(), faults=[fault("reset,at=300ms")]) as server:
        with pytest.raises(DroppedError):
            await aai_stream.transcribe(
                marked_audio(4),
                sample_rate=16000,
                realtime=False,
                api_key="k",
                base_url=server.url,
                max_retries=0,
            )


def test_only_some_of_many_losses_are_named() -> None:
    def lost(ms: int) -> AudioLost:
        return AudioLost(
            start_sample=0, end_sample=1, start_ms=ms, end_ms=ms + 1, why="because"
        )

    told = str(LostAudioError([lost(1000 * n) for n in range(5)]))
    assert told == (
        "not transcribed: 0.00 to 0.00 s, 1.00 to 1.00 s, 2.00 to 2.00 s and 2 more "
        "(because)"
    )


async def test_audio_that_cannot_be_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sample_rate"):
        await aai_stream.transcribe(b"", api_key="k")
    bad: list[tuple[Any, int, int]] = [
        (np.zeros(10, "i2")[::2], 16000, 1),
        (np.zeros(10), 16000, 1),
        (np.full(10, np.nan, "f4"), 16000, 1),
        (b"RIFF\0\0\0\0WAVEfmt ", 16000, 1),
        (np.zeros((10, 2), "i2"), 16000, 1),
        (bytes(3), 16000, 1),
        (bytes(4), 0, 1),
        (bytes(4), 16000, 0),
        ([1, 2], 16000, 1),
    ]
    for audio, rate, channels in bad:
        with pytest.raises(AudioError):
            await aai_stream.transcribe(
                audio, sample_rate=rate, num_channels=channels, api_key="k"
            )
    with pytest.raises(FileNotFoundError):
        await aai_stream.transcribe(tmp_path / "none.wav", api_key="k")
    scaled = np.full(1600, 1000.0, np.float32)
    soundfile.write(tmp_path / "scaled.wav", scaled, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="divide by 32768"):
        async for _ in open_recording(tmp_path / "scaled.wav").blocks:
            pass
    (tmp_path / "text.wav").write_text("not audio")
    with pytest.raises(AudioError, match=r"text\.wav"):
        await aai_stream.transcribe(tmp_path / "text.wav", api_key="k")


async def test_reading_files_needs_soundfile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    monkeypatch.setenv("PATH", "")  # ffmpeg would do
    soundfile.write(tmp_path / "x.flac", np.zeros(100), 16000)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r"x\.flac: .+ pip install soundfile"):
        open_recording(tmp_path / "x.flac")


def fake_ffmpeg(folder: Path, script: str) -> None:
    """A program of this name that runs `script`."""
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


async def test_ffmpeg_decodes_what_nothing_else_can(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_ffmpeg(tmp_path, "echo $@ >&2; head -c 4000 /dev/zero | tr '\\0' '\\1'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "call.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    recording = open_recording(tmp_path / "call.m4a")
    assert (recording.sample_rate, recording.num_channels) == (16_000, 1)
    assert recording.seconds is None
    blocks = [bytes(block) async for block in recording.blocks]
    assert b"".join(blocks) == b"\1" * 4000


async def test_what_ffmpeg_can_t_read_is_an_error_in_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_ffmpeg(tmp_path, "printf '\\1\\1'; echo 'No such codec' >&2; exit 3")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "call.m4a").write_bytes(b"nothing")
    blocks = open_recording(tmp_path / "call.m4a").blocks
    assert bytes(await anext(blocks)) == b"\1\1"
    with pytest.raises(AudioError, match=r"call\.m4a: ffmpeg can't .+: No such codec"):
        await anext(blocks)


async def test_a_reader_that_has_had_enough_ends_ffmpeg(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_ffmpeg(tmp_path, "exec cat /dev/zero")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "call.m4a").write_bytes(b"nothing")
    blocks = open_recording(tmp_path / "call.m4a").blocks
    assert isinstance(blocks, AsyncGeneratorType)
    assert len(bytes(await anext(blocks))) == 1600
    frame = blocks.ag_frame
    assert frame is not None
    process = frame.f_locals["process"]
    await until(lambda: process.stdout._paused)  # asyncio holds all that it wants to
    await within(5, blocks.aclose())


def test_without_ffmpeg_its_line_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "call.m4a").write_bytes(b"nothing")
    told = r"call\.m4a: .+ If it is audio, ffmpeg .+ -i IN OUT\.wav"
    with pytest.raises(AudioError, match=told):
        open_recording(tmp_path / "call.m4a")


async def test_a_wav_of_16_bits_needs_no_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also one whose head promises more than is there, cut in the middle of a frame."""
    path = tmp_path / "call.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(8000)
        wav.writeframes(bytes(range(200)) * 16)
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setitem(sys.modules, "soundfile", None)
    recording = open_recording(path)
    assert (recording.sample_rate, recording.num_channels) == (8000, 2)
    assert recording.seconds == pytest.approx(0.1, abs=0.003)
    blocks = [bytes(block) async for block in recording.blocks]
    assert b"".join(blocks) == (bytes(range(200)) * 16)[:-4]


async def test_a_pipe_is_heard_as_it_comes() -> None:
    """Blocks come while the writer still holds the pipe open, in whole frames."""
    reader, writer = os.pipe()
    try:
        recording = raw_recording(reader, 16000, num_channels=2)
        os.write(writer, b"\1\0\2\0\3")
        assert bytes(await within(5, anext(recording.blocks))) == b"\1\0\2\0"
        waiting = asyncio.ensure_future(anext(recording.blocks))
        await asyncio.sleep(0)
        assert not waiting.done()
        os.write(writer, b"\0\4\0\5")
        assert bytes(await within(5, waiting)) == b"\3\0\4\0"
    finally:
        os.close(writer)
    assert await within(5, anext(recording.blocks, None)) is None
    os.close(reader)


async def test_a_plain_file_as_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(marked_audio(1).tobytes())
    with path.open("rb") as file:
        recording = raw_recording(file.fileno(), 16000)
        data = b"".join([bytes(block) async for block in recording.blocks])
    assert data == path.read_bytes()


async def test_an_error_while_reading_ends_the_stream(url: str) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield bytes(3200)
        raise OSError("the disk is gone")

    async with aai_stream.connect(api_key="k", base_url=url) as stream:
        events = play(Recording(blocks(), 16000), stream, realtime=False)
        with pytest.raises(OSError, match="the disk is gone"):
            async for _ in events:
                pass


async def test_a_refused_key_leaves_no_reader_behind(url: str) -> None:
    with pytest.raises(RefusedError):
        await aai_stream.transcribe(
            marked_audio(1), sample_rate=16000, api_key="wrong", base_url=url
        )
    assert not any(map(_is_feeder, asyncio.all_tasks()))


async def test_leaving_early_stops_the_feeding(url: str) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        while True:
            yield bytes(3200)

    async with aai_stream.connect(api_key="k", base_url=url) as stream:
        events = play(Recording(blocks(), 16000), stream, realtime=False)
        await anext(events)
        assert any(map(_is_feeder, asyncio.all_tasks()))
        await within(5, events.aclose())
        assert not any(map(_is_feeder, asyncio.all_tasks()))


def _is_feeder(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "").endswith(".feed")


async def test_a_server_that_is_slow_misses_nothing() -> None:
    """Fast feeding waits for the socket: the ring holds a second, the file sixty."""
    go_on = asyncio.Event()
    heard = 0

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        nonlocal heard
        await begin_then(socket)
        assert request.transport is not None
        request.transport.pause_reading()
        await go_on.wait()
        request.transport.resume_reading()
        seen = await terminate_when_asked(socket)
        heard = sum(len(data) for data in seen if isinstance(data, bytes))

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield bytes(192_000)
        go_on.set()

    async with (
        websocket_server(handler) as url,
        aai_stream.connect(
            api_key="k",
            base_url=url,
            sample_rate=96_000,
            replay_seconds=1,
            catch_up_rate=math.inf,
        ) as stream,
    ):
        loop = asyncio.get_running_loop()
        loop.call_later(0.3, go_on.set)
        async for _ in play(Recording(blocks(), 96_000), stream, realtime=False):
            pass
    assert stream.stats.dropped_samples == 0
    assert heard == 60 * 192_000


async def test_a_device_that_is_always_ready() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    assert await anext(raw_recording(null, 16000).blocks, None) is None
    os.close(null)
    with pytest.raises(AudioError, match="sample_rate"):
        raw_recording(0, 0)


async def test_real_time_is_the_audio_s_own_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each wait is up to when the next block is due on the loop's clock."""
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    really_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            waits.append(seconds)
        await really_sleep(0)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(2 * 16_000)  # a second

    async with (
        Emulator(ScriptEngine([])) as server,
        aai_stream.connect(api_key="k", base_url=server.url) as stream,
    ):
        monkeypatch.setattr(asyncio, "sleep", sleep)
        begin = loop.time()
        async for _ in play(Recording(blocks(), 16000), stream):
            pass
        took = loop.time() - begin
        monkeypatch.undo()
    assert len(waits) == 4
    for due, wait in zip((1, 2, 3, 4), waits, strict=True):
        assert due - took <= wait <= due


# ---- recorded calls ----


def recorded_call(path: Path, rate: int = 8000) -> recorded_calls.Recorder:
    """Reset at 1500 ms in its second turn; a second session is refused (503)."""
    recorder = recorded_calls.Recorder(recorded_calls.noise(4000, rate), rate)
    first = recorder.session()
    first.connect()
    first.send(0, 1000)
    first.hear(recorded_calls.turn(0, ("hello", 200, 900), end=True))
    first.send(1000, 1500)
    first.lose()
    recorder.session().over("not_opened", "DroppedError", 503)
    third = recorder.session()
    third.connect()
    third.send(900, 2500)
    third.hear(recorded_calls.turn(0, ("again", 400, 900), end=True))
    third.send(2500, 4000)
    third.terminate()
    recorder.write(path)
    return recorder


async def test_a_recorded_call_is_sent_at_its_own_rate_and_heard_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "call.aai"
    recorded_call(path)
    async with Emulator(ReplayEngine(path)) as server:
        turns = await aai_stream.transcribe(
            path, base_url=server.url, realtime=False, catch_up_rate=50
        )
        assert [str(applied.fault) for applied in server.faults.applied][1:] == [
            "status,at=connect,on=2,code=503"
        ]
    assert [(t.turn_order, t.transcript, t.words[0].start) for t in turns] == [
        (0, "hello", 200),
        (1, "again", 1300),
    ]


async def test_a_recorded_call_is_a_recording(tmp_path: Path) -> None:
    recorder = recorded_call(tmp_path / "call.aai")
    recording = open_recording(tmp_path / "call.aai")
    assert (recording.sample_rate, recording.seconds) == (8000, 4.0)
    assert recording.sent_rate == 8000
    blocks = [bytes(as_bytes(block, 8000, 1)) async for block in recording.blocks]
    assert b"".join(blocks) == recorder.audio.tobytes()


def test_what_is_no_recorded_call(tmp_path: Path) -> None:
    path = tmp_path / "call.aai"
    with pytest.raises(FileNotFoundError):
        open_recording(path)
    path.write_bytes(b"RIFF")
    with pytest.raises(AudioError, match="is no recorded call"):
        open_recording(path)
