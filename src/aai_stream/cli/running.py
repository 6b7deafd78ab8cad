"""What every command needs: an event loop, Ctrl-C, and failures in one line."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import typer

from ..errors import AaiStreamError, AudioError, InputError, RefusedError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def run(command: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> None:
    """Run a command to its exit status; a failure is one line on stderr.

    The command is given an event. The first Ctrl-C sets it, which asks for an orderly
    end; the second stops at once.
    """

    async def with_signals() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def interrupted() -> None:
            stop.set()
            loop.remove_signal_handler(signal.SIGINT)

        loop.add_signal_handler(signal.SIGINT, interrupted)
        loop.add_signal_handler(signal.SIGTERM, interrupted)
        return await command(stop)

    try:
        status = asyncio.run(with_signals())
    except (AaiStreamError, OSError) as exc:
        print(f"aai-stream: {_in_one_line(exc)}", file=sys.stderr)
        status = _status(exc)
    except KeyboardInterrupt:
        status = INTERRUPTED
    raise typer.Exit(status)


def _in_one_line(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.filename and exc.strerror:
        return f"{exc.filename}: {exc.strerror}"
    return str(exc)


def _status(exc: Exception) -> int:
    if isinstance(exc, AudioError):
        return os.EX_DATAERR
    if isinstance(exc, InputError):
        return 2
    if isinstance(exc, RefusedError):
        return os.EX_NOPERM
    if isinstance(exc, OSError) and exc.filename:
        return os.EX_NOINPUT
    return os.EX_UNAVAILABLE
