"""What every command needs: an event loop, Ctrl-C, and failures in one line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from ..errors import (
    AaiStreamError,
    AudioError,
    InputError,
    RefusedError,
    RejectedError,
)

T = TypeVar("T")


class Stop(asyncio.Event):
    """Set by the first Ctrl-C or SIGTERM, which asks for an orderly end.

    The second one is the system's own: it ends the process.
    """

    status = 0
    """The exit status that shells give a command after that signal."""

    def listen(self) -> None:
        """Take the signals from here on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._received, number)

    def _received(self, number: int) -> None:
        self.status = 128 + number
        self.set()
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(each)

    async def or_done(self, work: Awaitable[T]) -> T | None:
        """What `work` gives; None if stopped before, and then it is cancelled."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return None
        finally:
            stopped.cancel()
            task.cancel()
            await asyncio.wait([task])


def run(command: Callable[[Stop], Coroutine[Any, Any, int | None]]) -> int:
    """Run a command; gives its exit status: what the command returns, 0 if that is
    None, unless it was stopped or fails. A failure is one line on stderr."""
    stop: Stop | None = None

    async def with_signals() -> int:
        nonlocal stop
        stop = Stop()
        stop.listen()
        return await command(stop) or 0

    try:
        status = asyncio.run(with_signals())
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (AaiStreamError, OSError) as exc:
        complain(_in_one_line(exc))
        return stop.status if stop and stop.status else _status(exc)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return stop.status if stop and stop.status else status


def complain(what: str) -> None:
    """Say it on stderr, in a line, whatever a server has put into it."""
    shown = "".join(c if c.isprintable() else " " for c in what)
    print(f"aai-stream: {shown}", file=sys.stderr)


@contextlib.contextmanager
def log_shown() -> Iterator[None]:
    """Say on stderr what our own log warns of, a line each."""
    logger, handler = logging.getLogger("aai_stream"), _Complaints(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Complaints(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Complain of it; without a traceback, which would not be one line."""
        complain(record.getMessage())


def _in_one_line(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.filename and exc.strerror:
        return f"{exc.filename}: {exc.strerror}"
    return str(exc)


def _status(exc: Exception) -> int:
    if isinstance(exc, AudioError):
        return os.EX_DATAERR
    if isinstance(exc, InputError):
        return 2
    if isinstance(exc, (RefusedError, RejectedError)):
        return os.EX_NOPERM
    if isinstance(exc, OSError) and exc.filename:
        return os.EX_NOINPUT
    return os.EX_UNAVAILABLE
