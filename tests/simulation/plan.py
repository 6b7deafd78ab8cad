"""What a simulated call is to be like: people, caller, account and weather."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from tests.simulation.door import Terms
from tests.simulation.faces import Settings
from tests.simulation.speaker import Habits
from tests.simulation.speech import RATE, Talk, draw_talk
from tests.simulation.weather import Weather, draw_weather

US = "universal-streaming-english"
MODELS = ("universal-3-6-pro", "universal-3-6-pro", "u3-rt-pro", US, US)

LENGTHS = (20.0, 20.0, 60.0, 60.0, 60.0, 300.0, 300.0, 300.0, 900.0, 900.0)
LONGEST = 3600.0


@dataclass(frozen=True)
class Plan:
    """All that is drawn before the call begins."""

    seconds: float
    weather: Weather
    talk: Talk
    settings: Settings
    terms: Terms
    habits: Habits
    is_doomed: bool
    """It may fail in the end, but not without a word."""
    streams: int
    """How many callers there are, on the same account."""


def draw_plan(dice: random.Random, spare: random.Random) -> Plan:
    """Any call. What was thought of late is drawn from `spare`, so that a call without
    it is as it was."""
    seconds = LONGEST if dice.random() < 0.03 else dice.choice(LENGTHS)
    weather = draw_weather(dice)
    talk = draw_talk(dice)
    settings = _draw_settings(dice, seconds, weather, _draw_park_after(spare))
    terms = _draw_terms(dice, settings, talk)
    is_doomed = weather.no_termination > 0
    is_doomed |= settings.tokens == "one"
    is_doomed |= weather.is_hard and settings.max_retries < 1000
    if dice.random() < 0.1:
        is_doomed = True
        terms.forbidden_model = dice.random() < 0.3
        terms.revoked_at = dice.uniform(0, seconds)
    habits = _draw_habits(dice, seconds, is_livekit=settings.is_livekit)
    is_crowd = seconds <= 300 and settings.per_minute < math.inf
    streams = dice.choice((1, 2, 4)) if is_crowd else 1
    is_doomed |= terms.places <= streams > 1
    return Plan(seconds, weather, talk, settings, terms, habits, is_doomed, streams)


def _draw_park_after(dice: random.Random) -> float | None:
    return dice.choice((10.0, 15.0, 40.0)) if dice.random() < 0.3 else None


def _draw_settings(
    dice: random.Random, seconds: float, weather: Weather, park_after: float | None
) -> Settings:
    kind = dice.choice(("stream", "stream", "livekit", "protocol", "protocol"))
    most = 20 if weather.is_hard else 5
    per_minute = dice.choice((math.inf, math.inf, most))
    chunks: tuple[float, ...] = (0.2, 1.0, 1.0, 1.0)
    if seconds <= 60:
        chunks = (0.05, 0.2, 0.2, 1.0)
    elif seconds > 300:
        chunks = (1.0,)
    parameters = _draw_parameters(dice, is_livekit=kind == "livekit")
    inactivity = parameters.get("inactivity_timeout", math.inf)
    if kind != "livekit" and (park_after or 0) >= inactivity:
        park_after = None
    return Settings(
        kind=kind,
        parameters=parameters,
        tokens=dice.choice(("", "", "", "", "", "", "", "new", "new", "one")),
        chunk_seconds=dice.choice(chunks),
        rate=dice.choice((1.25, 2.0)),
        replay_seconds=dice.choice((120.0, 120.0, 400.0)),
        per_minute=math.inf if kind == "protocol" else per_minute,
        skip_silence=dice.random() < 0.5,
        max_retries=dice.choice((1000, 1000, 10)),
        park_after=park_after,
    )


def _draw_parameters(dice: random.Random, *, is_livekit: bool) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    if is_livekit or dice.random() < 0.9:  # or the account has its own
        parameters["speech_model"] = dice.choice(MODELS)
    is_us = parameters.get("speech_model") == US
    for name, chance in (
        ("speaker_labels", 0.2),
        ("format_turns", 0.5 * is_us),
        ("session_heartbeat", 0.1),
        ("acknowledge_silence", 0.1 * (not is_us)),
    ):
        if dice.random() < chance:
            parameters[name] = True
    if dice.random() < 0.15:
        parameters["inactivity_timeout"] = dice.choice((10, 20))
    return parameters


def _draw_terms(dice: random.Random, settings: Settings, talk: Talk) -> Terms:
    longest = [10_800.0, 300.0, 300.0]
    if not talk.monologues:
        longest += [60.0, 60.0]  # in which each turn comes to its end
    return Terms(
        rate=settings.rate,
        chunk_seconds=settings.chunk_seconds,
        longest_session=dice.choice(longest),
        skew=dice.choice((*[0.0] * 6, 7200.0, -7200.0, -200.0, 30.0)),
        default_model=dice.choice((MODELS[0], US)),
        places=dice.choice((math.inf, math.inf, math.inf, 2, 1)),
        per_minute=settings.per_minute,
        has_new_tokens=settings.tokens != "one",
    )


def _draw_habits(dice: random.Random, seconds: float, *, is_livekit: bool) -> Habits:
    is_file = not is_livekit and dice.random() < 0.2
    samples = round(seconds * RATE)
    return Habits(
        block_seconds=dice.choice((0.02, 0.05, 0.5) if seconds <= 60 else (0.5, 1.0)),
        is_file=is_file,
        bursts=dice.choice((0.0, 0.02)),
        mutes=0.0 if is_file else dice.choice((0.0, 0.0, 0.01)),
        acts=dice.choice((0.0, 0.05, 0.2)),
        updates=dice.random() < 0.5,
        ends_at=dice.randint(1, samples) if dice.random() < 0.3 else samples,
        closes=dice.random() < 0.1,
    )
