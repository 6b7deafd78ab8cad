"""A recorded call to be looked at: it is reset twelve seconds into its audio.

Session 1 is reset in the middle of a sentence; half a second later another is asked
for, which is sent the sentence again, without the silence before it, and tells its
words. The last 0.4 s are lost.
"""

from __future__ import annotations

import io
import wave
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import soundfile

from aai_stream.recorder.format import (
    AUDIO,
    EVENTS,
    META,
    UNFINISHED_AUDIO,
    Closed,
    Connected,
    Decided,
    Entries,
    Finished,
    Meta,
    Opening,
    Pushed,
    Received,
    Said,
    Sent,
    Told,
)

SPEECH = Path(__file__).parents[2] / "examples" / "call.wav"
RATE = 16_000
CHUNK = 800
LEAD_SECONDS = 1.5
"""Silence before the speech."""
BEGAN = 1_795_867_200.0
FIRST_PUSH = 0.6
"""Seconds after `BEGAN`; the audio begins to be heard then."""
RESET_MS, RESUME_MS, SKIP_MS = 12_000, 9_300, 9_800
END_MS = 18_200
LOST = "the connection was reset"

Spoken = tuple[str, int, int]
SENTENCES: list[list[Spoken]] = [
    [
        ("Hello,", 710, 1170),
        ("this", 1390, 1640),
        ("is", 1640, 1830),
        ("John", 1830, 2100),
        ("Miller", 2100, 2380),
        ("speaking.", 2380, 3090),
    ],
    [
        ("I", 4500, 4640),
        ("need", 4640, 4880),
        ("to", 4880, 5040),
        ("change", 5040, 5420),
        ("my", 5420, 5640),
        ("appointment", 5640, 6210),
        ("on", 6210, 6410),
        ("Monday", 6410, 6700),
        ("morning.", 6700, 7170),
    ],
    [
        ("Is", 8560, 8720),
        ("there", 8720, 8930),
        ("anything", 8930, 9430),
        ("available", 9430, 10070),
        ("on", 10070, 10220),
        ("Wednesday", 10220, 10700),
        ("afternoon?", 10700, 11250),
    ],
    [
        ("My", 12680, 12950),
        ("account", 12950, 13360),
        ("number", 13360, 13690),
        ("is", 13690, 13820),
        ("seven", 13820, 14220),
        ("three", 14220, 14440),
        ("nine", 14440, 14720),
        ("four", 14720, 14960),
        ("five", 14960, 15260),
        ("eight.", 15260, 15510),
    ],
]
"""Words without the silence before them, in ms."""

Message = dict[str, Any]


def meta(**changes: Any) -> Meta:
    """Of the call."""
    plain = Meta(
        library="0.1.0",
        stream="5f0a93c1",
        began=BEGAN,
        host="streaming.assemblyai.com",
        sample_rate=RATE,
        encoding="pcm_s16le",
        chunk_ms=50.0,
        settings={"replay_seconds": 60.0, "catch_up_rate": 1.9},
    )
    return msgspec.structs.replace(plain, **changes)


