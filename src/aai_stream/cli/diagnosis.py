"""How the doctor's findings and answers are shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..doctor.conformance import Answer
from ..doctor.findings import Finding, Status

_WIDTH = 120
"""Of a table that goes into a file or a pipe."""
_MARKS = {Status.FINE: "✓", Status.DOUBTFUL: "!", Status.FAILED: "✗"}
_PLAIN_MARKS = {Status.FINE: "+", Status.DOUBTFUL: "!", Status.FAILED: "x"}


def show(finding: Finding) -> None:
    """Print a finding, and below it what to do."""
    took = f" ({finding.seconds * 1000:.0f} ms)" if finding.seconds is not None else ""
    print(f"{_marks()[finding.status]} {finding.name}: {finding.found}{took}")
    if finding.advice:
        print(f"    {finding.advice}")
    sys.stdout.flush()


def show_table(answers: Sequence[Answer]) -> None:
    """Print what was asked, expected and found."""
    table = Table("question", "expected", "found", "same?", show_lines=True)
    marks = _marks()
    for answer in answers:
        mark = marks[Status.FINE if answer.conforms else Status.FAILED]
        expected = " | ".join(answer.expected)
        table.add_row(*map(Text, (answer.question, expected, answer.found, mark)))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def _marks() -> dict[Status, str]:
    """What the terminal can show."""
    try:
        "".join(_MARKS.values()).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return _PLAIN_MARKS
    return _MARKS
