"""Questions as values, and how they are all asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..conversing import Server

Ask = Callable[[Server, bytes], Awaitable[str]]

LONGEST_SECONDS = 90.0
"""No question takes longer; waiting for a place among new sessions counts."""


@dataclass(frozen=True)
class Question:
    """What is asked, and the answers that conform.

    `ask` gets the server and a few seconds of speech, 16 kHz PCM16.
    """

    name: str
    expected: tuple[str, ...]
    ask: Ask


@dataclass(frozen=True)
class Answer:
    """What a server did."""

    question: str
    expected: tuple[str, ...]
    found: str

    @property
    def conforms(self) -> bool:
        """Whether that is what was expected."""
        return self.found in self.expected

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "conforms": self.conforms}


class Questions(list[Question]):
    """A list to which functions are added by decoration."""

    def add(self, name: str, *expected: str) -> Callable[[Ask], Ask]:
        """Ask the decorated function under this name; any of `expected` conforms."""

        def register(ask: Ask) -> Ask:
            self.append(Question(name, expected, ask))
            return ask

        return register


async def ask_all(
    server: Server, questions: Sequence[Question], speech: bytes, *, at_once: int = 1
) -> AsyncGenerator[Answer, None]:
    """Ask them all, so many at a time; the answers come in the order of `questions`.

    What goes wrong while one is asked is its answer. Whoever stops early, and closes
    this, has every session ended.
    """
    places = asyncio.Semaphore(at_once)

    async def ask(question: Question) -> Answer:
        async with places:
            try:
                found = await asyncio.wait_for(
                    question.ask(server, speech), LONGEST_SECONDS
                )
            except asyncio.TimeoutError:
                found = "no answer"
            except Exception as exc:
                found = type(exc).__name__
        # A server may have echoed what it was sent.
        return Answer(question.name, question.expected, server.redacted(found))

    asking = [asyncio.ensure_future(ask(question)) for question in questions]
    try:
        for task in asking:
            yield await task
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await server.aclose()
