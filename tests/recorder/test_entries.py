"""What a tap took, as entries: their order, their times, no secret in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from aai_stream._core import AudioRing, Backlog, Tap, Timeline
from aai_stream.recorder.entries import Scribe, Taken
from aai_stream.recorder.format import (
    Closed,
    Decided,
    Entries,
    Finished,
    Pushed,
    Received,
    Sent,
    Told,
)
from tests.audio import noise
from tests.recorder.keeping import META

KEY = "key-that-nobody-may-see"
RATE = 16_000


class Clock:
    """Stands still unless it is told otherwise."""

    now = 50.0

    def __call__(self) -> float:
        return self.now


class Call:
    """A ring and sessions with a tap, and what becomes of that."""

    def __init__(self, redact: Callable[[str], str] = str, **meta: Any) -> None:
        self.clock = Clock()
        self.ring = AudioRing(RATE)
        self.tap = self.ring.tap = Tap(self.clock, Backlog(1 << 20))
        meta = {"encoding": "pcm_s16le", **meta}
        self.scribe = Scribe(
            msgspec.structs.replace(META, **meta), self.clock.now, redact
        )

    def push(self, samples: int, *, after: float = 0.0) -> None:
        self.clock.now += after
        self.ring.write(noise(samples), RATE)

    def send(self, session: int) -> None:
        timeline = Timeline(RATE)
        timeline.session, timeline.tap = session, self.tap
        chunk = self.ring.next_chunk()
        assert chunk is not None
        timeline.sent(chunk, 0.0)

    def note(self, kind: type[Entries], **fields: Any) -> None:
        self.tap.note((kind, fields))

    def entries(self) -> list[Entries]:
        lines = list(self.scribe.lines(Taken(*self.tap.take())))
        assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
        return [msgspec.json.decode(line, type=Entries) for line in lines]


def received(text: bytes, redact: Callable[[str], str] = str) -> Received:
    call = Call(redact)
    call.note(Received, session=1, message=text)
    (entry,) = call.entries()
    assert isinstance(entry, Received)
    return entry


def hide(text: str) -> str:
    return text.replace(KEY, "***")


def test_audio_is_told_between_what_else_happens() -> None:
    call = Call()
    call.push(800)
    call.send(1)
    call.push(800, after=0.25)
    call.send(1)
    call.note(Closed, session=1, code=1006, reason="")
    call.push(800, after=0.25)
    first, second, closed, last = call.entries()
    assert first == Pushed(unix=1000.0, stream_ms=50, pushes=[(800, 0), (1600, 250000)])
    chunks = [(0, 800, 0, 0), (800, 800, 0, 250000)]
    assert second == Sent(unix=1000.0, stream_ms=50, session=1, chunks=chunks)
    assert closed == Closed(
        unix=1000.25, stream_ms=100, session=1, code=1006, reason=""
    )
    assert last == Pushed(unix=1000.5, stream_ms=150, pushes=[(2400, 0)])


def test_audio_of_two_sessions_is_told_apart() -> None:
    call = Call()
    call.push(2400)
    for session in (1, 1, 2):
        call.send(session)
    sent = [entry for entry in call.entries() if isinstance(entry, Sent)]
    assert [(e.session, len(e.chunks)) for e in sent] == [(1, 2), (2, 1)]


def test_what_is_sent_long_after_it_was_pushed_comes_behind_it() -> None:
    call = Call()
    call.push(1600)
    assert len(call.entries()) == 1
    call.clock.now += 1
    call.send(1)
    call.push(800, after=1)
    sent, pushed = call.entries()
    assert isinstance(sent, Sent)
    assert (sent.unix, sent.stream_ms) == (1001.0, 100)
    assert (pushed.unix, pushed.stream_ms) == (1002.0, 150)


def test_the_last_entry_is_not_before_the_others() -> None:
    call = Call()
    call.push(800, after=3)
    call.entries()
    entry = msgspec.json.decode(call.scribe.last_line(Finished, why="full"))
    assert entry == {"kind": "finished", "why": "full", "unix": 1003.0, "stream_ms": 50}


def test_what_the_server_said_is_kept_as_it_came() -> None:
    said = {"type": "New", "b": [1, 2.5, None, {"x": "ä\n"}], "a": 2**60}
    assert received(json.dumps(said, indent=1).encode()).message == said


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b"no JSON", "no JSON"),
        (b'{"half": ', '{"half": '),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'"\\ud800"', '"\\ud800"'),
        (b"[" * 5000 + b"]" * 5000, "[" * 5000 + "]" * 5000),
        (b"line\nline", "line\nline"),
    ],
)
def test_what_is_no_json_is_kept_as_text(text: bytes, kept: str) -> None:
    entry = received(text)
    assert (entry.message, entry.text) == (None, kept)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"type": "Error", "error": f"no, {KEY}: {KEY}"}),
        json.dumps({"a": [{"b": KEY}]}),
        json.dumps({KEY: 1}),
        json.dumps({"error": KEY}).replace("-", "\\u002d"),
        f"not JSON, {KEY}",
    ],
)
def test_a_key_that_the_server_says_is_hidden(text: str) -> None:
    entry = received(text.encode(), hide)
    shown = msgspec.json.encode(entry).decode()
    assert "***" in shown
    assert KEY not in shown


def test_a_key_in_anything_else_is_hidden() -> None:
    call = Call(hide)
    call.note(Closed, session=1, code=1008, reason=f"bad {KEY}")
    fields = {"failure": {"type": "X", "text": KEY, "code": 3}, "list": (KEY,)}
    call.note(Decided, what="Note", fields=fields, session=None)
    call.note(Told, message=json.dumps({"type": "Error", "error": KEY}).encode())
    for entry in call.entries():
        shown = msgspec.json.encode(entry).decode()
        assert "***" in shown
        assert KEY not in shown


def test_text_that_no_file_can_hold_is_replaced() -> None:
    call = Call()
    call.note(Decided, what="Note", fields={"text": "caf\udce9"}, session=None)
    (entry,) = call.entries()
    assert isinstance(entry, Decided)
    assert entry.fields == {"text": "caf?"}


def test_mu_law_becomes_pcm() -> None:
    call = Call(encoding="pcm_mulaw")
    assert call.scribe.pcm(b"\xff\x00") == b"\x00\x00\x84\x82"
    assert Call().scribe.pcm(b"\xff\x00") == b"\xff\x00"