def audio() -> npt.NDArray[np.int16]:
    """Of the call."""
    with wave.open(str(SPEECH)) as file:
        speech = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    made = np.zeros(END_MS * RATE // 1000, np.int16)
    lead = round(LEAD_SECONDS * RATE)
    made[lead : lead + len(speech)] = speech[: len(made) - lead]
    return made


def turn(order: int, words: Sequence[Spoken], final: bool, offset: int) -> Message:
    """As a session tells it, whose audio began `offset` ms into the stream."""
    lead = round(1000 * LEAD_SECONDS) - offset
    return {
        "type": "Turn",
        "turn_order": order,
        "transcript": " ".join(text for text, _, _ in words),
        "words": [
            {"text": text, "start": start + lead, "end": end + lead, "confidence": 0.9}
            for text, start, end in words
        ],
        "end_of_turn": final,
    }


class Writer:
    """Puts entries together; moments are in seconds of the call."""

    def __init__(self) -> None:
        self._made: list[tuple[float, Entries]] = []

    def add(self, at: float, kind: Any, **fields: Any) -> None:
        """Something happened then."""
        heard = min(max(0, round(1000 * (at - FIRST_PUSH))), END_MS)
        entry = kind(unix=BEGAN + at, stream_ms=heard, **fields)
        self._made.append((at, entry))

    def push(self, end_ms: int) -> None:
        """All audio is pushed in real time, noted twice a second."""
        samples = range(CHUNK, end_ms * RATE // 1000 + 1, CHUNK)
        pushes = [(FIRST_PUSH + upto / RATE, upto) for upto in samples]
        for first in range(0, len(pushes), 10):
            part = pushes[first : first + 10]
            at = part[0][0]
            noted = [(upto, round(1e6 * (when - at))) for when, upto in part]
            self.add(at, Pushed, pushes=noted)

    def send(
        self, session: int, start_ms: int, end_ms: int, at: float, times: float
    ) -> float:
        """Audio is sent from `at` on, `times` as fast as it was spoken, but not before
        it was pushed; gives when the last of it went."""
        chunks: list[tuple[int, int, int, int]] = []
        began = at
        for start in range(start_ms * RATE // 1000, end_ms * RATE // 1000, CHUNK):
            pushed = FIRST_PUSH + (start + CHUNK) / RATE
            at = max(at + CHUNK / RATE / times, pushed + 0.002)
            if not chunks:
                began = at
            chunks.append((start, CHUNK, 0, round(1e6 * (at - began))))
            if len(chunks) == 10:
                self.add(began, Sent, session=session, chunks=chunks)
                chunks = []
        if chunks:
            self.add(began, Sent, session=session, chunks=chunks)
        return at

    def turn(
        self,
        session: int,
        order: int,
        words: Sequence[Spoken],
        at: float,
        *,
        final: bool,
        offset: int = 0,
        first: int = 0,
    ) -> None:
        """A session tells a turn, which the caller is told in the stream's time."""
        told = turn(order, words, final, 0) | {"is_final": final}
        message = turn(order - first, words, final, offset)
        self.add(at, Received, session=session, message=message)
        self.add(at + 0.001, Told, message=told)

    def open(self, session: int, at: float, name: str) -> float:
        """A session is asked for; gives when it has begun."""
        query = {"speech_model": "u3-rt-pro", "sample_rate": str(RATE)}
        begin = {"type": "Begin", "id": name, "expires_at": round(BEGAN) + 10_800}
        self.add(at, Opening, session=session, query=query)
        self.add(at + 0.21, Connected, session=session)
        self.add(at + 0.43, Received, session=session, message=begin)
        opened = {
            "session": name,
            "model": "u3-rt-pro",
            "expires_at": round(BEGAN) + 10_800,
            "seconds": 0.43,
        }
        self.decide(at + 0.43, "Opened", session, **opened)
        return at + 0.43

    def decide(self, at: float, what: str, about: int | None, **fields: Any) -> None:
        """The client decides."""
        self.add(at, Decided, what=what, fields=fields, session=about)

    @property
    def entries(self) -> list[Entries]:
        """All, in order."""
        return [entry for _, entry in sorted(self._made, key=lambda made: made[0])]


def entries() -> list[Entries]:
    """What happens in the call."""
    made = Writer()
    made.push(END_MS)
    _first_session(made)
    _reset(made)
    _second_session(made)
    return made.entries


def _first_session(made: Writer) -> None:
    began = made.open(1, 0.0, "aaaa-1")
    made.decide(began, "Resumed", 1, session="aaaa-1", sample=0, sent=0, after="")
    made.send(1, 0, RESET_MS, 0.0, 1.0)
    for order, words in enumerate(SENTENCES[:2]):
        _speech(made, 1, words, 0)
        for upto in range(2, len(words), 2):
            at = _heard(words[upto - 1][2]) + 0.25
            made.turn(1, order, words[:upto], at, final=False)
        made.turn(1, order, words, _heard(words[-1][2]) + 0.6, final=True)
    _speech(made, 1, SENTENCES[2], 0)
    made.turn(1, 2, SENTENCES[2][:3], _heard(9430) + 0.25, final=False)


def _reset(made: Writer) -> None:
    at = FIRST_PUSH + RESET_MS / 1000 + 0.01
    failure = {"type": "DroppedError", "text": LOST, "code": 1006}
    made.add(at, Closed, session=1, code=1006, reason="")
    over = {
        "session": "aaaa-1",
        "outcome": "lost",
        "failure": failure,
        "asked_at": 100.0,
        "began_at": 100.43,
        "audio_seconds": RESET_MS / 1000,
    }
    made.decide(at, "Over", 1, **over)
    retry = {"failure": failure, "seconds": 0.5, "counts": True, "session": "aaaa-1"}
    made.decide(at + 0.001, "Retry", 1, **retry)


def _second_session(made: Writer) -> None:
    began = made.open(2, FIRST_PUSH + RESET_MS / 1000 + 0.511, "bbbb-2")
    resumed = {
        "session": "bbbb-2",
        "sample": RESUME_MS * RATE // 1000,
        "sent": RESET_MS * RATE // 1000,
        "after": "aaaa-1",
    }
    made.decide(began, "Resumed", 2, **resumed)
    skipped = {
        "type": "SilenceSkipped",
        "start_sample": RESUME_MS * RATE // 1000,
        "end_sample": SKIP_MS * RATE // 1000,
        "start_ms": RESUME_MS,
        "end_ms": SKIP_MS,
    }
    made.add(began + 0.001, Told, message=skipped)
    caught = made.send(2, SKIP_MS, 14_500, began, 3.0)
    made.decide(
        caught, "CaughtUp", 2, session="bbbb-2", seconds=round(caught - began, 3)
    )
    end = made.send(2, 14_500, END_MS, caught, 1.0)
    _speech(made, 2, SENTENCES[2], SKIP_MS, at=began + 0.5)
    for order, words in ((2, SENTENCES[2]), (3, SENTENCES[3])):
        place = {"offset": SKIP_MS, "first": 2}
        at = max(_heard(words[-1][2]) + 0.55, caught + 0.3)
        made.turn(2, order, words[:4], at - 0.5, final=False, **place)
        made.turn(2, order, words, at, final=True, **place)
    _speech(made, 2, SENTENCES[3], SKIP_MS)
    made.add(end + 0.01, Said, session=2, message={"type": "Terminate"})
    lost = {
        "type": "AudioLost",
        "start_sample": 17_800 * RATE // 1000,
        "end_sample": END_MS * RATE // 1000,
        "start_ms": 17_800,
        "end_ms": END_MS,
        "why": "the stream was closed before it was transcribed",
    }
    made.add(end + 0.6, Told, message=lost)
    termination = {"type": "Termination", "audio_duration_seconds": 8.4}
    made.add(end + 0.8, Received, session=2, message=termination)
    made.add(end + 0.81, Closed, session=2, code=1000, reason="")
    over = {"session": "bbbb-2", "outcome": "ended", "failure": None}
    made.decide(end + 0.811, "Over", 2, **over)
    made.add(end + 0.82, Finished, why="ended")


def _heard(ms: int) -> float:
    """When that moment of the speech had been pushed."""
    return FIRST_PUSH + LEAD_SECONDS + ms / 1000


def _speech(
    made: Writer,
    session: int,
    words: Sequence[Spoken],
    offset: int,
    at: float | None = None,
) -> None:
    start = words[0][1] + round(1000 * LEAD_SECONDS)
    at = _heard(words[0][1]) + 0.15 if at is None else at
    message = {"type": "SpeechStarted", "timestamp": start - offset}
    made.add(at, Received, session=session, message=message)
    made.add(at + 0.001, Told, message={"type": "SpeechStarted", "timestamp": start})


def write_call(
    path: Path, made: Sequence[Entries] | None = None, about: Meta | None = None
) -> Path:
    """The call in a file, or another one of the same audio."""
    flac = io.BytesIO()
    soundfile.write(flac, audio(), RATE, format="FLAC")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(META, msgspec.json.encode(about or meta()))
        archive.writestr(AUDIO, flac.getvalue())
        archive.writestr(EVENTS, _lines(entries() if made is None else made))
    return path


def write_unfinished(path: Path, made: Sequence[Entries]) -> Path:
    """A call that is being recorded, or was when its process died."""
    path.mkdir(mode=0o700)
    (path / META).write_bytes(msgspec.json.encode(meta()))
    (path / UNFINISHED_AUDIO).write_bytes(audio().tobytes())
    (path / EVENTS).write_bytes(_lines(made))
    return path


EVIL = "</script><img src=x onerror=alert(1)><!--audio-->\x1b[31m\u202e&lt;"
"""What nobody should have to see, in a page or in a terminal."""


def evil_entries() -> list[Entries]:
    """The call, with `EVIL` wherever somebody else has put a text."""
    return [_evil(entry) for entry in entries()]


def _evil(entry: Entries) -> Entries:
    changes: dict[str, Any] = {}
    match entry:
        case Received(message=dict() as message) | Told(message=message):
            changes["message"] = _spoilt(message)
        case Closed():
            changes["reason"] = EVIL
        case Opening():
            changes["query"] = {"speech_model": EVIL}
        case Decided():
            changes["fields"] = _spoilt(entry.fields)
        case Finished():
            changes["why"] = EVIL
    return msgspec.structs.replace(entry, **changes)


def _spoilt(value: Any) -> Any:
    """With `EVIL` behind all texts that aren't names of ours."""
    if isinstance(value, dict):
        kept = ("type", "session", "after", "outcome")
        return {k: v if k in kept else _spoilt(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_spoilt(each) for each in value]
    return value + EVIL if isinstance(value, str) else value


def _lines(made: Sequence[Entries]) -> bytes:
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in made)
