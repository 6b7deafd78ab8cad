"""What forks jobs: a process with a fork server, as LiveKit's worker is one."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from livekit.agents import Plugin

from .process import GONE, Child

PRELOADED = ["livekit.agents.ipc._preload", "livekit.agents.ipc._preload_freeze"]
"""By LiveKit's worker, after the package of each registered plugin."""

Main = Callable[[Connection, Any], None]
"""A job: takes what it is to do, and answers what it is asked by the pipe."""


@dataclass(frozen=True)
class _Start:
    task: object


class Worker(Child):
    """Forks jobs, `main` in a process each; use it in a `with` statement.

    The fork server has imported `package`, a plugin's, and with it what LiveKit's has.
    """

    def __init__(
        self, package: str, main: Main, *, cores: Collection[int], ca: bytes | None
    ) -> None:
        super().__init__(_work, package, main, cores=cores, ca=ca, daemon=False)

    def wait(self) -> None:
        """Until its fork server has imported everything."""
        self.answer()

    def start(self, task: object) -> None:
        """Fork another job, to do `task`."""
        self.tell(_Start(task))

    def begun(self) -> list[Any]:
        """What each job says first that was started since this was asked last."""
        answers: list[Any] = self.ask(None)
        return answers

    def ask_all(self, message: object) -> list[Any]:
        """Send each job `message`; gives their answers, in the order they started."""
        answers: list[Any] = self.ask(message)
        return answers


def _work(pipe: Connection, package: str, main: Main) -> None:
    importlib.import_module(package)
    packages = [plugin.package for plugin in Plugin.registered_plugins]
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*packages, *PRELOADED])
    nothing = context.Process(target=int)
    nothing.start()
    nothing.join()
    pipe.send(None)
    jobs: list[Connection] = []
    new: list[Connection] = []
    while True:
        try:
            asked = pipe.recv()
        except GONE:
            os._exit(0)  # the jobs see it, and end as well
        if isinstance(asked, _Start):
            ours, theirs = context.Pipe()
            context.Process(target=main, args=(theirs, asked.task)).start()
            theirs.close()
            new.append(ours)
            continue
        if asked is None:
            waited, new = new, []
            jobs += waited
        else:
            waited = jobs
            for each in waited:
                each.send(asked)
        pipe.send([each.recv() for each in waited])
