"""A SpeakerRevision says who spoke: what was said, when, and how surely, stays.

Its words have confidences on another scale, and must not replace the turns' own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from livekit import rtc
from livekit.agents.stt import SpeechEventType
from typer.testing import CliRunner

import aai_stream
from aai_stream import messages
from aai_stream.cli import app
from aai_stream.livekit import STT
from tests.cli.conftest import in_thread
from tests.servers import within
from tests.talks import SECOND, Server, Talk, collect, connect, turns_of

WORDS: list[dict[str, Any]] = [
    {"text": "So.", "start": 200, "end": 400, "confidence": 0.84, "speaker": "A"},
    {"text": "No.", "start": 500, "end": 700, "confidence": 0.92, "speaker": "A"},
]
TURN = {
    "type": "Turn",
    "turn_order": 0,
    "transcript": "So. No.",
    "words": WORDS,
    "end_of_turn": True,
    "turn_is_formatted": True,
    "speaker_label": "A",
}
REVISED = [{**w, "speaker": "B", "confidence": 0.01, "end": 999} for w in WORDS]
REVISION = {
    "type": "SpeakerRevision",
    "revisions": [{"turn_order": 0, "speaker_label": "B", "words": REVISED}],
}
CONFIDENCES = [0.84, 0.92]


async def revising(talk: Talk) -> None:
    await talk.begin()
    await talk.hear(500)
    await talk.say(TURN, REVISION)
    await talk.finish()


async def last_but_the_final(talk: Talk) -> None:
    """As it was seen: the revision comes after Terminate, before the last final."""
    await talk.begin()
    while await talk.next():
        if talk.commands:
            await talk.say(REVISION, TURN, {"type": "Termination"})
            await talk.socket.close()


@pytest.fixture(params=[revising, last_but_the_final])
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


def confidences(turn: messages.Turn) -> list[float]:
    assert [word.end for word in turn.words] == [400, 700]
    return [word.confidence for word in turn.words]


async def test_in_a_stream(server: Server) -> None:
    async with server.serve() as url, connect(base_url=url) as stream:
        stream.push(SECOND)
        await within(5, stream.end())
        events = await collect(stream)
    (turn,) = turns_of(events)
    assert confidences(turn) == CONFIDENCES
    (revision,) = (e for e in events if isinstance(e, messages.SpeakerRevision))
    assert [word.speaker for word in revision.revisions[0].words] == ["B", "B"]


async def test_in_a_recording(server: Server) -> None:
    async with server.serve() as url:
        (turn,) = await within(
            5,
            aai_stream.transcribe(
                SECOND, sample_rate=16_000, realtime=False, api_key="k", base_url=url
            ),
        )
    assert confidences(turn) == CONFIDENCES


async def test_in_a_livekit_stream(server: Server) -> None:
    async with server.serve() as url:
        stream = STT(base_url=url, api_key="k").stream()
        stream.push_frame(rtc.AudioFrame(SECOND, 16_000, 1, 16_000))
        stream.end_input()
        told = [event async for event in stream]
        await stream.aclose()
    (said,) = (e for e in told if e.type is SpeechEventType.FINAL_TRANSCRIPT)
    check_speech(said.alternatives[0])


async def test_in_a_livekit_recording(server: Server) -> None:
    async with server.serve() as url:
        stt = STT(base_url=url, api_key="k")
        event = await within(
            5, stt.recognize(rtc.AudioFrame(SECOND, 16_000, 1, 16_000))
        )
    check_speech(event.alternatives[0])


def check_speech(data: Any) -> None:
    assert [word.confidence for word in data.words] == CONFIDENCES
    assert [word.end_time for word in data.words] == [0.4, 0.7]
    assert data.confidence == pytest.approx(sum(CONFIDENCES) / 2)
    assert data.speaker_id == "A"


def test_on_the_command_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "k")
    soundfile.write(tmp_path / "a.wav", np.frombuffer(SECOND, np.int16), 16_000)
    with in_thread(server.serve()) as url:
        result = CliRunner().invoke(
            app,
            [
                *("transcribe", str(tmp_path / "a.wav")),
                *("--fast", "--url", url, "-f", "json"),
            ],
        )
    (turn,) = map(json.loads, result.stdout.splitlines())
    assert [word["confidence"] for word in turn["words"]] == CONFIDENCES
