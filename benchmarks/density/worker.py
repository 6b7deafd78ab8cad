"""What forks jobs: a process with a fork server, as LiveKit's worker is one."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from multiprocessing.connection import Connection
from typing import Any

from livekit.agents import Plugin

from aai_stream.load.process import GONE, Child

from . import job
from .job import First, Kind, Speak, Spoken, Task, Weigh, Weight

PRELOADED = ["livekit.agents.ipc._preload", "livekit.agents.ipc._preload_freeze"]
"""By LiveKit's worker, after the package of each registered plugin."""


class Worker(Child):
    """Of one kind of jobs, none at first; use it in a `with` statement."""

    def __init__(self, kind: Kind, *, core: int, ca: bytes) -> None:
        super().__init__(_work, kind, core=core, ca=ca, daemon=False)

    def wait(self) -> None:
        """Until its fork server has imported everything."""
        self.answer()

    def start(self, task: Task) -> None:
        """Fork another one."""
        self.tell(task)

    def firsts(self) -> list[First]:
        """How those have begun that were started and not asked before."""
        begun: list[First] = self.ask(None)
        return begun

    def speak(self, seconds: float) -> list[Spoken]:
        """Let all speak at once."""
        spoken: list[Spoken] = self.ask(Speak(seconds))
        return spoken

    def weigh(self) -> list[Weight]:
        """The memory of each."""
        weights: list[Weight] = self.ask(Weigh())
        return weights


def _work(pipe: Connection, kind: Kind) -> None:
    importlib.import_module(kind.package)
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
        if isinstance(asked, Task):
            ours, theirs = context.Pipe()
            context.Process(target=job.run, args=(theirs, asked)).start()
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
