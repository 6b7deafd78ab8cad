"""More sessions at once than there may be; asked only for a number of them."""

from __future__ import annotations

from ..conversing import Server
from .access import REFUSED, ending
from .questions import Question

EACH_BEGINS = "each begins"


def crowd(sessions: int) -> Question:
    """Open sessions until one is refused, or `sessions` are open."""

    async def ask(server: Server, speech: bytes) -> str:
        _, refused = await server.crowd(sessions)
        return EACH_BEGINS if refused is None else ending(refused)

    return Question(
        f"{sessions} sessions at once",
        (EACH_BEGINS, REFUSED.format("Too many concurrent sessions")),
        ask,
    )
