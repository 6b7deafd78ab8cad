"""How the command line shows turns: text, JSON, subtitles, or a live terminal."""

from __future__ import annotations

from typing import Protocol

import msgspec
import pysubs2
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from ..messages import Turn, Word

CUE_CHARACTERS = 84
CUE_MS = 6000
"""A subtitle holds two lines of 42 characters, and no more than 6 s."""


class Printer(Protocol):
    """Shows one recording's turns."""

    def turn(self, turn: Turn) -> None:
        """A turn that has changed."""

    def progress(self, seconds: float) -> None:
        """This much of the recording has been sent."""

    def finish(self) -> None:
        """Nothing more comes."""


class LinePrinter:
    """Final turns as they come, one a line: the text, or a JSON object."""

    def __init__(self, as_json: bool, file_name: str) -> None:
        self._as_json = as_json
        self._file_name = file_name

    def turn(self, turn: Turn) -> None:
        """Print it if it is final."""
        if not turn.is_final:
            return
        line = turn.transcript
        if self._as_json:
            record = {"file": self._file_name, **msgspec.to_builtins(turn)}
            line = msgspec.json.encode(record).decode()
        print(line, flush=True)

    def progress(self, seconds: float) -> None:
        """Nothing to show."""

    def finish(self) -> None:
        """Nothing is held back."""


class SubtitlePrinter:
    """SRT or WebVTT, once everything is known."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._file = pysubs2.SSAFile()

    def turn(self, turn: Turn) -> None:
        """Keep it if it is final."""
        if turn.is_final:
            for cue in split_into_cues(turn.words):
                text = " ".join(word.text for word in cue)
                self._file.append(pysubs2.SSAEvent(cue[0].start, cue[-1].end, text))

    def progress(self, seconds: float) -> None:
        """Nothing to show."""

    def finish(self) -> None:
        """Print the whole file."""
        print(self._file.to_string(self._kind), end="")


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


class TerminalPrinter:
    """Finals with their times; below them the partial turn rewriting itself, and a bar
    in audio time. `seconds` is the recording's length, None if unknown."""

    def __init__(self, seconds: float | None) -> None:
        self._console = Console()
        self._bar = Progress(
            BarColumn(), _AudioTimeColumn(), TextColumn("{task.description}")
        )
        self._task = self._bar.add_task("", total=seconds)
        self._partial = Text(style="dim")
        self._live = Live(
            Group(self._partial, self._bar), console=self._console, transient=True
        )
        self._live.start()

    def turn(self, turn: Turn) -> None:
        """Print a final above, or rewrite the partial below."""
        self._partial.plain = "" if turn.is_final else turn.transcript or _heard(turn)
        if turn.is_final:
            start = turn.words[0].start / 1000 if turn.words else 0.0
            stamp = Text(f"{int(start // 60):02}:{start % 60:04.1f}  ", style="cyan")
            self._console.print(stamp + Text(turn.transcript))

    def progress(self, seconds: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=seconds)

    def finish(self) -> None:
        """Take the bar and the partial away."""
        self._live.stop()


class _AudioTimeColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f" / {task.total:.1f}"
        return Text(f"{task.completed:.1f}{total} s of audio")


def _heard(turn: Turn) -> str:
    # Models that make words final one by one leave the transcript empty until then.
    return " ".join(word.text for word in turn.words)
