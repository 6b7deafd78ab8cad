"""What callers' callbacks raise, and what a stream waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .log import logger


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """What the caller's callbacks raise is logged, and no reason to end a stream."""
    try:
        yield
    except TypeError:  # all others the emitter logs itself
        logger.exception("a %s callback failed", name)


async def first_of(*futures: asyncio.Future[Any]) -> None:
    """Wait until one of them is done."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
