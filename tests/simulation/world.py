"""A whole call under virtual time: people, stream, network, service, from one seed."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field, replace

from tests.simulation import judge
from tests.simulation.account import Account, Terms
from tests.simulation.client import world_of
from tests.simulation.faces import FAILURES, Report, Settings, open_face
from tests.simulation.loop import VirtualLoop
from tests.simulation.speaker import Habits, Speaker
from tests.simulation.speech import (
    RATE,
    Recording,
    Script,
    Talk,
    draw_talk,
    make_audio,
    make_words,
)
from tests.simulation.weather import Weather, draw_weather

LONGEST_END_SECONDS = 1800.0
"""No end takes longer."""

CLOSING_SECONDS = 60.0
"""So long after it the service has no session of it."""

LENGTHS = (20.0, 20.0, 60.0, 60.0, 60.0, 300.0, 300.0, 300.0, 900.0, 900.0)


@dataclass
class Call:
    """A call that has been held, and what is wrong with it."""

    seed: int
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    sessions: int = 0
    words: int = 0
    lost: int = 0
    weather: str = ""

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
        self.call = call = Call(seed)
        self.dice = dice = random.Random(seed)
        call.seconds = 3600.0 if dice.random() < 0.03 else dice.choice(LENGTHS)
        self.weather = weather = draw_weather(dice)
        talk = draw_talk(dice)
        if weather.until and not weather.loses:
            talk = replace(talk, monologues=min(talk.monologues, 0.05))
        words = make_words(dice, call.seconds, talk)
        recording = Recording(make_audio(dice, words, call.seconds, talk))
        call.weather, call.words = weather.name, len(words)
        self.settings = self._draw_settings(weather)
        # It may fail in the end, but not without a word.
        self.is_doomed = weather.refused > 0.9 or weather.no_termination > 0
        call.log.append(
            f"seed {seed}: {call.seconds:g} s, {len(words)} words, {weather.name}"
        )
        call.log += [str(talk), str(self.settings)]
        habits = self._draw_habits(len(recording.pcm) // 2)
        terms = self._draw_terms(talk)
        calm_from = 0.0
        if weather.until:
            calm_from = math.inf if weather.until == 1 else call.seconds * weather.until
        self.account = Account(
            Script(words),
            recording,
            random.Random(dice.getrandbits(32)),
            weather,
            calm_from,
            terms,
            call.log,
            call.problems,
        )
        self.speaker = Speaker(
            habits,
            self.account.script,
            recording.pcm,
            self.account,
            random.Random(dice.getrandbits(32)),
        )
        call.log += [str(terms), str(self.speaker.habits)]
        self.report = Report()

    def _draw_settings(self, weather: Weather) -> Settings:
        dice, seconds = self.dice, self.call.seconds
        is_livekit = dice.random() < 0.25
        chunks: tuple[float, ...] = (0.2, 1.0, 1.0, 1.0)
        if seconds <= 60:
            chunks = (0.05, 0.2, 0.2, 1.0)
        elif seconds > 300:
            chunks = (1.0,)
        parameters: dict[str, object] = {}
        if is_livekit or dice.random() < 0.9:
            parameters["speech_model"] = dice.choice(
                (
                    "universal-3-6-pro",
                    "universal-3-6-pro",
                    "u3-rt-pro",
                    "universal-streaming-english",
                    "universal-streaming-english",
                )
            )
        for name, chance in (
            ("speaker_labels", 0.2),
            ("format_turns", 0.5),
            ("session_heartbeat", 0.1),
            ("acknowledge_silence", 0.1),
        ):
            is_us = parameters.get("speech_model") == "universal-streaming-english"
            fits = {"format_turns": is_us, "acknowledge_silence": not is_us}
            if dice.random() < chance and fits.get(name, True):
                parameters[name] = True
        if dice.random() < 0.15:
            parameters["inactivity_timeout"] = dice.choice((10, 20))
        return Settings(
            is_livekit=is_livekit,
            parameters=parameters,
            has_tokens=dice.random() < 0.2,
            chunk_seconds=dice.choice(chunks),
            rate=dice.choice((1.25, 2.0)),
            # To hear a turn of a minute again takes as much, each time.
            replay_seconds=120.0 if weather.loses or weather.name == "calm" else 400.0,
            per_minute=dice.choice((math.inf, math.inf, 20 if weather.loses else 5)),
            skip_silence=dice.random() < 0.7,
            max_retries=1000,
        )

    def _draw_terms(self, talk: Talk) -> Terms:
        dice, settings = self.dice, self.settings
        longest = [10_800.0, 300.0, 300.0]
        if not talk.monologues:
            longest += [60.0, 60.0]  # in which each turn comes to its end
        rate = settings.rate
        terms = Terms(
            rate=rate,
            chunk_seconds=settings.chunk_seconds,
            # A stream gives up on a server that has much silence to work through, and
            # can't keep all that a slow one has yet to make one turn of.
            slowest=1.0 if talk.longest_pause <= 6 and talk.monologues < 0.5 else rate,
            longest_session=dice.choice(longest),
            skew=dice.choice((*[0.0] * 6, 7200.0, -7200.0, -200.0, 30.0)),
            default_model=dice.choice(
                ("universal-3-6-pro", "universal-streaming-english")
            ),
            places=dice.choice((math.inf, math.inf, math.inf, 2, 1)),
            per_minute=settings.per_minute,
        )
        if dice.random() < 0.06:
            self.is_doomed = True
            terms.forbidden_model = dice.random() < 0.3
            terms.revoked_at = dice.uniform(0, self.call.seconds)
        return terms

    def _draw_habits(self, samples: int) -> Habits:
        dice, settings = self.dice, self.settings
        is_file = not settings.is_livekit and dice.random() < 0.15
        blocks = (0.02, 0.05, 0.5) if self.call.seconds <= 60 else (0.5, 1.0)
        ends_at = samples
        if dice.random() < 0.3:
            ends_at = dice.randint(1, samples)
        return Habits(
            block_seconds=dice.choice(blocks),
            is_file=is_file,
            bursts=dice.choice((0.0, 0.02)),
            mutes=0.0 if is_file else dice.choice((0.0, 0.0, 0.01)),
            acts=dice.choice((0.0, 0.05, 0.2)),
            updates=dice.random() < 0.5,
            ends_at=ends_at,
            closes=dice.random() < 0.1,
        )

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
            if not self.is_doomed or isinstance(exc, asyncio.TimeoutError):
                call.problems.append(f"the stream ended with {exc!r}")
        self._judge()
        await asyncio.sleep(CLOSING_SECONDS)
        if left := [s.number for s in account.sessions if not s.is_over]:
            call.problems.append(f"sessions {left} are still open")
        return call

    async def _hold(self) -> None:
        call, account, speaker = self.call, self.account, self.speaker
        most_bytes = round(self.settings.replay_seconds * RATE * 2 * 1.2) + 200_000
        opened = open_face(self.settings, account.mint, self.report)
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
        call.sessions = len(account.sessions)

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
            report.finals, self.speaker.forced, self.settings.chunk_seconds
        )
        call.problems += judge.judge_revisions(report)
        call.problems += judge.judge_speech(report.speech)
        if report.usage is not None:
            sent = sum(link.sent_samples for link in account.links) / RATE
            if abs(report.usage - sent) > 0.01:
                call.problems.append(f"usage {report.usage} s, but {sent} s were sent")
        most = self.weather.loses * call.words + 30 * bool(self.weather.loses)
        if call.lost > most and not self.is_doomed:
            call.problems.append(
                f"{call.lost} of {call.words} words are lost in weather that is "
                f"{self.weather.name}"
            )
