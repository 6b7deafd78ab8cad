"""More sessions at once than there may be; asked only for a number of them."""

from __future__ import annotations

from contextlib import AsyncExitStack

from ..conversing import Server
from .access import REFUSED, ending
from .questions import Question

EACH_BEGINS = "each begins"


def crowd(sessions: int) -> Question:
    """Open sessions until one is refused, or `sessions` are open."""

    async def ask(server: Server, speech: bytes) -> str:
        async with AsyncExitStack() as stack:
            for _ in range(sessions):
                exchange = await stack.enter_async_context(server.session())
                if exchange.begin is None:
                    await exchange.rest()
                    return ending(exchange)
        return EACH_BEGINS

    return Question(
        f"{sessions} sessions at once",
        (EACH_BEGINS, REFUSED.format("Too many concurrent sessions")),
        ask,
    )
