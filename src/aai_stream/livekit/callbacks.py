"""What a stream leaves behind in others' hands, and what it waits for."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .log import logger

if TYPE_CHECKING:
    from ..feed import Feed

T = TypeVar("T")


def weakly(method: Callable[[T, Any], None], owner: T) -> Callable[[Any], None]:
    """`method` of `owner`, for as long as that is there."""
    reference = weakref.ref(owner)

    def call(argument: Any) -> None:
        if (alive := reference()) is not None:
            method(alive, argument)

    return call


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """What the caller's callbacks raise is logged, and no reason to end a stream."""
    try:
        yield
    except TypeError:  # all others the emitter logs itself
        logger.exception("a %s callback failed", name)


def close_later(loop: asyncio.AbstractEventLoop, feed: Feed) -> None:
    """Close the session of a stream that is gone; any thread may have collected it."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: loop.create_task(feed.close()))


async def first_of(*futures: asyncio.Future[Any]) -> None:
    """Wait until one of them is done."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
