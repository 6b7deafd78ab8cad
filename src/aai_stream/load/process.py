"""Processes of our own, each kept on cores of its own, that are asked and answer."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from multiprocessing.connection import Connection
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import StateError

if TYPE_CHECKING:
    from typing_extensions import Self

TRUST_VARIABLE = "SSL_CERT_FILE"
"""Where OpenSSL looks for the certificates that a process trusts."""

GONE = (EOFError, ConnectionResetError)
"""What reading from a pipe raises once nobody is at its other end."""


def two_sides() -> tuple[int, list[int]]:
    """A core for the server, and the others, for streams.

    Raises `StateError` if this process may use only one, or can't choose.
    """
    if sys.platform != "linux":
        raise StateError("processes can't be kept on a core on this system")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise StateError("two cores are needed: one for the server, one for streams")
    return cores[0], cores[1:]


class Child:
    """`main(pipe, *args)` in a new process, on `cores`; use it in a `with` statement.

    `main` reads what is asked from the pipe and sends answers; at its end it need not
    tidy up, for the process ends there and then. `ca` is who it trusts, as PEM, instead
    of those that the machine trusts. Only one that is no `daemon` may have processes of
    its own.
    """

    def __init__(
        self,
        main: Callable[..., None],
        *args: Any,
        cores: Collection[int],
        ca: bytes | None = None,
        daemon: bool = True,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, self._theirs = context.Pipe()
        self._ca = ca
        self._files = contextlib.ExitStack()
        self._process = context.Process(
            target=_run, args=(cores, main, self._theirs, *args), daemon=daemon
        )

    def __enter__(self) -> Self:
        # It may be read at any time: some clients do so for every connection.
        file = self._files.enter_context(tempfile.NamedTemporaryFile(suffix=".pem"))
        file.write(self._ca or b"")
        file.flush()
        with _variable(TRUST_VARIABLE, None if self._ca is None else file.name):
            self._process.start()
        self._theirs.close()  # so that its death ends our reading
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pipe.close()  # which ends it
        self._process.join()
        self._files.close()

    def tell(self, message: object) -> None:
        """Send it `message`."""
        self._pipe.send(message)

    def answer(self) -> Any:
        """What it answers. Raises `StateError` if it has ended instead."""
        try:
            answer = self._pipe.recv()
        except GONE:
            raise StateError("a process of the measurement has failed") from None
        return answer

    def ask(self, message: object) -> Any:
        """Send it `message`; gives its answer, or raises `StateError`."""
        self.tell(message)
        return self.answer()


@contextlib.contextmanager
def _variable(name: str, value: str | None) -> Iterator[None]:
    """What is started meanwhile has it in its environment, unless it is None."""
    if value is None:
        yield
        return
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _run(
    cores: Collection[int], main: Callable[..., None], pipe: Connection, *args: Any
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to deal with
    os.sched_setaffinity(0, cores)
    main(pipe, *args)
    sys.stdout.flush()
    os._exit(0)
