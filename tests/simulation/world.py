"""A whole call under virtual time: speaker, stream, network, service, from one seed."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from typing_extensions import Buffer

from aai_stream._core import AudioRing
from aai_stream.connection.connector import Connector
from aai_stream.connection.credentials import Credentials
from aai_stream.errors import (
    AaiStreamError,
    BusyError,
    DroppedError,
    SessionError,
    UnfinishedError,
    UnreachableError,
)
from aai_stream.messages import AudioLost, Event, SilenceSkipped, Turn
from aai_stream.options import Options
from aai_stream.protocol.retry import Retries
from aai_stream.protocol.settings import Settings
from aai_stream.runner import Runner
from aai_stream.stream import Stream
from tests.simulation.loop import VirtualLoop
from tests.simulation.service import Session, Weather
from tests.simulation.speech import (
    RATE,
    Said,
    Samples,
    Script,
    make_audio,
    make_words,
)

DEAD_AFTER = 10.0
"""A peer that is silent for so long is given up by a wire."""

LONGEST_END_SECONDS = 1200.0
"""No end takes longer."""

STORMS = {
    "calm": Weather(),
    "usual": Weather(
        calm_from=math.inf, short_life=0.3, late_begin=0.1, late_final=0.05
    ),
    "rough": Weather(
        refused=0.3,
        too_many=0.1,
        late_begin=0.3,
        no_begin=0.05,
        short_life=0.8,
        lost_turn=0.02,
        doubled_turn=0.1,
        reordered_turn=0.05,
        late_final=0.1,
        stalled=0.3,
    ),
    "turns": Weather(
        lost_turn=0.1, doubled_turn=0.2, reordered_turn=0.2, late_final=0.2
    ),
    "end": Weather(calm_from=math.inf, no_termination=1.0, short_life=0.1),
    "outage": Weather(refused=0.97, short_life=1.0),
}
LOSSLESS = ("calm", "usual", "end")
"""In these no word is lost."""


class Wire:
    """The client's end of a simulated connection."""

    def __init__(
        self,
        owner: Any,
        dice: random.Random,
    ) -> None:
        self._owner = owner
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._is_closed = False
        self._arrives_at = 0.0
        self.is_half_open = False
        self.has_room = True
        self.server: Session

    # What the client uses

    @property
    def silent_seconds(self) -> float:
        return self._loop.time() - self._heard_at if self.is_half_open else 0.0

    def send_audio(self, chunk: Buffer) -> None:
        self._send(self.server.hear, bytes(memoryview(chunk)))

    def send_text(self, text: bytes) -> None:
        self._send(self.server.command, json.loads(text))

    async def close(self) -> None:
        self.hang_up(1000, "")

    # What the network does

    def _send(self, receive: Callable[[Any], None], message: Any) -> None:
        if self._is_closed or self.is_half_open:
            return
        latency = self._dice.uniform(0.01, 0.08)
        self._arrives_at = max(self._arrives_at + 1e-6, self._loop.time() + latency)
        self._loop.call_at(self._arrives_at, receive, message)

    def deliver(self, message: dict[str, Any]) -> None:
        if not self._is_closed and not self.is_half_open:
            self._heard_at = self._loop.time()
            self._owner.received(json.dumps(message).encode())

    def hang_up(self, code: int, reason: str) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._owner.closed(code, reason)
            self.server.is_over = True

    def freeze(self) -> None:
        """Nothing comes or goes any more; the client finds out."""
        self.is_half_open = True
        self._heard_at = self._loop.time()
        self._loop.call_later(DEAD_AFTER, self.hang_up, 1006, "")


