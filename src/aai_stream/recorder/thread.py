"""The thread in which recordings are written: one a process, for all its calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Thread:
    """Does one thing after the other, begun by the first. What it was given is done
    before the interpreter ends.

    Attributes:
        backlog: how many bytes wait to be written.
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._given = self._done = 0  # each counted by one thread alone

    @property
    def backlog(self) -> int:
        """How many bytes wait to be written."""
        return self._given - self._done

    def do(self, work: Callable[..., object], *args: object) -> Future[object]:
        """Call `work` there. Raises `RuntimeError` when the interpreter is ending."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "aai-stream recordings")
        return self._executor.submit(work, *args)

    def write(self, size: int, write: Callable[..., object], *args: object) -> None:
        """`do` something that writes so many bytes."""

        def work() -> None:
            try:
                write(*args)
            finally:
                self._done += size

        self.do(work)
        self._given += size


_thread = Thread()


def writing_thread() -> Thread:
    """This process's; in a fork its own."""
    return _thread


def _start_anew() -> None:
    global _thread
    _thread = Thread()


os.register_at_fork(after_in_child=_start_anew)
