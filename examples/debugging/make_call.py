"""Makes `unheard.aai`, a recorded call for docs/debugging.md.

    python examples/debugging/make_call.py

Three sentences of `examples/call.wav` over a telephone line. The connection breaks
when the second turn has ended and its formatted version is still to come. Needs numpy,
soundfile and soxr.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from aai_stream.recorder import format as recorded

HERE = Path(__file__).parent
RATE = 8000
CHUNK_MS = 50
BEGAN = 1_790_000_000.0
MODEL = "universal-streaming-english"
QUERY = {"sample_rate": str(RATE), "speech_model": MODEL, "format_turns": "true"}
SENTENCES = (
    # from and to in call.wav, in ms, and what is said
    (300, 3300, "hello this is John Miller speaking"),
    (4150, 7350, "I need to change my appointment on Monday morning"),
    (12350, 15700, "my account number is seven three nine four five eight"),
)
SILENCE_MS = 700
BREAKS_AFTER_MS = 300  # of the second turn's end


def audio() -> npt.NDArray[np.int16]:
    """The sentences, each followed by silence, at `RATE`."""
    call, rate = soundfile.read(HERE.parent / "call.wav", dtype="float32")
    parts = []
    for start, end, _text in SENTENCES:
        parts.append(call[start * rate // 1000 : end * rate // 1000])
        parts.append(np.zeros(SILENCE_MS * rate // 1000, np.float32))
    sound = soxr.resample(np.concatenate(parts), rate, RATE)
    heard: npt.NDArray[np.int16] = np.round(sound * 32767).astype(np.int16)
    whole = CHUNK_MS * RATE // 1000
    return heard[: len(heard) // whole * whole]


class Call:
    """The entries of the call, in real time from `BEGAN` on."""

    def __init__(self) -> None:
        self.entries: list[recorded.Entries] = []
        self.now_ms = 0  # of the stream
        self.behind_ms = 0  # what happens, since the first session was lost

    def add(self, kind: Any, late_ms: float = 0, **fields: Any) -> None:
        """Something happens now, or `late_ms` later."""
        unix = BEGAN + (self.now_ms + self.behind_ms + late_ms) / 1000
        self.entries.append(kind(unix=unix, stream_ms=self.now_ms, **fields))

    def decide(self, what: str, about: int | None = None, **fields: Any) -> None:
        """The client decides something, about a session."""
        self.add(recorded.Decided, 9, what=what, session=about, fields=fields)

    def open(self, session: int, sample: int, sent: int) -> None:
        """A session begins, and hears the stream from `sample` on."""
        name = f"session-{session}"
        begin = {
            "type": "Begin",
            "id": name,
            "expires_at": int(BEGAN) + 10_800,
            "configuration": {"model": MODEL, "mode": None},
        }
        self.add(recorded.Opening, session=session, query=QUERY)
        self.add(recorded.Connected, 3, session=session)
        self.add(recorded.Received, 5, session=session, message=begin)
        self.decide(
            "Opened",
            session,
            session=name,
            model=MODEL,
            expires_at=begin["expires_at"],
            seconds=0.005,
        )
        after = f"session-{session - 1}" if session > 1 else ""
        self.decide(
            "Resumed", session, session=name, sample=sample, sent=sent, after=after
        )

    def send(self, session: int, start_ms: int, end_ms: int) -> None:
        """The caller speaks, and the session is sent it as it comes."""
        for at in range(start_ms, end_ms, CHUNK_MS):
            is_new = at >= self.now_ms
            self.now_ms = max(self.now_ms, at + CHUNK_MS)
            if is_new:
                self.add(recorded.Pushed, pushes=[(self.now_ms * RATE // 1000, 0)])
            chunk = (at * RATE // 1000, CHUNK_MS * RATE // 1000, 0, 0)
            self.add(recorded.Sent, 7, session=session, chunks=[chunk])

    def hear(self, session: int, begin_ms: int, message: dict[str, Any]) -> None:
        """The server says it to a session that began at `begin_ms`."""
        self.add(recorded.Received, 8, session=session, message=message)
        words = [
            {**w, "start": w["start"] + begin_ms, "end": w["end"] + begin_ms}
            for w in message["words"]
        ]
        # Of the stream's turns, the second session's first one is the second.
        order = message["turn_order"] + (1 if session > 1 else 0)
        is_final = message["turn_is_formatted"]
        told = {**message, "words": words, "turn_order": order, "is_final": is_final}
        self.add(recorded.Told, 8, message=told)

    def close(self, session: int, code: int, failure: dict[str, Any] | None) -> None:
        """It is over."""
        self.add(recorded.Closed, 9, session=session, code=code, reason="")
        self.decide(
            "Over",
            session,
            session=f"session-{session}",
            outcome="ended" if failure is None else "lost",
            failure=failure,
            asked_at=0.0,
            began_at=0.005,
            audio_seconds=0.0,
        )


def turn(order: int, text: str, start_ms: int, end_ms: int, formatted: bool) -> Any:
    """The end of a turn, whose words take equally long."""
    texts = text.split()
    each = (end_ms - start_ms) // len(texts)
    if formatted:
        texts = [texts[0][0].upper() + texts[0][1:], *texts[1:-1], texts[-1] + "."]
    words = [
        {
            "text": word,
            "start": start_ms + i * each,
            "end": start_ms + (i + 1) * each,
            "confidence": 0.97,
            "word_is_final": True,
        }
        for i, word in enumerate(texts)
    ]
    return {
        "type": "Turn",
        "turn_order": order,
        "turn_is_formatted": formatted,
        "end_of_turn": True,
        "transcript": " ".join(texts),
        "end_of_turn_confidence": 0.9,
        "words": words,
        "utterance": "" if formatted else text,
    }


def spans() -> list[tuple[int, int]]:
    """From where to where each sentence is, in ms of the stream."""
    found = []
    now = 0
    for start, end, _ in SENTENCES:
        found.append((now + 200, now + end - start - 100))
        now += end - start + SILENCE_MS
    return found


def made(samples: int) -> list[recorded.Entries]:
    """The whole call."""
    call = Call()
    ends = [end + 400 for _, end in spans()]
    broken_at = ends[1] + BREAKS_AFTER_MS
    texts = [text for *_, text in SENTENCES]
    first, second, third = zip(spans(), texts, strict=True)
    call.open(1, 0, 0)
    call.send(1, 0, ends[0])
    for formatted in (False, True):
        call.hear(1, 0, turn(0, first[1], *first[0], formatted))
    call.send(1, ends[0], ends[1])
    call.hear(1, 0, turn(1, second[1], *second[0], False))
    call.send(1, ends[1], broken_at)
    lost = {
        "type": "DroppedError",
        "text": "the server closed the session with code 1006",
        "code": 1006,
    }
    call.close(1, 1006, lost)
    call.decide("Retry", failure=lost, seconds=0.0, counts=True, session="session-1")
    call.behind_ms = 10

    begin_ms = first[0][1] // CHUNK_MS * CHUNK_MS
    call.open(2, begin_ms * RATE // 1000, broken_at * RATE // 1000)
    call.send(2, begin_ms, ends[1])
    for order, (span, text) in enumerate((second, third)):
        start_ms, end_ms = span[0] - begin_ms, span[1] - begin_ms
        for formatted in (False, True):
            message = turn(order, text, start_ms, end_ms, formatted)
            call.hear(2, begin_ms, message)
        if order == 0:
            call.send(2, ends[1], samples * 1000 // RATE // CHUNK_MS * CHUNK_MS)
    call.behind_ms += 10
    call.add(recorded.Said, session=2, message={"type": "Terminate"})
    termination = {
        "type": "Termination",
        "audio_duration_seconds": 7,
        "session_duration_seconds": 7,
    }
    call.add(recorded.Received, 8, session=2, message=termination)
    call.close(2, 1000, None)
    call.add(recorded.Finished, 12, why="ended")
    return sorted(call.entries, key=lambda entry: entry.unix)


def main(path: Path = HERE / "unheard.aai") -> None:
    sound = audio()
    meta = recorded.Meta(
        library="0.1.0",
        stream="frontdesk",
        began=BEGAN,
        host="streaming.assemblyai.com",
        sample_rate=RATE,
        encoding="pcm_s16le",
        chunk_ms=CHUNK_MS,
        settings={"replay_seconds": 60},
    )
    flac = io.BytesIO()
    soundfile.write(flac, sound, RATE, format="FLAC", subtype="PCM_16")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (
            (recorded.META, msgspec.json.encode(meta)),
            (recorded.AUDIO, flac.getvalue()),
            (recorded.EVENTS, msgspec.json.Encoder().encode_lines(made(len(sound)))),
        ):
            # A date of its own would make each file another one.
            packed = zipfile.ZIP_DEFLATED if name == recorded.EVENTS else None
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=packed)


if __name__ == "__main__":
    main()
