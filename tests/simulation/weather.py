"""What can go wrong in a simulated call, and how often it does."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

ALWAYS = math.inf

ENDS = ("cut", "cut at a byte", "half-open", "1011", "1013", "3005", "3008", "4008")
"""How a session can end by itself."""


@dataclass(frozen=True)
class Weather:
    """How likely what is to go wrong, by connection, session, turn or message."""

    name: str
    until: float = 0.0
    """Of the call; behind it nothing goes wrong. Of 1.0, up to its last message."""
    # Of a connection
    refused: float = 0.0
    too_many: float = 0.0
    late_begin: float = 0.0
    no_begin: float = 0.0
    # Of a session
    short_life: float = 0.0
    """It ends by itself, in one of the ways of `ENDS`, after `life` seconds or so."""
    life: float = 30.0
    stalled: float = 0.0
    """It reads nothing for a while."""
    strict: float = 0.0
    """It takes no more than 1.3 times real time."""
    no_termination: float = 0.0
    late_termination: float = 0.0
    # Of a turn
    lost_turn: float = 0.0
    turns_between: int = 0
    """So many turns are told between two of which one is lost."""
    curses: bool = False
    """Some words are such that their turn is lost each time it is heard."""
    traceless: float = 0.0
    """A turn is lost without any trace of it."""
    doubled: float = 0.0
    reordered: float = 0.0
    late_final: float = 0.0
    late_start: float = 0.0
    """Nothing is told of a turn for some seconds."""
    unformatted: float = 0.0
    # Of a message
    odd: float = 0.0
    """A remark, a message that nobody knows, or one that is no JSON."""
    is_hard: bool = False
    """Many sessions are needed."""

    @property
    def keeps_turns(self) -> bool:
        """Whether each turn that a session tells of comes to its end there."""
        return not (self.lost_turn or self.reordered or self.late_final or self.strict)


_USUAL = Weather(
    "usual", 1.0, short_life=0.3, late_begin=0.1, late_start=0.1, odd=0.02, stalled=0.1
)
_ROUGH = Weather(
    "rough",
    0.8,
    refused=0.3,
    too_many=0.1,
    late_begin=0.3,
    no_begin=0.05,
    short_life=0.8,
    stalled=0.3,
    lost_turn=0.02,
    traceless=0.01,
    doubled=0.1,
    reordered=0.05,
    late_final=0.1,
    late_start=0.1,
    unformatted=0.1,
    odd=0.05,
    is_hard=True,
)
WEATHERS = (
    Weather("calm"),
    Weather("calm"),
    _USUAL,
    _USUAL,
    replace(_USUAL, name="brief", until=0.8, short_life=0.95, life=8.0, is_hard=True),
    Weather("forgetful", 0.8, lost_turn=0.3, turns_between=12),
    Weather(
        "turns",
        0.8,
        curses=True,
        lost_turn=0.1,
        traceless=0.02,
        doubled=0.2,
        reordered=0.2,
        late_final=0.2,
        late_start=0.2,
        unformatted=0.2,
        odd=0.1,
        is_hard=True,
    ),
    Weather("end", 1.0, no_termination=1.0, late_termination=0.2, short_life=0.1),
    Weather("strict", 1.0, strict=1.0, short_life=0.5),
    _ROUGH,
    _ROUGH,
    Weather("busy", 0.8, short_life=0.5, too_many=0.93, is_hard=True),
    Weather("outage", 0.8, refused=0.97, short_life=1.0, is_hard=True),
)


def draw_weather(dice: random.Random) -> Weather:
    """One of them."""
    return dice.choice(WEATHERS)
