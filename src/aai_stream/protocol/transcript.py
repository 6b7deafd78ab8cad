"""What sessions say, as the stream's: turns counted on, and what their words cover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..messages import Silence, SpeechStarted, Turn, renumber
from .events import LostTurn, Note

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from .coverage import Coverage
    from .events import Tells, Told
    from .sending import Sending
    from .session import Session

SILENCE_OVERLAP_MS = 500
"""A Silence may reach this far into what follows."""


class Transcript:
    """Passes on to `told` what the present session tells, and covers audio by it.

    Attributes:
        turns: how many have ended, those without a word not counted.
        final_samples: how far finals reach: the stream's progress.
    """

    def __init__(
        self, coverage: Coverage, sending: Sending, told: MutableSequence[Told]
    ) -> None:
        self.turns = 0
        self.final_samples = 0
        self._coverage = coverage
        self._sending = sending
        self._told = told
        self._first_turn = 0  # of the present session
        self._last_turn = -1  # that is final

    def begin(self) -> None:
        """Another session goes on; it counts its turns from 0."""
        self._first_turn = self._last_turn + 1

    def hear(self, event: Tells, session: Session) -> bool:
        """`session`, the present one, tells `event`; returns whether that is a final
        turn."""
        coverage = self._coverage
        if isinstance(event, LostTurn):
            coverage.take_lost(event)
            return False
        if self._first_turn and not isinstance(event, Note):
            renumber(event, self._first_turn)
        if isinstance(event, Turn):
            coverage.take_news()
            if event.is_final:
                self._cover(event)
            self._told.append(event)
            return event.is_final
        if isinstance(event, SpeechStarted):
            coverage.take_news()
        elif isinstance(event, Silence) and session.turns.is_idle:
            end = coverage.sample(event.end_ms - SILENCE_OVERLAP_MS)
            coverage.take_silence(end)
        self._told.append(event)
        return False

    def _cover(self, final: Turn) -> None:
        if final.turn_order > self._last_turn:
            self.turns += bool(final.transcript)
            self._last_turn = final.turn_order
        coverage, words = self._coverage, final.words
        # By its own words alone: those of partials move.
        if words:
            end = coverage.sample(words[-1].end)
            lasted_ms = words[-1].end - words[0].start
            forced = self._sending.endpoints.forced_behind(end)
            coverage.take_final(end, lasted_ms, forced)
            self.final_samples = max(self.final_samples, end)
        elif final.transcript:
            coverage.take_final_without_words()

    def leave_open(self, session: Session) -> None:
        """`session` is lost: another one has to hear the turn that was open."""
        if not session.turns.is_idle:
            self._coverage.leave_unfinished(session.turns.unfinished)
