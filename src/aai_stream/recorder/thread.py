"""The thread in which recordings are written: one a process, for all its calls."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import NamedTuple

from .._core import Backlog
from .writing import CallWriter

WRITE_SECONDS = 1.0
"""How often what calls have is written, and so what a crash may lose."""

MOST_BYTES = 64 * 10**6
"""That wait to be written, of all calls of a process."""


class _Life(NamedTuple):
    """Of a call."""

    owner: threading.Thread
    done: Future[None]


class WritingThread:
    """Writes calls every second, as long as there are any; event loops need not hand
    it anything.

    It is no daemon, so the interpreter ends when all is written. A call whose own
    thread has ended, and be it by the interpreter's end, ends with it.

    Attributes:
        backlog: of all calls.
    """

    def __init__(self) -> None:
        self.backlog = Backlog(MOST_BYTES)
        self._lives: dict[CallWriter, _Life] = {}  # without any there is no thread
        self._lock = threading.Lock()  # of `_lives`
        self._asked: SimpleQueue[CallWriter] = SimpleQueue()

    def add(self, call: CallWriter) -> None:
        """Write this call, which begins in the present thread. Raises `RuntimeError`
        when the interpreter is ending."""
        owner = threading.current_thread()
        if owner.daemon:  # which nobody waits for
            owner = threading.main_thread()
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # who waits for it can't cancel it
        with self._lock:
            if not self._lives:
                name = "aai-stream recordings"
                threading.Thread(target=self._run, name=name, daemon=False).start()
            self._lives[call] = _Life(owner, done)
        self.write_soon(call)

    def write_soon(self, call: CallWriter) -> None:
        """Write what this call has now. If it isn't written, never or no more, forget
        that."""
        if call in self._lives:
            self._asked.put(call)
        else:
            call.tap.take()

    def done(self, call: CallWriter) -> Future[None] | None:
        """Comes when nothing more of this call will be written; None if that is so."""
        life = self._lives.get(call)
        return life and life.done

    def leave_to_parent(self) -> None:
        """This is a copy in a fork, without its thread."""
        for call in self._lives:
            call.abandon()

    def _run(self) -> None:
        due = time.monotonic() + WRITE_SECONDS
        while True:
            try:
                wait = max(0.0, due - time.monotonic())
                calls = [self._asked.get(timeout=wait)]
            except Empty:
                with self._lock:
                    calls = list(self._lives)
                due = time.monotonic() + WRITE_SECONDS
            for call in calls:
                if not self._is_any_left_after(call):
                    return

    def _is_any_left_after(self, call: CallWriter) -> bool:
        """Write what this one has; it may be its last."""
        life = self._lives.get(call)
        if life is None:  # it was over when it was asked for
            return True
        if not life.owner.is_alive():
            call.tap.close()
        call.write()
        if not call.is_over:
            return True
        with self._lock:
            del self._lives[call]
            is_any_left = bool(self._lives)
        life.done.set_result(None)
        return is_any_left


_thread = WritingThread()


def writing_thread() -> WritingThread:
    """This process's; in a fork its own."""
    return _thread


def _start_anew() -> None:
    global _thread
    parents, _thread = _thread, WritingThread()
    parents.leave_to_parent()


os.register_at_fork(after_in_child=_start_anew)
