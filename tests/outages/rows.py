"""Rows of the outage matrix: calls that should come out right, and all of them made."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator, Service
from aai_stream.livekit import STT
from tests.outages.calls import (
    FACES,
    RETRY,
    SPEECH,
    Outcome,
    Speech,
    Wait,
    at_once,
    through_plugin,
    through_stream,
)
from tests.servers import within

SEEN = Service()


@dataclass(frozen=True)
class Caller:
    """One of the faces, over one of the wires, hearing audio of one rate."""

    face: str
    http_session: aiohttp.ClientSession | None
    rate: int = 16_000

    async def call(
        self,
        server: Emulator,
        *,
        speech: Speech = SPEECH,
        pace: float = 0,
        wait: Wait = at_once,
        connect_timeout: float = RETRY.timeout,
        **options: Any,
    ) -> Outcome:
        """Say it all to `server`; retries and `options` are in a hurry unless given."""
        options = {
            "catch_up_rate": math.inf,
            "close_timeout": 10,
            "http_session": self.http_session,
            **options,
        }
        said: dict[str, Any] = {"speech": speech, "pace": pace, "wait": wait}
        if self.face == "stream":
            call = through_stream(
                server.url,
                self.rate,
                connect_timeout=connect_timeout,
                **said,
                **options,
            )
        else:
            stt = STT(api_key="k", base_url=server.url, **options)
            retry = replace(RETRY, timeout=connect_timeout)
            call = through_plugin(stt, self.rate, retry=retry, **said)
        outcome: Outcome = await within(30, call)
        outcome.sessions = server.sessions_opened
        return outcome

    async def suffer(
        self,
        *faults: str,
        speech: Speech = SPEECH,
        service: Service = SEEN,
        **options: Any,
    ) -> Outcome:
        """`call` a server with these faults, which must happen."""
        async with Emulator(
            speech.engine(),
            service=service,
            faults=[fault(text) for text in faults],
        ) as server:
            outcome = await self.call(server, speech=speech, **options)
            happened = {applied.fault for applied in server.faults.applied}
            assert happened >= set(server.faults), f"{faults} didn't happen"
        return outcome


@dataclass(frozen=True)
class Row:
    """A call that should come out right: `faults`, and how it is made."""

    faults: tuple[str, ...]
    speech: Speech = SPEECH
    sessions: int | None = None
    """So many are opened, if it matters."""
    terminated: bool | None = None
    """What `Stream.end` says, if it matters."""
    service: Service = SEEN
    without_times: bool = False
    """The server doesn't say where the words are."""
    options: Mapping[str, Any] = field(default_factory=dict)

    async def problems(self, caller: Caller) -> list[str]:
        """What goes wrong."""
        try:
            outcome = await caller.suffer(
                *self.faults,
                speech=self.speech,
                service=self.service,
                **self.options,
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


async def wrong(
    rows: Rows, http: aiohttp.ClientSession | None, **caller: Any
) -> dict[tuple[str, str], list[str]]:
    """What goes wrong, by face and row, with all `rows` at once; nothing if {}."""
    calls = {
        (face, name): row.problems(Caller(face, http, **caller))
        for face in FACES
        for name, row in rows.items()
    }
    found = await asyncio.gather(*calls.values())
    return {row: each for row, each in zip(calls, found, strict=True) if each}
