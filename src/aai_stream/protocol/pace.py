"""How fast audio that has waited may follow."""

from __future__ import annotations

from .._core import Pacer
from ..errors import OptionError

CATCH_UP_RATE = 1.25
"""Times real time. AssemblyAI works through a backlog at about this speed, so that
sending faster gains nothing, and may close with 3007."""

BURST_SECONDS = 1.0
"""This much audio may go at once before the rate applies: a handshake's worth."""


def check_rate(rate: object) -> None:
    """Raise `OptionError` for a rate that could not keep up with live audio."""
    if not isinstance(rate, (int, float)) or not rate > 1:
        raise OptionError(f"catch_up_rate must be above 1, not {rate!r}")


def slow_down(pacer: Pacer) -> None:
    """The server found this too fast: halve what is above real time."""
    pacer.rate = 1 + (min(pacer.rate, CATCH_UP_RATE) - 1) / 2
    pacer.burst_seconds /= 2
