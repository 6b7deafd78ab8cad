"""Whole recordings through a stream: from a file, a pipe or memory to turns."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import os
import shutil
import stat
import wave
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import containers
from ._core import as_bytes
from .client import ConnectOptions, connect
from .errors import (
    AudioError,
    InputError,
    LostAudioError,
    MissingExtraError,
    SessionError,
)
from .messages import AudioLost, Event, SilenceSkipped, Turn
from .options import refuse_unknown
from .recorder.format import SUFFIX, UNFINISHED
from .recorder.reading import read_call
from .signatures import spelled_out
from .stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .typing import Audio

logger = logging.getLogger("aai_stream")

RATE = 16_000
"""Of what is sent, in Hz, whatever is recorded."""

BLOCK_MS = 50
"""How much is read and pushed at a time."""


@dataclass(frozen=True)
class Recording:
    """Audio to be read once: `blocks` of interleaved int16 in order."""

    blocks: AsyncIterator[Audio]
    sample_rate: int
    num_channels: int = 1
    seconds: float | None = None
    """Its length, None if that isn't known before its end."""
    sent_rate: int = RATE
    """At which it is sent, in Hz. A recorded call is sent as it was."""

    def count_frames(self, block: Audio) -> int:
        """How many frames one of the blocks holds."""
        view = as_bytes(block, self.sample_rate, self.num_channels)
        return len(view) // (2 * self.num_channels)


def open_recording(path: str | os.PathLike[str]) -> Recording:
    """An audio file, read as it is needed.

    Of a recorded call (`.aai`), it is the audio that was sent.
    WAV of 16 bits needs nothing; other WAV, FLAC, OGG and MP3 need soundfile. What that
    can't read, such as M4A or WebM, ffmpeg decodes if it is installed, to 16 kHz mono.

    Raises `OSError` if there is no such file, `AudioError` if it can't be read,
    `MissingExtraError` if soundfile isn't installed.
    """
    if os.fspath(path).endswith((SUFFIX, UNFINISHED)):
        return _call(path)
    name = Path(path).name
    # soundfile's own words are unclear for a file that is missing or empty.
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        raise AudioError(f"{name}: the file is empty")
    if (recording := _open_wav(path)) is not None:
        return recording
    try:
        return _open_with_soundfile(path)
    except ImportError:
        failure: Exception = MissingExtraError(
            f"{name}: reading this needs soundfile: pip install soundfile"
        )
    except AudioError as exc:
        failure = AudioError(
            f"{name}: {exc} If it is audio, ffmpeg may know it: install it, or convert "
            "the file by ffmpeg -i IN OUT.wav"
        )
    if (ffmpeg := shutil.which("ffmpeg")) is not None:
        return _decoded(ffmpeg, path)
    raise failure


def _call(path: str | os.PathLike[str]) -> Recording:
    """A recorded call, finished or not."""
    try:
        call = read_call(path)
    except InputError as exc:
        raise AudioError(str(exc)) from None
    rate = call.meta.sample_rate
    return replace(memory_recording(call.audio, rate, 1), sent_rate=rate)


