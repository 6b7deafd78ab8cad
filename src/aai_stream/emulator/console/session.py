"""One session as pages see it, kept up by what the server tells of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..replies import Message
from .matching import Matcher, Recording
from .waveform import Waveform

MOST_TURNS = 500
MOST_MARKS = 200
MOST_MESSAGES = 300
_LONGEST_MESSAGE = 2000
_FATAL = ("reset", "drop", "close", "bad-reason", "expire", "freeze", "mute")
"""Faults that end a session for its client, whether or not the server sees its end."""


@dataclass
class Turn:
    """A turn as it was told last. Times are in ms of the session."""

    order: int
    final: bool
    text: str
    words: list[tuple[int, int, str]]
    version: int = 0


@dataclass
class Mark:
    """Something that happened at a place of the session's audio."""

    kind: str
    at_ms: int
    text: str = ""
    until_ms: int | None = None
    version: int = 0


@dataclass
class Line:
    """A message, one way or the other; `count` audio messages are one line."""

    seconds: float
    """By the server's clock."""
    way: str
    text: str
    key: int
    """The number of the change that it came with."""
    count: int = 1
    version: int = 0


@dataclass
class Session:
    """A `Watch`. `changed` counts changes; every change gets its number.

    `ended` is called once, when it is over; `came` with the first audio, until there
    is no `matcher` any more.
    """

    number: int
    now: Callable[[], float]
    changed: Callable[[], int]
    came: Callable[[Session], None]
    ended: Callable[[Session], None]

    lane: int = 0
    offset: int = 0
    """Where it begins in its lane, in samples."""
    began: float = 0.0
    end: float | None = None
    how: str = ""
    """What ended it."""
    terminated: bool = False
    id: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    rate: int = 16_000
    samples: int = 0
    lead_ms: int | None = None
    """By how much its audio was ahead of the time since it began, at best.

    What is less ahead than that is behind: the client can't send what isn't there yet.
    """
    turns: dict[int, Turn] = field(default_factory=dict)
    marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=MOST_MARKS))
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=MOST_MESSAGES))
    version: int = 0
    """Of the last change."""
    facts_version: int = 0
    """Of the last change of what isn't audio, a turn, a mark or a message."""
    turns_version: int = 0
    recording: Recording | None = None
    matcher: Matcher | None = None
    wave: Waveform = field(default_factory=lambda: Waveform(16_000))

    @property
    def offset_ms(self) -> int:
        """Where it begins in its lane."""
        return self.offset * 1000 // self.rate

    @property
    def audio_ms(self) -> int:
        """How much audio has come."""
        return self.samples * 1000 // self.rate

    def opened(self, options: Mapping[str, Any], sample_rate: int) -> None:
        """See `Watch`, as for those below."""
        self.began = self.now()
        self.options = dict(options)
        self.rate = sample_rate
        self.wave = Waveform(sample_rate)
        self.recording = Recording(sample_rate)
        self.matcher = Matcher(sample_rate)
        self.touch_facts()

    def audio(self, pcm: bytes) -> None:
        """Drawn, kept to be compared, and counted."""
        assert self.recording is not None
        self.samples += len(pcm) // 2
        lead_ms = self.audio_ms - round((self.now() - self.began) * 1000)
        if self.lead_ms is None or lead_ms > self.lead_ms:
            self.lead_ms = lead_ms
        self.wave.add(pcm)
        self.recording.add(pcm)
        self.version = self.changed()
        self._log_audio(len(pcm))
        if self.matcher is not None:
            self.matcher.add(pcm)
            self.came(self)

    def silence(self, start_ms: int, end_ms: int) -> None:
        """A mark."""
        self._mark(Mark("silence", start_ms, until_ms=end_ms))

    def said(self, text: str) -> None:
        """A line of its messages."""
        self._log("in", text)

    def told(self, message: Message) -> None:
        """A line of its messages, and what it tells."""
        self._log("out", msgspec.json.encode(message).decode())
        kind = message["type"]
        if kind == "Turn":
            self._turn(message)
        elif kind == "SpeechStarted":
            at_ms = message.get("timestamp")
            if isinstance(at_ms, int):  # a script may play anything
                self._mark(Mark("speech", at_ms))
        elif kind == "Begin":
            self.id = str(message["id"])
            self.touch_facts()
        elif kind == "Error":
            self._mark(Mark("error", self.audio_ms, str(message["error"])))

    def over(self, code: int | None, *, terminated: bool) -> None:
        """Nothing comes after it but faults."""
        self.end = self.now()
        self.terminated = terminated
        self.matcher = None
        if not self.how:
            self.how = f"closed {code}" if code else "cut"
        self._mark(Mark("end", self.audio_ms, self.how))
        self.touch_facts()
        self.ended(self)

    def struck(self, text: str) -> None:
        """A fault has happened to it."""
        self._mark(Mark("fault", self.audio_ms, text))
        kind = text.partition(",")[0]
        if self.end is None and kind in _FATAL:
            self.how = kind
        self.touch_facts()

    def touch_facts(self) -> None:
        """Pages are to be told all that isn't audio, a turn, a mark or a message."""
        self.version = self.facts_version = self.changed()

    def _turn(self, message: Message) -> None:
        # What a script plays may be no turn at all, and isn't shown as one.
        try:
            told = msgspec.convert(message, _Told)
        except msgspec.ValidationError:
            return
        words = [(w.start, w.end, w.text) for w in told.words]
        text = told.transcript if told.end_of_turn else " ".join(w[2] for w in words)
        turn = Turn(told.turn_order, told.end_of_turn, text, words)
        self.turns[turn.order] = turn
        if len(self.turns) > MOST_TURNS:
            del self.turns[next(iter(self.turns))]
        self.version = self.turns_version = turn.version = self.changed()
        if turn.final:
            self._mark(Mark("endpoint", words[-1][1] if words else self.audio_ms))

    def _mark(self, mark: Mark) -> None:
        self.version = mark.version = self.changed()
        self.marks.append(mark)

    def _log(self, way: str, text: str) -> None:
        self.version = self.changed()
        shown = text[:_LONGEST_MESSAGE]
        version = self.version
        self.lines.append(Line(self.now(), way, shown, version, version=version))

    def _log_audio(self, size: int) -> None:
        text = f"audio, {size * 500 // self.rate} ms"
        last = self.lines[-1] if self.lines else None
        if last is not None and last.text == text:
            last.count += 1
            last.version = self.version
        else:
            self._log("in", text)


class _Word(msgspec.Struct):
    start: int
    end: int
    text: str


class _Told(msgspec.Struct):
    turn_order: int
    words: list[_Word] = []
    transcript: str = ""
    end_of_turn: bool = False
