"""Turns as text: lines, JSON objects, subtitles."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec
import pysubs2

from ..messages import Turn, Word

CUE_CHARACTERS = 84
CUE_MS = 6000
"""A subtitle holds two lines of 42 characters, and no more than 6 s."""

_NOBODY = (None, "", "PENDING", "UNKNOWN")


class Format(str, Enum):
    """What turns are written as."""

    TEXT = "text"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"

    @property
    def suffix(self) -> str:
        """Of a file's name."""
        return {"text": ".txt", "json": ".jsonl"}.get(self.value, f".{self.value}")


class Writer(Protocol):
    """Writes one recording's final turns."""

    def turn(self, turn: Turn) -> str:
        """What to write now, whole lines; empty for nothing yet."""

    def end(self) -> str:
        """What is left when there will be no more turns."""


def writer(output: Format, file_name: str, *, stamped: bool) -> Writer:
    """For `output`. With `stamped`, text has the times at which turns begin."""
    if output is Format.JSON:
        return JsonWriter(file_name)
    if output is Format.TEXT:
        return TextWriter(stamped)
    return SubtitleWriter(output.value)


class TextWriter:
    """A line a turn, with who spoke where that is known."""

    def __init__(self, stamped: bool) -> None:
        self._stamped = stamped

    def turn(self, turn: Turn) -> str:
        """Its line."""
        label = turn.speaker_label
        who = "" if label in _NOBODY else f"{label}: "
        stamp = f"{_clock(turn)}  " if self._stamped else ""
        return f"{stamp}{who}{turn.transcript}\n"

    def end(self) -> str:
        """Nothing."""
        return ""


class JsonWriter:
    """One object a line, the turn's as AssemblyAI has it and the `file`."""

    def __init__(self, file_name: str) -> None:
        self._file_name = file_name

    def turn(self, turn: Turn) -> str:
        """Its object."""
        record = {"file": self._file_name, **msgspec.to_builtins(turn)}
        return msgspec.json.encode(record).decode() + "\n"

    def end(self) -> str:
        """Nothing."""
        return ""


class SubtitleWriter:
    """SRT or WebVTT, once everything is known."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._file = pysubs2.SSAFile()

    def turn(self, turn: Turn) -> str:
        """Nothing yet."""
        for cue in split_into_cues(turn.words):
            text = " ".join(word.text for word in cue)
            self._file.append(pysubs2.SSAEvent(cue[0].start, cue[-1].end, text))
        return ""

    def end(self) -> str:
        """The whole file."""
        return str(self._file.to_string(self._kind))


def split_into_cues(words: list[Word]) -> list[list[Word]]:
    """Cut a turn's words into subtitles of a length that can be read."""
    cues: list[list[Word]] = []
    for word in words:
        cue = cues[-1] if cues else []
        length = sum(len(w.text) + 1 for w in cue) + len(word.text)
        if not cue or length > CUE_CHARACTERS or word.end - cue[0].start > CUE_MS:
            cues.append([word])
        else:
            cue.append(word)
    return cues


def _clock(turn: Turn) -> str:
    start = turn.words[0].start / 1000 if turn.words else 0.0
    return f"{int(start // 60):02}:{start % 60:04.1f}"
