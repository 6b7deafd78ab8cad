"""`aai-stream doctor`: what is wrong, on this machine, on the way, or at the server."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import aiohttp
import msgspec
import typer
from rich.console import Console

from ..connection.addresses import DEFAULT_URL, endpoint, is_loopback
from ..connection.credentials import KEY_VARIABLE
from ..doctor.account import check_account
from ..doctor.conformance import CONNECTIONS, ask_all, crowd, every_question
from ..doctor.conversing import Server
from ..doctor.findings import Finding, doubtful, has_failed, unless_needed
from ..doctor.machine import check_machine
from ..doctor.network import check_way
from ..doctor.pacing import FREE_ACCOUNT
from ..doctor.roundtrip import call_pcm, check_round_trip
from ..emulator.engines.pocketsphinx import PocketsphinxEngine
from ..emulator.engines.script import ScriptEngine
from ..emulator.server import Emulator, Service
from ..errors import EngineError, OptionError
from .diagnosis import show, show_table
from .running import Stop, complain, run

REGIONS = (
    DEFAULT_URL,
    "wss://streaming.us.assemblyai.com",
    "wss://streaming.eu.assemblyai.com",
)
_EMBEDDED_KEY = "embedded"
SESSIONS = 2
_MINUTES = 3
"""How long all questions take in real time, one after the other."""
_AT_ONCE = 4
"""Questions that the embedded server is asked at once; others are asked one by one."""


@dataclass(frozen=True)
class Patient:
    """The server that is examined."""

    urls: tuple[str, ...]
    key: str
    is_embedded: bool = False
    hears: bool = True
    """Whether it understands speech."""

    def may_open(self, per_minute: float) -> float:
        """How many sessions a minute: on this machine, as many as one likes."""
        host = urlsplit(self.urls[0]).hostname or ""
        return math.inf if is_loopback(host) else per_minute


def doctor(
    url: Annotated[
        str | None, typer.Option(help="A server other than AssemblyAI's or our own.")
    ] = None,
    conformance: Annotated[
        bool,
        typer.Option(
            "--conformance",
            help="Ask the server everything that the protocol says, and compare.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Don't ask before sessions that are billed.")
    ] = False,
    sessions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Open so many at once; each is billed. Default: {SESSIONS}, or none "
            "with --conformance.",
        ),
    ] = None,
    per_minute: Annotated[
        float,
        typer.Option(
            "--sessions-per-minute",
            min=1,
            help="That --conformance opens: 5 are what a free account may, 100 a paid "
            "one.",
        ),
    ] = FREE_ACCOUNT,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON list on standard output.")
    ] = False,
    allow_unencrypted: Annotated[
        bool,
        typer.Option("--allow-unencrypted", help="A server without TLS, anywhere."),
    ] = False,
) -> None:
    """Find out why something doesn't work.

    Checks this machine, the way to the server, the account, and a round trip of twelve
    seconds of speech. With ASSEMBLYAI_API_KEY set it examines AssemblyAI, which bills
    about a minute; without a key the embedded server, offline. Nothing secret is shown,
    so that the output can go into a ticket.

    Exit status: 0 all is well, or doubtful at most; 1 something is wrong; 2 bad usage.
    """

    try:
        elsewhere = _elsewhere(url, allow_unencrypted)
        # Before there is an event loop, which would keep Ctrl-C from the prompt.
        if conformance and elsewhere is not None and not yes:
            _confirm(elsewhere, sessions, per_minute)
    except OptionError as exc:
        complain(str(exc))
        raise typer.Exit(2) from None
    except typer.Abort:
        raise typer.Exit(128 + signal.SIGINT) from None

    async def command(stop: Stop) -> int:
        async with _patient(elsewhere) as patient, aiohttp.ClientSession() as http:
            if conformance:
                server = Server(
                    http,
                    patient.urls[0],
                    patient.key,
                    pace=math.inf if patient.is_embedded else 1.0,
                    sessions_per_minute=patient.may_open(per_minute),
                    allow_unencrypted=allow_unencrypted,
                )
                work = _ask(patient, server, sessions, as_json)
            else:
                most = sessions or SESSIONS
                work = _check(patient, http, most, as_json, allow_unencrypted)
            return await stop.or_done(work) or 0

    raise typer.Exit(run(command))


def _elsewhere(url: str | None, allow_unencrypted: bool) -> Patient | None:
    """A server that isn't ours; None for the embedded one. Raises `OptionError` if
    there can't be such a server, or it needs a key."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if url is None:
        return Patient(REGIONS, key) if key else None
    endpoint(url, "/v3/ws", allow_unencrypted=allow_unencrypted)
    if not key and not is_loopback(urlsplit(url).hostname or ""):
        raise OptionError(f"a server elsewhere needs a key: set {KEY_VARIABLE}")
    return Patient((url,), key or _EMBEDDED_KEY)