@dataclass
class World:
    """The service's side of a call."""

    script: Script
    dice: random.Random
    weather: Weather
    labels: bool
    log: list[str]
    longest_session: float
    sessions: int = 0
    too_many_until: float = 0.0

    def note(self, what: str) -> None:
        now = asyncio.get_running_loop().time()
        self.log.append(f"{now:9.3f}  {what}")

    def goes_wrong(self, what: str) -> bool:
        if asyncio.get_running_loop().time() >= self.weather.calm_from:
            return False
        return self.dice.random() < float(getattr(self.weather, what))

    async def admit(self, urgency: Callable[[], float]) -> None:
        """Any number of sessions a minute."""

    credentials = Credentials("key")

    async def open(self, options: Options, owner: Any, timeout: float) -> Wire:
        """As `Connector.open`."""
        loop, dice = asyncio.get_running_loop(), self.dice
        await asyncio.sleep(dice.uniform(0.02, 0.3))
        if self.sessions and self.goes_wrong("refused"):
            self.note("connection refused")
            raise dice.choice(
                (
                    UnreachableError("refused"),
                    DroppedError("HTTP 503", code=503),
                    BusyError("HTTP 429", code=429, retry_after=dice.uniform(0, 3)),
                )
            )
        self.sessions += 1
        number = self.sessions
        wire = Wire(owner, dice)
        wire.server = server = Session(
            self.script,
            dice,
            self.weather,
            tell=wire.deliver,
            hang_up=wire.hang_up,
            labels=self.labels,
        )
        if self.goes_wrong("too_many"):
            self.too_many_until = loop.time() + dice.uniform(1, 20)
        if loop.time() < self.too_many_until:
            self.note(f"session {number}: too many")
            server.fail(1008, "Unauthorized Connection: Too many concurrent sessions")
            return wire
        if self.goes_wrong("no_begin"):
            self.note(f"session {number}: no Begin")
            return wire
        late = dice.uniform(2, 12) if self.goes_wrong("late_begin") else 0.0
        begin = late + dice.uniform(0.3, 1.3)
        lasts = self.longest_session
        # The time of day doesn't pass here: it is asked for once, at Begin.
        loop.call_later(begin, server.begin, time.time() + lasts - begin)
        loop.call_later(lasts, server.fail, 3008, "Session Expired")
        self.note(f"session {number}: Begin after {begin:.1f} s")
        if self.goes_wrong("stalled"):
            loop.call_later(begin + dice.uniform(1, 60), self._stall, wire)
        if self.goes_wrong("short_life"):
            life = begin + dice.expovariate(1 / 30)
            loop.call_later(life, self._strike, number, wire)
        return wire

    def _stall(self, wire: Wire) -> None:
        wire.has_room = False

        def go_on() -> None:
            wire.has_room = True
            wire._owner.room()

        asyncio.get_running_loop().call_later(self.dice.uniform(0.5, 15), go_on)

    def _strike(self, number: int, wire: Wire) -> None:
        kind = self.dice.choice(("cut", "half-open", "1011", "3005", "3008", "garbage"))
        self.note(f"session {number}: {kind}")
        if kind == "cut":
            wire.server.cut()
        elif kind == "half-open":
            wire.freeze()
        elif kind == "1011":
            wire.server.cut(int(kind), "sorry")
        elif kind == "garbage":
            wire.deliver({"type": "Turn", "turn_order": "first", "words": 7})
        else:
            wire.server.fail(int(kind), "Session Cancelled: An error occurred")


@dataclass
class Call:
    """A call that has been held, and what is wrong with it."""

    seed: int
    seconds: float
    problems: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    sessions: int = 0
    words: int = 0
    lost: int = 0

    def report(self) -> str:
        """What happened, and how to see it again."""
        again = f"python -m tests.simulation {self.seed}"
        return "\n".join([*self.log, *self.problems, f"again: {again}"])


def hold_call(seed: int) -> Call:
    """The call with this number, the same every time."""
    random.seed(seed)  # the client's jitter is drawn from here
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_hold_call(seed))
    finally:
        loop.close()


async def _hold_call(seed: int) -> Call:
    dice = random.Random(seed)
    seconds = dice.choice((20.0, 60.0, 300.0, 900.0))
    words = make_words(dice, seconds)
    audio = make_audio(dice, words, seconds)
    storm = dice.choice(list(STORMS))
    weather = STORMS[storm]
    if weather.calm_from == 0 and storm != "calm":
        weather = Weather(**{**vars(weather), "calm_from": seconds * 0.8})
    call = Call(seed, seconds)
    world = World(
        Script(words),
        random.Random(dice.getrandbits(32)),
        weather,
        labels=dice.random() < 0.2,
        log=call.log,
        longest_session=dice.choice((10_800.0, 10_800.0, 300.0)),
    )
    call.log.append(f"seed {seed}: {seconds:g} s, {len(words)} words, {storm}")
    stream = Stream(
        partial(
            Runner,
            ring=AudioRing(RATE, replay_seconds=120),
            options=Options({"sample_rate": RATE, "encoding": "pcm_s16le"}),
            settings=Settings(
                begin_timeout=20,
                close_timeout=20.0,
                dead_after=math.inf,
                catch_up_rate=dice.choice((1.25, 2.0)),
                skip_silence=dice.random() < 0.7,
            ),
            retries=Retries(1000, patience=120, draw=dice.uniform),
            connector=cast(Connector, world),
            connect_timeout=10.0,
        )
    )
    told: list[Event] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: call.problems.append(f"asyncio complains: {context}")
    )
    try:
        async with stream:
            reading = asyncio.ensure_future(_read(stream, told))
            await _speak(dice, stream, audio)
            await asyncio.wait_for(stream.end(), LONGEST_END_SECONDS)
            await reading
    except UnfinishedError as exc:
        # Where nobody ever says Termination, doubts may be left.
        if not weather.no_termination:
            call.problems.append(f"the stream ended with {exc!r}")
    except (AaiStreamError, asyncio.TimeoutError) as exc:
        call.problems.append(f"the stream ended with {exc!r}")
    call.sessions = world.sessions
    call.words = len(words)
    for event in told:
        if isinstance(event, (AudioLost, SilenceSkipped)):
            call.log.append(f"told: {event}")
    call.problems += _judge(world.script, told, call)
    if call.lost and storm in LOSSLESS:
        call.problems.append(f"{call.lost} words are lost in weather that is {storm}")
    return call


