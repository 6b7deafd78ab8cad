"""What all processes of this user show in their windows."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import msgspec

from .. import timeouts
from ..sharing import check_private
from .snapshot import ProcessShown
from .window import SUFFIX, directory

ANSWER_SECONDS = 1.0
"""A process whose event loop is held for longer does not answer."""


async def look() -> list[ProcessShown]:
    """Ask each process, all at once; in the order of their ids.

    Sockets of processes that are gone are removed. Raises `OSError` if the directory is
    not this user's alone.
    """
    where = directory()
    try:
        check_private(where)
    except FileNotFoundError:
        return []
    names = [name for name in os.listdir(where) if name.endswith(SUFFIX)]
    paths = [os.path.join(where, name) for name in names]
    found = await asyncio.gather(*map(_ask, paths))
    return sorted(filter(None, found), key=lambda process: process.pid)


async def _ask(path: str) -> ProcessShown | None:
    try:
        async with timeouts.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                answer = await reader.read(-1)
            finally:
                writer.close()
        return msgspec.json.decode(answer, type=ProcessShown)
    except ConnectionRefusedError:  # nobody listens: it ended without a word
        with suppress(FileNotFoundError):
            os.unlink(path)
    except (FileNotFoundError, ConnectionResetError, msgspec.DecodeError):
        pass  # it ended just now
    except asyncio.TimeoutError:
        pid = os.path.basename(path).partition("-")[0]
        if pid.isdecimal():
            return ProcessShown(pid=int(pid), program="", streams=[], answers=False)
    return None
