"""Twelve seconds of the example call, in real time, through the client."""

from __future__ import annotations

import asyncio
import re
from difflib import SequenceMatcher
from importlib.resources import as_file, files
from statistics import median

import soundfile

from ..client import connect
from ..errors import AaiStreamError
from ..files import open_recording, play
from ..messages import AudioLost, Termination, Turn
from .findings import Finding, doubtful, failed, fine

TEXT = (
    "Hello, this is John Miller speaking. I need to change my appointment on Monday "
    "morning. Is there anything available on Wednesday afternoon?"
)
FEWEST_RIGHT = 0.85
SLOWEST_FINAL_SECONDS = 2.5
LONGEST_SECONDS = 60.0


async def check_round_trip(
    base_url: str, key: str, *, allow_unencrypted: bool
) -> list[Finding]:
    """Whether the words come back, and how soon."""
    heard: list[str] = []
    delays: list[float] = []
    lost = 0.0
    termination: Termination | None = None

    async def speak() -> None:
        nonlocal lost, termination
        with as_file(files(__package__) / "call.flac") as path:
            recording = open_recording(path)
            async with connect(
                api_key=key,
                base_url=base_url,
                allow_unencrypted=allow_unencrypted,
                max_retries=2,
            ) as stream:
                began = asyncio.get_running_loop().time()
                async for event in play(recording, stream, realtime=True):
                    if isinstance(event, AudioLost):
                        lost += (event.end_ms - event.start_ms) / 1000
                    elif isinstance(event, Termination):
                        termination = event
                    elif isinstance(event, Turn) and event.is_final and event.words:
                        now = asyncio.get_running_loop().time() - began
                        heard.append(event.transcript)
                        delays.append(now - event.words[-1].end / 1000)

    try:
        await asyncio.wait_for(speak(), LONGEST_SECONDS)
    except asyncio.TimeoutError:
        return [failed("round trip", "it took over a minute", "see the checks above")]
    except AaiStreamError as exc:
        return [failed("round trip", str(exc), "see the checks above")]
    return [
        judge_words(" ".join(heard), lost),
        judge_delays(delays),
        judge_bill(termination),
    ]


def call_pcm() -> bytes:
    """The first two sentences: 16 kHz PCM16, seven and a half seconds."""
    with as_file(files(__package__) / "call.flac") as path:
        samples, _ = soundfile.read(path, frames=120_000, dtype="int16")
    pcm: bytes = samples.tobytes()
    return pcm


def judge_words(heard: str, lost_seconds: float) -> Finding:
    """How many of the words that were said were heard, in their order."""
    name = "words"
    expected, found = _plain(TEXT), _plain(heard)
    blocks = SequenceMatcher(None, expected, found, autojunk=False)
    right = sum(block.size for block in blocks.get_matching_blocks())
    said = f"{right} of {len(expected)} right"
    if lost_seconds:
        return failed(name, f"{said}, {lost_seconds:.1f} s lost", "check the network")
    if right < FEWEST_RIGHT * len(expected):
        return failed(name, said, "check the model and its parameters")
    return fine(name, said)


def judge_delays(delays: list[float]) -> Finding:
    """How long after a turn's last word its final came, in seconds."""
    name = "finals"
    if not delays:
        return failed(name, "none came", "see the checks above")
    usual, worst = median(delays), max(delays)
    found = f"{usual:.1f} s after a turn's last word, {worst:.1f} s at worst"
    if usual > SLOWEST_FINAL_SECONDS:
        return doubtful(name, found, "lower max_turn_silence; check the network")
    return fine(name, found)


def judge_bill(termination: Termination | None) -> Finding:
    """What the server counted. It bills the session, not the audio."""
    name = "billed"
    if termination is None or termination.session_duration_seconds is None:
        return doubtful(name, "the server didn't say", "see the checks above")
    session = f"{termination.session_duration_seconds:g} s of session"
    audio = termination.audio_duration_seconds
    return fine(name, session if audio is None else f"{session}, {audio:g} s of audio")


def _plain(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())