def _open_wav(path: str | os.PathLike[str]) -> Recording | None:
    """A WAV file of 16 bits; None if it is none."""
    try:
        with wave.open(os.fspath(path)) as wav:
            rate, channels = wav.getframerate(), wav.getnchannels()
            width, frames = wav.getsampwidth(), wav.getnframes()
    except (wave.Error, EOFError):
        return None
    if width != 2 or rate < 1:
        return None
    # Programs that write to a pipe promise more than comes.
    frames = min(frames, os.path.getsize(path) // (2 * channels))

    async def blocks() -> AsyncIterator[Audio]:
        with wave.open(os.fspath(path)) as wav:
            while block := wav.readframes(max(1, rate * BLOCK_MS // 1000)):
                yield block[: len(block) // (2 * channels) * 2 * channels]

    return Recording(blocks(), rate, channels, frames / rate)


def _open_with_soundfile(path: str | os.PathLike[str]) -> Recording:
    """What soundfile reads. Raises `AudioError`, or `ImportError` without it."""
    import soundfile

    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as exc:
        raise AudioError(exc.error_string) from None
    # Or else soundfile seeks after each read, which makes an MP3's decoder forget what
    # it needs for the next.
    file.seekable = lambda: False

    async def blocks() -> AsyncIterator[Audio]:
        with file:
            size = file.samplerate * BLOCK_MS // 1000
            # As int16, what a lossy format made louder than full scale would wrap.
            while len(block := file.read(size, "float32")):
                yield as_bytes(block, file.samplerate, file.channels)

    return Recording(
        blocks(), file.samplerate, file.channels, file.frames / file.samplerate
    )


def _decoded(ffmpeg: str, path: str | os.PathLike[str]) -> Recording:
    """What `ffmpeg` makes of a file. Iterating raises `AudioError` where it fails."""
    rate = RATE
    name = Path(path).name

    async def blocks() -> AsyncIterator[Audio]:
        process = await asyncio.create_subprocess_exec(
            *(ffmpeg, "-nostdin", "-v", "error", "-i", f"file:{os.fspath(path)}"),
            *("-f", "s16le", "-ac", "1", "-ar", str(rate), "-"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        complaints = asyncio.ensure_future(process.stderr.read())
        try:
            while block := await _exactly(process.stdout, 2 * rate * BLOCK_MS // 1000):
                yield block
            if await process.wait():
                said = (await complaints).decode(errors="replace").splitlines()
                raise AudioError(f"{name}: ffmpeg can't read it: {' '.join(said[-1:])}")
        finally:
            if process.returncode is None:
                process.kill()
                # Or else asyncio, which reads no more than a buffer holds, would never
                # see that end of the pipe, and `wait` would wait for it.
                await process.stdout.read()
                await process.wait()
            await complaints

    return Recording(blocks(), rate)


async def _exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    """So many bytes, or what is left."""
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as exc:
        return exc.partial


def raw_recording(fd: int, sample_rate: int, num_channels: int = 1) -> Recording:
    """Raw PCM16 from a file descriptor, as it arrives.

    An incomplete last frame is left out. Raises `AudioError` for a rate or a number
    of channels that no audio has.
    """
    as_bytes(b"", sample_rate, num_channels)

    async def blocks() -> AsyncIterator[Audio]:
        frame = 2 * num_channels
        rest = b""
        while data := await _read(fd, sample_rate * frame * BLOCK_MS // 1000):
            data = rest + data
            whole = len(data) // frame * frame
            rest = data[whole:]
            yield data[:whole]

    return Recording(blocks(), sample_rate, num_channels)


def memory_recording(data: Audio, sample_rate: int, num_channels: int) -> Recording:
    """Audio in memory: interleaved int16, or float32, in a contiguous buffer.

    Raises `AudioError` if it isn't that, or begins like a file.
    """
    view = as_bytes(data, sample_rate, num_channels)
    containers.refuse(bytes(view[:8]))
    size = sample_rate * BLOCK_MS // 1000 * 2 * num_channels

    async def blocks() -> AsyncIterator[Audio]:
        for start in range(0, len(view), size):
            yield view[start : start + size]

    seconds = len(view) / (2 * num_channels * sample_rate)
    return Recording(blocks(), sample_rate, num_channels, seconds)


async def _read(fd: int, size: int) -> bytes:
    """Up to `size` bytes, b"" at the end; waits without blocking the event loop."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            loop.add_reader(fd, readable.set)
            await readable.wait()
        except PermissionError:  # a device that is always ready, such as /dev/null
            pass
        finally:
            loop.remove_reader(fd)
    return os.read(fd, size)


async def play(
    recording: Recording, stream: Stream, *, realtime: bool = True
) -> AsyncGenerator[Event, None]:
    """Push a recording into an open stream and give the events that come back.

    With `realtime` the audio is pushed at its own speed, otherwise as fast as the
    stream's `catch_up_rate` and the server take it. The stream is ended after the last
    block, closed on an error. If it fails, what was not pushed yet is told as
    `AudioLost`, too, before the error is raised.
    """

    async def feed() -> None:
        try:
            await _feed(recording, stream, realtime)
            await stream.end()
        except BaseException:
            await stream.aclose()
            raise

    feeder = asyncio.ensure_future(feed())
    try:
        async for event in stream:
            yield event
        await feeder
    except SessionError:
        if (rest := _not_pushed(recording, stream)) is not None:
            yield rest
        raise
    finally:
        feeder.cancel()
        await asyncio.wait([feeder])
        if not feeder.cancelled():
            feeder.exception()  # the stream has told it, or it was raised above


def _not_pushed(recording: Recording, stream: Stream) -> AudioLost | None:
    """What is left of a recording; None if that is nothing, or nobody knows."""
    start, rate = stream.stats.written_samples, recording.sent_rate
    end = math.floor((recording.seconds or 0) * rate)
    if end <= start:
        return None
    return AudioLost(
        start_sample=start,
        end_sample=end,
        start_ms=start * 1000 // rate,
        end_ms=end * 1000 // rate,
        why="the stream failed before",
    )


async def _feed(recording: Recording, stream: Stream, realtime: bool) -> None:
    clock = asyncio.get_running_loop().time
    begin = clock()
    frames = 0
    rate, channels = recording.sample_rate, recording.num_channels
    async for block in recording.blocks:
        stream.push(block, sample_rate=rate, num_channels=channels)
        await stream.drain()
        frames += recording.count_frames(block)
        ahead = begin + frames / rate - clock() if realtime else 0
        await asyncio.sleep(max(0.0, ahead))


@spelled_out(connect)
async def transcribe(
    audio: str | os.PathLike[str] | Audio,
    *,
    sample_rate: int | None = None,
    num_channels: int = 1,
    realtime: bool = True,
    **connect_options: Unpack[ConnectOptions],
) -> list[Turn]:
    """The turns of a whole recording, in order, with words and times.

        turns = await aai_stream.transcribe("call.wav", speech_model="u3-rt-pro")

    Args:
        audio: a path, see `open_recording`; or interleaved int16 in a buffer, or
            float32 from -1 to 1.
        sample_rate: of a buffer, in Hz.
        num_channels: of a buffer.
        realtime: push at the audio's own speed, which AssemblyAI asks for; False is
            for the embedded server.
        **connect_options: as for `aai_stream.connect`, but for its `sample_rate`.
            `skip_silence` is off: of a recording all is sent.

    Raises:
        OSError: there is no such file.
        InputError: the audio or an option is bad.
        LostAudioError: parts of it were not transcribed; it has the turns of the rest.
        SessionError: what became of the connection, by type, before any turn was final.
    """
    refuse_unknown(connect_options, inspect.signature(transcribe).parameters)
    if isinstance(audio, (str, os.PathLike)):
        recording = open_recording(audio)
    elif sample_rate is None:
        raise InputError("audio in memory needs its sample_rate")
    else:
        recording = memory_recording(audio, sample_rate, num_channels)
    if not realtime:
        connect_options.setdefault("catch_up_rate", math.inf)
    connect_options.setdefault("skip_silence", False)
    async with connect(sample_rate=recording.sent_rate, **connect_options) as stream:
        return await heard_turns(recording, stream, realtime=realtime)


async def heard_turns(
    recording: Recording, stream: Stream, *, realtime: bool
) -> list[Turn]:
    """`play` a recording; its final turns in order, each as it was told last.

    Raises `LostAudioError` if that is not all of it, otherwise as `transcribe`.
    """
    turns: dict[int, Turn] = {}
    lost: list[AudioLost] = []
    failure = None
    try:
        async for event in play(recording, stream, realtime=realtime):
            if isinstance(event, AudioLost):
                lost.append(event)
            elif isinstance(event, SilenceSkipped):
                logger.warning(
                    "not sent, for silence: %.2f to %.2f s",
                    event.start_ms / 1000,
                    event.end_ms / 1000,
                )
            elif isinstance(event, Turn) and event.is_final and event.transcript:
                turns[event.turn_order] = event
    except SessionError as exc:
        if not (turns and lost):
            raise
        failure = exc
    in_order = [turns[order] for order in sorted(turns)]
    if lost:
        raise LostAudioError(lost, in_order, failure=failure)
    return in_order
