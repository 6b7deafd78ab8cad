"""A whole call under virtual time: people, streams, network, service, from one seed.

Where PROTOCOL.md's lines live:

| line | where |
|---|---|
| keys, tokens (new ones, or one for all), 1008, 3009, 4001, 4102 | `door` |
| sessions at once and a minute, of all streams; when a place is free | `door` |
| HTTP 401, 403, 429 with `Retry-After`, 503; no network | `account` |
| Begin in time, late or never; a model that is not allowed (3005) | `account` |
| what Begin says; the account's own model; clocks that differ | `session` |
| pacing at 1.0 to 10 times real time; 3007 by rate, backlog, length | `session` |
| expiry (3008), `inactivity_timeout` (3006), KeepAlive | `session` |
| UpdateConfiguration, ForceEndpoint | `session`, `recognizer` |
| Terminate: empty Turn; Termination in time, late, never; cut | `session` |
| Heartbeat, Silence, SpeakerRevision, Termination | `session`, `messages` |
| Warning, LLMGatewayResponse, what is unknown or no JSON | `messages` |
| Turn, SpeechStarted; both families of models; lengths, moved words | `recognizer` |
| 1006, 1011, 1013, 3005, 3008, 4008; half-open; cut in a message; stalls | `link` |

Not here: mu-law (samples know their place by bits that it drops), 1009 (a second is
16 KB), 3006 for bad parameters (`Options` refuses them), the other codes of v2.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field

from tests.simulation import judge
from tests.simulation.account import Account
from tests.simulation.client import world_of
from tests.simulation.door import Door
from tests.simulation.faces import FAILURES, open_face
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.plan import Plan, draw_plan
from tests.simulation.report import Report
from tests.simulation.speaker import Speaker
from tests.simulation.speech import (
    RATE,
    Recording,
    Script,
    make_audio,
    make_words,
)

LONGEST_END_SECONDS = 1800.0
"""No end takes longer."""

CLOSING_SECONDS = 60.0
"""So long after it the service has no session of it."""


@dataclass
class Call:
    """A call that has been held, and what is wrong with it."""

    seed: int
    seconds: float
    weather: str
    words: int = 0
    lost: int = 0
    billed_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def report(self) -> str:
        """What happened, and how to see it again."""
        again = f"python -m tests.simulation {self.seed}"
        return "\n".join([*self.log, *self.problems, f"again: {again}"])


def hold_call(seed: int) -> Call:
    """The call with this number, the same every time."""
    random.seed(seed)  # the client's jitter is drawn from here
    loop = VirtualLoop()
    dice = random.Random(seed)
    plan = draw_plan(dice, random.Random(-1 - seed))
    call = Call(seed, plan.seconds * plan.streams, plan.weather.name)
    call.log += [f"seed {seed}", *(str(part) for part in vars(plan).values())]
    door = Door(plan.terms, random.Random(dice.getrandbits(32)))
    streams = [_Conversation(n, call, plan, door, dice) for n in range(plan.streams)]
    try:
        loop.run_until_complete(_hold_all(call, streams))
    except Stuck as exc:
        call.problems.append(str(exc))
    finally:
        loop.close()
    return call


async def _hold_all(call: Call, streams: list[_Conversation]) -> None:
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: call.problems.append(f"asyncio complains: {context}")
    )
    with world_of([stream.account for stream in streams]):
        await asyncio.gather(*[stream.hold() for stream in streams])


class _Conversation:
    """A stream, who speaks into it, and the service as it sees it."""

    def __init__(
        self, number: int, call: Call, plan: Plan, door: Door, dice: random.Random
    ) -> None:
        self.call = call
        self.plan = plan
        words = make_words(dice, plan.seconds, plan.talk)
        call.words += len(words)
        recording = Recording(make_audio(dice, words, plan.seconds, plan.talk))
        until = plan.weather.until
        self.account = Account(
            Script(words),
            recording,
            random.Random(dice.getrandbits(32)),
            plan.weather,
            math.inf if until == 1 else plan.seconds * until,
            plan.terms,
            door,
            number,
            call.log,
            call.problems,
            is_alone=plan.streams == 1,
            park_after=plan.settings.park_after,
        )
        self.speaker = Speaker(
            plan.habits,
            self.account.script,
            recording.pcm,
            self.account,
            random.Random(dice.getrandbits(32)),
        )
        self.failure: BaseException | None = None
        self.report = Report(lambda: self.speaker.pushed)

    @property
    def is_doomed(self) -> bool:
        """Whether the stream may fail. Without more audio to come it gives up soon."""
        ends_in_it = self.account.ends_at < self.account.calm_from
        return self.plan.is_doomed or (ends_in_it and self.plan.weather.is_hard)

    @property
    def _pushed(self) -> int:
        """How much the stream has surely taken: LiveKit's queues it."""
        is_sure = self.failure is None or not self.plan.settings.is_livekit
        return self.speaker.pushed - (0 if is_sure else 2 * RATE)

    # ---- the call ----

    async def hold(self) -> None:
        """Speak, end, and see that all is well."""
        call, account = self.call, self.account
        try:
            await asyncio.wait_for(self._hold(), 20 * call.seconds + 7200)
        except (*FAILURES, asyncio.TimeoutError) as exc:
            self.failure = exc
            if "Too many" in str(exc):
                patience = self.plan.settings.replay_seconds
                now = asyncio.get_running_loop().time()
                account.duties.gave_up_place(now, patience)
            account.note(f"the stream ended with {exc!r}")
            if not self.is_doomed or isinstance(exc, asyncio.TimeoutError):
                call.problems.append(f"the stream ended with {exc!r}")
        self._judge()
        await asyncio.sleep(CLOSING_SECONDS)
        call.billed_seconds += account.billed_seconds
        if left := [s.number for s in account.sessions if not s.is_over]:
            call.problems.append(f"sessions {left} are still open")

    async def _hold(self) -> None:
        account, speaker = self.account, self.speaker
        most_bytes = round(self.plan.settings.replay_seconds * RATE * 2 * 1.2) + 200_000
        opened = open_face(self.plan.settings, account, self.report)
        async with opened as face:
            await speaker.speak(face, most_bytes)
            account.ends_at = asyncio.get_running_loop().time()
            account.note(f"the end, at {speaker.pushed / RATE:.3f} s")
            if speaker.habits.closes:
                await face.aclose()
            else:
                await asyncio.wait_for(face.end(), LONGEST_END_SECONDS)
            account.note("the stream is over")

    def _judge(self) -> None:
        call, report, account = self.call, self.report, self.account
        for loss in report.lost:
            span = f"{loss.start / RATE:.3f} to {loss.end / RATE:.3f} s"
            call.log.append(f"lost: {span}, {loss.why}")
        for start, end in report.skipped:
            call.log.append(f"skipped: {start / RATE:.3f} to {end / RATE:.3f} s")
        verdict = judge.judge(
            account,
            report,
            pushed=self._pushed,
            is_closed=self.speaker.habits.closes,
            is_doomed=self.is_doomed,
        )
        call.lost += verdict.lost
        call.problems += verdict.problems
        call.problems += judge.judge_losses(
            account,
            report.lost,
            self.plan.settings.replay_seconds,
            is_calm=not (self.plan.weather.until or self.plan.habits.is_file),
        )
        call.problems += judge.judge_forced(
            report.finals, self.speaker.forced, self.plan.settings.chunk_seconds
        )
        call.problems += judge.judge_revisions(report)
        call.problems += judge.judge_speech(report.speech)
        if not (self.plan.settings.is_livekit or self.speaker.habits.closes):
            heard = {f"session-{s.number}" for s in account.sessions if s.received}
            for name in sorted(heard - report.begun):
                call.problems.append(f"{name} was sent audio, but its Begin not told")
        if report.usage is not None:
            sent = sum(link.sent_samples for link in account.links) / RATE
            if abs(report.usage - sent) > 0.01:
                call.problems.append(f"usage {report.usage} s, but {sent} s were sent")
