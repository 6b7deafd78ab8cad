"""What a front desk asks its callers, one question after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aai_stream.messages import Event, Turn

QUESTIONS = ("Who is speaking?", "What can I do for you?", "Your account number?")


async def take_call(events: AsyncIterator[Event]) -> dict[str, str]:
    """The caller's answer to each question; `events` are those of a `Stream`."""
    answers: dict[str, str] = {}
    async for event in events:
        if not isinstance(event, Turn):
            continue
        # A turn's first end comes sooner than its formatted version.
        if event.end_of_turn and not event.turn_is_formatted:
            answers[QUESTIONS[len(answers)]] = event.transcript
            if len(answers) == len(QUESTIONS):
                break
    return answers