async def _read(stream: Stream, told: list[Event]) -> None:
    try:
        async for event in stream:
            told.append(event)
    except SessionError:
        pass


async def _speak(dice: random.Random, stream: Stream, audio: Samples) -> None:
    """Push the call in real time, in blocks of some length, now and then in bursts."""
    block = round(RATE * dice.choice((0.05, 0.5, 1.0)))
    at = 0
    while at < len(audio):
        blocks = dice.randint(2, 10) if dice.random() < 0.02 else 1
        await asyncio.sleep(blocks * block / RATE)
        for _ in range(blocks):
            stream.push(audio[at : at + block])
            at += block


# ---- what must be so ----

_MS = RATE // 1000
"""The protocol's times are no finer."""


def _judge(script: Script, told: list[Event], call: Call) -> list[str]:
    lost = [event for event in told if isinstance(event, AudioLost)]
    gaps = [(event.start_sample - _MS, event.end_sample + _MS) for event in lost]
    # Where the memory ended may be the middle of a word.
    cuts = [gap for gap, event in zip(gaps, lost, strict=True) if "sent" in event.why]
    skipped = [
        (event.start_sample, event.end_sample)
        for event in told
        if isinstance(event, SilenceSkipped)
    ]
    finals = [event for event in told if isinstance(event, Turn) and event.is_final]
    heard = Counter(word.text for turn in finals for word in turn.words)
    problems = _judge_words(script, finals, cuts)
    for said in script.words:
        count = heard[said.text]
        call.lost += not count
        if count > 1:
            problems.append(f"{said.text} is told {count} times")
        if not count and not (
            any(start <= said.start and said.end <= end for start, end in gaps)
            or _is_in(said, cuts)
        ):
            at_ms = said.start // _MS
            problems.append(f"{said.text} at {at_ms} ms is neither told nor lost")
        if _is_in(said, skipped):
            problems.append(f"{said.text} was skipped as silence")
    return problems


def _judge_words(
    script: Script, finals: list[Turn], cuts: list[tuple[int, int]]
) -> list[str]:
    """Whether the words of finals are whole, in order, and where they were said."""
    problems = []
    orders = [turn.turn_order for turn in finals]
    if orders != sorted(set(orders)):
        problems.append(f"turns in the order {orders}")
    last_start = last_number = -1
    for word in (word for turn in finals for word in turn.words):
        said = script.words[int(word.text.lstrip("~w"))]
        if word.text != said.text:
            if not _is_in(said, cuts):
                problems.append(f"a damaged word, {word.text}, at {word.start} ms")
            continue
        start, end = said.start // _MS, said.end // _MS
        if abs(word.start - start) > 10 or not start < word.end <= end + 10:
            problems.append(
                f"{word.text} is told at {word.start}-{word.end} ms, said at "
                f"{start}-{end} ms"
            )
        if said.number <= last_number or word.start < last_start:
            problems.append(f"{word.text} comes behind w{last_number}")
        last_number = max(last_number, said.number)
        last_start = max(last_start, word.start)
    return problems


def _is_in(said: Said, stretches: list[tuple[int, int]]) -> bool:
    """Whether some of a word lies in one of the `stretches`."""
    return any(start < said.end and said.start < end for start, end in stretches)