@contextlib.asynccontextmanager
async def _patient(elsewhere: Patient | None) -> AsyncIterator[Patient]:
    if elsewhere is not None:
        yield elsewhere
        return
    _say(f"{KEY_VARIABLE} is not set: examining the embedded server, offline")
    service = Service(place_seconds=0, lost_place_seconds=0)
    keys = {_EMBEDDED_KEY}
    hears = True
    emulator = Emulator(PocketsphinxEngine(16), api_keys=keys, service=service)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_quiet("aai_stream.emulator"))
        try:
            await stack.enter_async_context(emulator)
        except EngineError:
            emulator = Emulator(ScriptEngine(), api_keys=keys, service=service)
            await stack.enter_async_context(emulator)
            hears = False
        yield Patient((emulator.url,), _EMBEDDED_KEY, is_embedded=True, hears=hears)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Log errors only: it is asked wrong things on purpose."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


async def _check(
    patient: Patient,
    http: aiohttp.ClientSession,
    sessions: int,
    as_json: bool,
    allow_unencrypted: bool,
) -> int:
    findings: list[Finding] = []

    def add(more: list[Finding]) -> None:
        findings.extend(more)
        if not as_json:
            for finding in more:
                show(finding)

    def server(base_url: str) -> Server:
        return Server(http, base_url, patient.key, allow_unencrypted=allow_unencrypted)

    add(check_machine())
    good = None
    for base_url in patient.urls:
        way = await check_way(base_url, server(base_url))
        add(way if good is None else unless_needed(way))
        if good is None and not has_failed(way):
            good = base_url
    if good is None:
        advice = "see the checks above: no address gave a session"
        add([doubtful("account, round trip", "not checked", advice)])
    else:
        add(await check_account(server(good), sessions))
        if patient.hears:
            add(
                await check_round_trip(
                    good, patient.key, allow_unencrypted=allow_unencrypted
                )
            )
        else:
            advice = "pip install pocketsphinx for speech recognition offline"
            add([doubtful("words", "the embedded server can't hear", advice)])
    if as_json:
        print(msgspec.json.encode([f.as_dict() for f in findings]).decode())
    return int(has_failed(findings))


async def _ask(
    patient: Patient, server: Server, sessions: int | None, as_json: bool
) -> int:
    if not patient.hears:
        raise EngineError("this needs speech: pip install pocketsphinx")
    more = [] if sessions is None else [crowd(sessions)]
    questions = [*every_question, *more]
    answers = []
    with Console(stderr=True).status("Asking …") as status:
        async for answer in ask_all(
            server,
            questions,
            call_pcm(),
            at_once=_AT_ONCE if patient.is_embedded else 1,
        ):
            answers.append(answer)
            status.update(f"{len(answers)} of {len(questions)} answered")
    others = sum(not answer.conforms for answer in answers)
    if as_json:
        print(msgspec.json.encode([a.as_dict() for a in answers]).decode())
    else:
        show_table(answers)
        print(
            f"{len(answers)} questions, {others} answered otherwise; "
            f"{server.sessions} sessions, {server.seconds:.0f} s billed"
        )
    return int(others > 0)


def _confirm(patient: Patient, sessions: int | None, per_minute: float) -> None:
    host = urlsplit(patient.urls[0]).hostname
    connections = CONNECTIONS + (sessions or 0)
    minutes = max(_MINUTES, connections / patient.may_open(per_minute))
    _say(
        f"This asks {host} {len(every_question)} questions, on {connections} "
        f"connections, one after the other, {per_minute:g} new ones a minute: about "
        f"{math.ceil(minutes)} minutes, of which {_MINUTES} are billed."
    )
    if not sys.stdin.isatty() or not typer.confirm("Go on?", err=True):
        raise OptionError("not asked; --yes goes on without asking")


def _say(what: str) -> None:
    print(what, file=sys.stderr)
