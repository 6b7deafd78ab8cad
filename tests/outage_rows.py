"""Rows of the outage matrix: calls that should come out right, and all of them made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.outages import FACES, SPEECH, Caller, Speech


@dataclass(frozen=True)
class Row:
    """A call that should come out right: `faults`, and how it is made."""

    faults: tuple[str, ...]
    speech: Speech = SPEECH
    sessions: int | None = None
    """So many are opened, if it matters."""
    terminated: bool | None = None
    """What `Stream.end` says, if it matters."""
    without_times: bool = False
    """The server doesn't say where the words are."""
    options: Mapping[str, Any] = field(default_factory=dict)

    async def problems(self, caller: Caller) -> list[str]:
        """What goes wrong."""
        try:
            outcome = await caller.suffer(
                *self.faults, speech=self.speech, **self.options
            )
        except AssertionError as exc:  # it hangs, or the faults didn't happen
            return [str(exc)]
        found = outcome.problems
        if self.without_times:
            found = outcome.problems_without_times
        if self.sessions not in (None, outcome.sessions):
            found.append(f"{outcome.sessions} sessions")
        told = outcome.terminated
        if caller.face == "stream" and self.terminated not in (None, told):
            found.append(f"terminated: {told}")
        return found


Rows = dict[str, Row]


async def check(rows: Rows, http: aiohttp.ClientSession | None, **caller: Any) -> None:
    """All `rows` at once, through both faces."""
    tasks = {
        (face, name): row.problems(Caller(face, http, **caller))
        for face in FACES
        for name, row in rows.items()
    }
    found = await asyncio.gather(*tasks.values())
    assert {row: each for row, each in zip(tasks, found, strict=True) if each} == {}
