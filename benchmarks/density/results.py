"""What a run finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .spread import Spread


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    number: str
    title: str
    unit: str
    ours: Spread
    theirs: Spread | None
    ratio: Spread | None
    """How many times less ours is, round by round."""
    goal: str
    met: bool
    trusty: bool = True
    """Whether the server had time enough."""
    remarks: list[str] = field(default_factory=list)


@dataclass
class Results:
    """All that a run measured."""

    rows: list[Row] = field(default_factory=list)
    ladder: list[dict[str, Any]] = field(default_factory=list)
    """For each number of streams and kind of client, CPU and lag."""
