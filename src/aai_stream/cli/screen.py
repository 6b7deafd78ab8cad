"""The terminal: what is being heard, and how far it is."""

from __future__ import annotations

import sys

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..messages import Turn


class Screen:
    """Standard output, with a bar below it if anybody looks at a terminal.

    The bar is where somebody sees it: on standard output, or on standard error if the
    output goes elsewhere. Without a terminal there is none. Use it in a `with`
    statement.

    Args:
        seconds: of each recording; None for one whose length isn't known.

    Attributes:
        shows_text: standard output is a terminal.
    """

    def __init__(self, seconds: list[float | None]) -> None:
        self.shows_text = sys.stdout.isatty()
        self._live: Live | None = None
        if not self.shows_text and not sys.stderr.isatty():
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            _AudioTimeColumn(),
            _SpeedColumn(),
            TimeRemainingColumn(),
        )
        self._total = None
        if len(seconds) > 1:
            known = [each for each in seconds if each is not None]
            whole = sum(known) if len(known) == len(seconds) else None
            self._total = self._bar.add_task("all", total=whole)
        self._several = len(seconds) > 1
        self._file = self._bar.add_task("", visible=False)
        self._before = self._heard = 0.0
        self._partial = Text(style="dim")
        self._console = Console(stderr=not self.shows_text)
        self._live = Live(
            Group(self._partial, self._bar),
            console=self._console,
            transient=True,
            # Or else what goes to a file would be shown instead.
            redirect_stdout=self.shows_text,
            redirect_stderr=sys.stderr.isatty(),
        )

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def write(self, text: str) -> None:
        """Write to standard output, above the bar."""
        if not text:
            return
        if self._live is not None and self.shows_text:
            self._console.out(text, end="", highlight=False)
        else:
            print(text, end="", flush=True)

    def begin(self, name: str, seconds: float | None) -> None:
        """A recording begins, of so many seconds; None if that isn't known."""
        if self._live is None:
            return
        self._bar.reset(
            self._file,
            description=name if self._several else "",
            total=seconds,
            visible=True,
        )
        self._live.start()
        self._before += self._heard
        self._heard = 0.0

    def turn(self, turn: Turn) -> None:
        """A turn has changed: show it while it isn't final."""
        if self._live is not None:
            self._partial.plain = "" if turn.is_final else _heard(turn)

    def heard(self, seconds: float) -> None:
        """So much of the present recording has been heard."""
        if self._live is None or seconds <= self._heard:
            return
        self._heard = seconds
        self._bar.update(self._file, completed=seconds)
        if self._total is not None:
            self._bar.update(self._total, completed=self._before + seconds)


class _AudioTimeColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f" / {task.total:.1f}"
        return Text(f"{task.completed:.1f}{total} s heard")


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.speed
        return Text("" if speed is None else f"{speed:.1f} times")


def _heard(turn: Turn) -> str:
    # Models that make words final one by one leave the transcript empty until then.
    return turn.transcript or " ".join(word.text for word in turn.words)
