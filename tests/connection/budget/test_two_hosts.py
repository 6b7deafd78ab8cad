"""Two hosts with networks of their own, and one Redis."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.hosts import Host, hosts, skip_without_hosts
from tests.redises import needs_redis, redis_server

pytestmark = needs_redis

HERE = "10.231.0.1"

JOB = """
import logging, sys
from aai_stream.connection.budget import fleet
from aai_stream.connection.budget.fleet import Ask, FleetBook, Limits
from aai_stream.connection.budget.host import host_book

logging.basicConfig(stream=sys.stdout, format="%(message)s")
fleet.ANSWER_SECONDS = fleet.AGAIN_SECONDS = 0.3
book = FleetBook(sys.argv[1], "account", host_book("server", "account"))
held = 0
for line in sys.stdin:
    asks = [Ask(f"{number}", 0.0) for number in range(int(line))]
    held += book.turn(Limits(max_sessions=8), asks, held, {}).admitted
    print(held, flush=True)
"""


class Job:
    """A process there, which has so many sessions."""

    def __init__(self, host: Host, url: str, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        self._process = subprocess.Popen(
            host.command(sys.executable, "-c", JOB, url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "XDG_RUNTIME_DIR": str(directory)},
        )
        self.log: list[str] = []

    def ask(self, count: int) -> int:
        """How many it has when it has asked for so many more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        while not (line := self._process.stdout.readline().strip()).isdecimal():
            assert line
            self.log.append(line)
        return int(line)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Callable[[int], tuple[Host, Job]]]:
    """A job on the first or the second host."""
    skip_without_hosts()
    with ExitStack() as stack:
        both = stack.enter_context(hosts(2, HERE))
        server = stack.enter_context(redis_server(tmp_path, HERE))

        def job(number: int) -> tuple[Host, Job]:
            host = both[number]
            made = Job(host, server.url, tmp_path / f"run{number}")
            stack.callback(made.end)
            return host, made

        yield job


def test_a_host_that_is_cut_off_goes_on_with_its_share(
    jobs: Callable[[int], tuple[Host, Job]],
) -> None:
    (_, one), (host, other) = jobs(0), jobs(1)
    assert one.ask(2) == 2
    assert other.ask(3) == 3
    assert one.ask(0) == 2
    host.cut()
    assert other.ask(5) == 4  # half of 8
    assert other.ask(5) == 4
    assert [line.rpartition(";")[2] for line in other.log] == [
        " this host goes on with 1/2 of the account's sessions"
    ]
    assert one.ask(0) == 2  # and notices nothing
    host.connect()
    while len(other.log) == 1:
        other.ask(0)
    assert other.log[1:] == ["the budget's Redis is back"]
    assert one.ask(9) == 4
    assert other.ask(9) == 4
    assert one.log == []
