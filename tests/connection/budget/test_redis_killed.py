"""Many processes whose Redis is killed and started again, in real time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.redises import RedisServer, needs_redis

pytestmark = needs_redis

PER_MINUTE, AT_ONCE, PROCESSES = 20, 5, 6

JOB = """
import asyncio, logging, os, sys
from aai_stream.connection import limiter
from aai_stream.connection.budget import fleet

fleet.AGAIN_SECONDS = fleet.STATED_SECONDS = 0.3
fleet.SETTLE_SECONDS = 3.0
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
logging.basicConfig(format="%(message)s", handlers=[logging.Handler()])
logging.root.handlers[0].emit = lambda record: say(record.getMessage())
limits = limiter.Limits(int(sys.argv[3]), int(sys.argv[4]))
line = limiter.shared_limiter("server", "account", limits, sys.argv[1])

def say(words):
    os.write(log, (words + "\\n").encode())

async def session():
    place = await line.admit(lambda: 0.0)
    say("open")
    await asyncio.sleep(0.05)
    say("close")
    place.release()

async def main():
    loop = asyncio.get_running_loop()
    while count := await loop.run_in_executor(None, sys.stdin.readline):
        sessions.extend(asyncio.ensure_future(session()) for _ in range(int(count)))

sessions = []
asyncio.run(main())
"""


class Account:
    """Processes of one host, and what they did, in its order."""

    def __init__(self, url: str, directory: Path) -> None:
        self._log = directory / "log"
        self._log.touch()
        limits = (str(PER_MINUTE), str(AT_ONCE))
        self.jobs = [
            subprocess.Popen(
                [sys.executable, "-c", JOB, url, str(self._log), *limits],
                stdin=subprocess.PIPE,
                text=True,
                env={**os.environ, "XDG_RUNTIME_DIR": str(directory)},
            )
            for _ in range(PROCESSES)
        ]

    def ask(self, count: int) -> None:
        """For so many more sessions in each process."""
        for job in self.jobs:
            assert job.stdin is not None
            job.stdin.write(f"{count}\n")
            job.stdin.flush()

    def count(self, words: str) -> int:
        """How often a process said that."""
        return self._log.read_text().count(words)

    def most_at_once(self) -> int:
        """How many sessions were open together."""
        most = now = 0
        for line in self._log.read_text().splitlines():
            now += {"open": 1, "close": -1}.get(line, 0)
            most = max(most, now)
        return most

    def end(self) -> None:
        for job in self.jobs:
            job.kill()
            job.communicate()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other processes do."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it doesn't happen")


def in_line(server: RedisServer) -> int:
    """How many wait there: those who asked a Redis that has settled."""
    with server.client() as client:
        return sum(int(str(client.zcard(key))) for key in client.keys("*:waiting"))


def test_no_process_goes_once_more(server: RedisServer, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    with ExitStack() as stack:
        account = Account(server.url, directory)
        stack.callback(account.end)
        account.ask(1)
        until(lambda: account.count("close") == PROCESSES)
        server.kill()
        account.ask(1)  # before the others have noticed
        until(lambda: account.count("close") == 2 * PROCESSES)
        until(lambda: account.count("is lost") == PROCESSES)
        server.start()  # and knows nothing
        until(lambda: account.count("is back") >= 1)
        account.ask(4)
        waiting = 6 * PROCESSES - PER_MINUTE
        until(lambda: in_line(server) == waiting)
        until(lambda: account.count("open") == PER_MINUTE)
        server.kill()  # when all places are used
        until(lambda: account.count("is lost") == 2 * PROCESSES)
        server.start()
        until(lambda: in_line(server) == waiting)
        assert account.count("open") == account.count("close") == PER_MINUTE
        assert account.most_at_once() <= AT_ONCE
