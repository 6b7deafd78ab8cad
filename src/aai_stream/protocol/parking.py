"""Paying only for speech: a stream in which nobody speaks has no session."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import OptionError
from .session import State

if TYPE_CHECKING:
    from .._core import AudioRing, Gate
    from ..options import Options
    from .coverage import Coverage
    from .session import Session
    from .settings import Settings

LOOK_SECONDS = 1.0
"""So much silence is kept, at most, before it is let go of."""

HEARD_SECONDS = 4.0
"""How far a session has heard is known to the second, with a margin, by the chunk."""


class Parking:
    """Says when a stream has been silent for so long that it needs no session.

    It is parked then: its audio goes nowhere, `gate` watches it, and what is silent is
    let go of, until there is a sound. Silence is what `coverage` says; that no audio
    comes counts as well.

    Attributes:
        is_on: the stream is parked.
        look_at: when to look whether it is silent, though no audio comes.

    Raises `OptionError` if the server would let go of a silent session before.
    """

    def __init__(
        self,
        ring: AudioRing,
        coverage: Coverage,
        gate: Gate,
        settings: Settings,
        options: Options,
    ) -> None:
        after, limit = settings.park_after, options.inactivity_timeout
        if after is not None and limit and not settings.keeps_alive and after >= limit:
            raise OptionError(
                f"park_after must be below inactivity_timeout ({limit}), or else that "
                f"ends the stream first, not {after!r}"
            )
        self.is_on = False
        self.look_at = math.inf
        self._after = math.inf if after is None else after
        self._ring = ring
        self._coverage = coverage
        self._gate = gate
        self._since = 0  # what is behind this sample was not sent
        self._began_at = 0.0
        self._seconds = 0.0  # before that

    def look_later(self, now: float) -> None:
        """Audio is being sent, or a session has begun."""
        self.look_at = now + self._after

    def is_due(self, session: Session, heard: int, now: float) -> bool:
        """Whether there has been silence for long enough. All was sent to `session`,
        which has surely heard it up to `heard`."""
        if session.state is not State.OPEN:
            return False
        ring, silent = self._ring, self._coverage.quiet_seconds
        mute = now - max(session.timeline.sent_at, session.began_at)
        seconds = silent + HEARD_SECONDS
        unheard = ring.written - max(heard, ring.acked) - seconds * ring.sample_rate
        return silent + mute >= self._after and unheard <= 0

    def begin(self, now: float) -> None:
        """The stream is parked."""
        self.is_on = True
        self.look_at = math.inf
        self._since = self._ring.sent
        self._began_at = now
        self._watch()

    def take_all(self) -> None:
        """The session that was there has told all that it was sent."""
        self._coverage.take_all(self._since)

    def is_silent(self, *, is_last_told: bool) -> bool:
        """Pass over silence; returns whether there is nothing else. `is_last_told`: the
        session that was there is over."""
        if not self._coverage.leave_silence_out(is_last_told=is_last_told):
            return False
        self._watch()
        return True

    def _watch(self) -> None:
        # Where audio stopped in the middle of sound, any that comes is a sound.
        seconds = LOOK_SECONDS if self._coverage.silent_seconds else 0.0
        until = self._ring.written + round(seconds * self._ring.sample_rate) + 1
        self._gate.wait(self._coverage.silence.steadiness, until)

    def end(self, now: float, skipped_until: int) -> None:
        """The stream is parked no more; what lies before `skipped_until` will never be
        sent."""
        if self.is_on:
            self._seconds = self.seconds(now)
            self.is_on = False
            self._gate.wait(None, 0)
            self._coverage.gaps.skipped(self._since, skipped_until)

    def seconds(self, now: float) -> float:
        """How long the stream has been parked, in all."""
        return self._seconds + (now - self._began_at if self.is_on else 0.0)
