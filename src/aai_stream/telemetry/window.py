"""Where `aai-stream top` looks in: a socket that this user alone may open.

Whoever connects is sent a snapshot, as JSON, and nothing else; until then nothing is
done.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress

from ..connection.wire.inherited import keep_from_forks
from ..sharing import check_private

logger = logging.getLogger("aai_stream")

SUFFIX = ".sock"

_numbers = itertools.count()


MEMORY = "/dev/shm"
"""A file system in memory: on a disk a socket may take as long as that is busy."""


def directory() -> str:
    """Where this user's processes have their sockets: in `XDG_RUNTIME_DIR`, or else in
    memory, or else where temporary files are."""
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(base, "aai-stream")
    base = MEMORY if os.path.isdir(MEMORY) else tempfile.gettempdir()
    return os.path.join(base, f"aai-stream-{os.geteuid()}")


class Window:
    """Listens on a socket of its own, on the running loop; a connection is sent what
    `snapshot` gives. Raises `OSError` if no socket can be had there."""

    def __init__(self, snapshot: Callable[[], bytes]) -> None:
        self._snapshot = snapshot
        self._loop = asyncio.get_running_loop()
        self._answers: set[asyncio.Task[None]] = set()
        where = directory()
        with suppress(FileExistsError):
            os.mkdir(where, 0o700)
        check_private(where)
        name = f"{os.getpid()}-{next(_numbers)}{SUFFIX}"
        self._path: str | None = os.path.join(where, name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.setblocking(False)
            with suppress(FileNotFoundError):
                os.unlink(self._path)  # of a process before us with this number
            self._socket.bind(self._path)
            self._socket.listen()
            self._loop.add_reader(self._socket.fileno(), self._asked)
        except BaseException:
            self._socket.close()
            raise
        keep_from_forks(self)
        # A loop that is closed while there are streams takes the window with it.
        self._finalizer = weakref.finalize(
            self, _take_away, self._socket, self._path, os.getpid()
        )

    def close(self) -> None:
        """Listen no longer."""
        if self._path is None:  # it is the parent's
            return
        self._loop.remove_reader(self._socket.fileno())
        self._finalizer()

    def fileno(self) -> int:
        """The socket's descriptor, -1 if it is closed."""
        return self._socket.fileno()

    def disown(self) -> None:
        """This is a fork: the socket is its parent's."""
        self._path = None

    def _asked(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:  # gone again; or this is a fork
            return
        answer = self._loop.create_task(self._answer(connection))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    async def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # who asked may be gone
            connection.setblocking(False)
            await self._loop.sock_sendall(connection, self._snapshot())


def _take_away(listening: socket.socket, path: str, process: int) -> None:
    listening.close()
    if os.getpid() == process:  # or else it is the parent's
        with suppress(FileNotFoundError):
            os.unlink(path)


def open_window(snapshot: Callable[[], bytes]) -> Window | None:
    """A window, if one can be had. If not, the log says so once: streams do without."""
    global _is_told
    try:
        return Window(snapshot)
    except (OSError, NotImplementedError) as exc:  # the latter by loops without sockets
        if not _is_told:
            _is_told = True
            logger.info("aai-stream top can't show this process: %s", exc)
        return None


_is_told = False
