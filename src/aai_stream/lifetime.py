"""A stream lives as long as somebody holds it, which its socket doesn't count for."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def weakly(method: Callable[[T, Any], None], owner: T) -> Callable[[Any], None]:
    """`method` of `owner`, for as long as that is there."""
    reference = weakref.ref(owner)

    def call(argument: Any) -> None:
        if (alive := reference()) is not None:
            method(alive, argument)

    return call


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that this is called on, if it is."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def when_dropped(
    owner: object, close: Callable[[], None]
) -> weakref.finalize[Any, Any]:
    """Run `close`, which must not hold `owner`, when that is gone.

    Call this on the event loop that `close` is for; any thread may collect `owner`.
    Nothing is done at the interpreter's exit, nor in a fork.
    """
    loop = asyncio.get_running_loop()
    finalizer = weakref.finalize(owner, _close_later, loop, os.getpid(), close)
    finalizer.atexit = False
    return finalizer


def _close_later(
    loop: asyncio.AbstractEventLoop, process: int, close: Callable[[], None]
) -> None:
    if os.getpid() == process and not loop.is_closed():
        loop.call_soon_threadsafe(close)
