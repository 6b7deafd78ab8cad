"""A whole call under virtual time: people, stream, network, service, from one seed."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field

from tests.simulation import judge
from tests.simulation.account import Account
from tests.simulation.client import world_of
from tests.simulation.faces import FAILURES, Report, open_face
from tests.simulation.loop import VirtualLoop
from tests.simulation.plan import draw_plan
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
    words: int
    lost: int = 0
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
    try:
        return loop.run_until_complete(_Conversation(seed).hold())
    finally:
        loop.close()


class _Conversation:
    """Everybody in a call."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        self.plan = plan = draw_plan(dice)
        words = make_words(dice, plan.seconds, plan.talk)
        recording = Recording(make_audio(dice, words, plan.seconds, plan.talk))
        self.call = call = Call(seed, plan.seconds, plan.weather.name, len(words))
        call.log.append(f"seed {seed}: {len(words)} words")
        call.log += [str(part) for part in vars(plan).values()]
        until = plan.weather.until
        self.account = Account(
            Script(words),
            recording,
            random.Random(dice.getrandbits(32)),
            plan.weather,
            math.inf if until == 1 else plan.seconds * until,
            plan.terms,
            call.log,
            call.problems,
        )
        self.speaker = Speaker(
            plan.habits,
            self.account.script,
            recording.pcm,
            self.account,
            random.Random(dice.getrandbits(32)),
        )
        self.report = Report()

    # ---- the call ----

    async def hold(self) -> Call:
        """Speak, end, and see that all is well."""
        call, account = self.call, self.account
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: call.problems.append(f"asyncio complains: {context}")
        )
        try:
            await asyncio.wait_for(self._hold(), 20 * call.seconds + 7200)
        except (*FAILURES, asyncio.TimeoutError) as exc:
            account.note(f"the stream ended with {exc!r}")
            if not self.plan.is_doomed or isinstance(exc, asyncio.TimeoutError):
                call.problems.append(f"the stream ended with {exc!r}")
        self._judge()
        await asyncio.sleep(CLOSING_SECONDS)
        if left := [s.number for s in account.sessions if not s.is_over]:
            call.problems.append(f"sessions {left} are still open")
        return call

    async def _hold(self) -> None:
        account, speaker = self.account, self.speaker
        most_bytes = round(self.plan.settings.replay_seconds * RATE * 2 * 1.2) + 200_000
        opened = open_face(self.plan.settings, account.mint, self.report)
        with world_of(account):
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
        for start, end, why in report.lost:
            call.log.append(f"lost: {start / RATE:.3f} to {end / RATE:.3f} s, {why}")
        for start, end in report.skipped:
            call.log.append(f"skipped: {start / RATE:.3f} to {end / RATE:.3f} s")
        verdict = judge.judge(
            account.script,
            report,
            pushed=self.speaker.pushed,
            is_closed=self.speaker.habits.closes,
            shown=account.shown,
            vanished=account.vanished,
        )
        call.lost = verdict.lost
        call.problems += verdict.problems
        call.problems += judge.judge_forced(
            report.finals, self.speaker.forced, self.plan.settings.chunk_seconds
        )
        call.problems += judge.judge_revisions(report)
        call.problems += judge.judge_speech(report.speech)
        if report.usage is not None:
            sent = sum(link.sent_samples for link in account.links) / RATE
            if abs(report.usage - sent) > 0.01:
                call.problems.append(f"usage {report.usage} s, but {sent} s were sent")
        loses = self.plan.weather.loses
        most = loses * call.words + 30 if loses else 0
        if call.lost > most and not self.plan.is_doomed:
            call.problems.append(f"{call.lost} of {call.words} words are lost")
