"""What becomes of a stream's sessions, as values for those who watch."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import TYPE_CHECKING

from .events import CaughtUp, Opened, Outcome, Over, Resumed, Told

if TYPE_CHECKING:
    from .session import Session


class Reports:
    """Puts into `told` what there is to say; audio has `sample_rate`.

    Attributes:
        is_behind: audio waited for the present session, and some still does.
    """

    def __init__(self, sample_rate: int, told: MutableSequence[Told]) -> None:
        self.is_behind = False
        self._behind_since = 0.0
        self._rate = sample_rate
        self._told = told

    def opened(self, session: Session, now: float) -> None:
        """`session` has begun."""
        seconds = now - session.asked_at
        name, model, expires_at = session.id, session.model, session.expires_at
        self._told.append(Opened(name, model, expires_at, seconds))

    def resumed(
        self,
        session: Session,
        before: Session | None,
        *,
        sample: int,
        sent: int,
        is_behind: bool,
        now: float,
    ) -> None:
        """`session` hears the stream from `sample` on, in place of the one `before`;
        sessions were sent it up to `sent`. `is_behind`: audio waits for it."""
        self.is_behind, self._behind_since = is_behind, now
        after = "" if before is None else before.id
        self._told.append(Resumed(session.id, sample, sent, after))

    def caught_up(self, session: Session, now: float) -> None:
        """`session` has been sent all that waited for it."""
        self.is_behind = False
        self._told.append(CaughtUp(session.id, now - self._behind_since))

    def over(
        self, session: Session, outcome: Outcome, failure: Exception | None = None
    ) -> None:
        """`session` is over; if it failed, with `failure` or its own."""
        self._told.append(
            Over(
                session.id,
                outcome,
                session.failure if failure is None else failure,
                session.asked_at,
                session.began_at if session.has_begun else None,
                session.timeline.samples / self._rate,
            )
        )
