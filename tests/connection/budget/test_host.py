"""The book of a host: real processes, and files that are lost."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aai_stream.connection.budget import host
from aai_stream.connection.budget.book import Ask
from aai_stream.connection.budget.host import HostBook, host_book
from aai_stream.connection.budget.limits import WINDOW_SECONDS, Limits

FEW = Limits(max_sessions=3)
MINUTE = Limits(3)
TWO = [Ask("1", 0.0), Ask("2", 0.0)]

HOLDER = """
import sys
from pathlib import Path
from aai_stream.connection.budget.host import Ask, HostBook, Limits
book = HostBook(Path(sys.argv[1]))
asks = [Ask("1", 0.0), Ask("2", 0.0)]
print(book.turn(Limits(*map(float, sys.argv[2:])), asks, 0, {}).admitted, flush=True)
sys.stdin.read()
"""


def arguments(path: Path, limits: Limits) -> list[str]:
    return [str(path), str(limits.per_minute), str(limits.max_sessions)]


@contextmanager
def holder(
    path: Path, limits: Limits = FEW
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that asks for two, and how many it has."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments(path, limits)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


def test_a_killed_process_gives_its_places_back(tmp_path: Path) -> None:
    path = tmp_path / "book"
    book = HostBook(path)
    with holder(path) as (process, count):
        assert count == 2
        assert book.turn(FEW, TWO, 0, {}).admitted == 1
        assert book.turn(FEW, TWO[:1], 1, {}).admitted == 0
        process.kill()
        process.wait()
        assert book.turn(FEW, TWO, 1, {}).admitted == 2


def test_a_killed_process_s_sessions_count_until_a_minute_old(tmp_path: Path) -> None:
    path = tmp_path / "book"
    now = time.monotonic()
    book = HostBook(path, lambda: now)
    with holder(path, MINUTE) as (process, count):
        assert count == 2
        process.kill()
        process.wait()
    with holder(path, MINUTE) as (process, count):  # which may have its number
        assert count == 1
        assert book.turn(MINUTE, TWO, 0, {}).admitted == 0
        process.kill()
        process.wait()
        now += WINDOW_SECONDS - 1
        assert book.turn(MINUTE, TWO, 0, {}).admitted == 0
        now += 61
        assert book.turn(MINUTE, TWO, 0, {}).admitted == 2


def test_a_killed_process_waits_no_more(tmp_path: Path) -> None:
    path = tmp_path / "book"
    book = HostBook(path)
    assert book.turn(FEW, [*TWO, Ask("3", 0.0)], 0, {}).admitted == 3
    with holder(path) as (process, count):
        assert count == 0
        later = [Ask("9", 0.0)]
        assert book.turn(FEW, later, 2, {}).admitted == 0  # the other was first
        process.kill()
        process.wait()
        assert book.turn(FEW, later, 2, {}).admitted == 1


def test_many_processes_begin_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "book"
    command = [sys.executable, "-c", HOLDER, *arguments(path, Limits(max_sessions=9))]
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    counts = [int(process.stdout.readline()) for process in processes if process.stdout]
    assert sum(counts) == 9
    for process in processes:
        process.communicate()
    assert HostBook(path).turn(FEW, TWO, 0, {}).admitted == 2


def test_two_views_in_one_process_are_two_members(tmp_path: Path) -> None:
    path = tmp_path / "book"
    one, other = HostBook(path), HostBook(path)
    assert one.turn(FEW, TWO, 0, {}).admitted == 2
    assert other.turn(FEW, TWO, 0, {}).admitted == 1
    assert one.turn(FEW, TWO, 2, {}).admitted == 0


FORKS = """
import asyncio, os
from aai_stream.connection.limiter import Limits, shared_limiter

async def admitted(count):
    limiter = shared_limiter("there", "account", Limits(max_sessions=3), None)
    places = [asyncio.ensure_future(limiter.admit(lambda: 0.0)) for _ in range(2)]
    while sum(place.done() for place in places) < count:
        await asyncio.sleep(0.01)
    return sum(place.done() for place in places)

loop = asyncio.new_event_loop()
loop.run_until_complete(admitted(2))
if os.fork():
    os.wait()
else:
    print(asyncio.new_event_loop().run_until_complete(admitted(1)), flush=True)
    os._exit(0)
"""


def test_a_fork_is_another_process() -> None:
    command = [sys.executable, "-c", FORKS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "1\n", done.stderr


def test_a_file_that_is_cleared_out_is_begun_anew_by_all(tmp_path: Path) -> None:
    path = tmp_path / "book"
    one, other = HostBook(path), HostBook(path)
    assert one.turn(FEW, TWO, 0, {}).admitted == 2
    assert other.turn(FEW, [], 0, {}).admitted == 0
    for file in tmp_path.iterdir():
        file.unlink()
    name = one.name
    assert other.turn(FEW, TWO, 0, {}).admitted == 2
    one.turn(FEW, [], 2, {})  # states what it has
    assert other.turn(FEW, TWO, 1, {}).admitted == 0
    assert one.name == other.name
    assert name == one.name


def test_a_file_that_was_cleared_out_learns_what_began(tmp_path: Path) -> None:
    path = tmp_path / "book"
    now = 100.0
    one, other = HostBook(path, lambda: now), HostBook(path, lambda: now)
    assert one.turn(MINUTE, TWO, 0, {}).admitted == 2
    for file in tmp_path.iterdir():
        file.unlink()
    now += 20
    one.turn(MINUTE, [], 2, {"1": 20.0, "2": 20.0})
    asks = [*TWO, Ask("3", 0.0)]
    assert other.turn(MINUTE, asks, 0, {}).admitted == 1
    now += WINDOW_SECONDS - 20
    assert other.turn(MINUTE, asks[1:], 1, {"1": 41.0}).admitted == 2


@pytest.mark.parametrize("kind", ["no database", "gone", "directory"])
def test_without_a_file_each_counts_alone_and_says_so_once(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "there" / "book"
    if kind != "gone":
        path.parent.mkdir()
    if kind == "no database":
        path.write_text("This is no database. " * 100)
    if kind == "directory":
        path.mkdir()
    book = HostBook(path)
    assert book.turn(FEW, TWO, 0, {}).admitted == 2
    assert book.turn(FEW, TWO, 2, {}).admitted == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "this process counts its sessions alone" in caplog.text


def test_a_file_that_fails_midway_loses_no_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "book"
    book = HostBook(path)
    assert book.turn(FEW, TWO, 0, {}).admitted == 2
    for file in tmp_path.iterdir():
        file.unlink()
    path.mkdir()
    assert book.turn(FEW, TWO, 2, {}).admitted == 1
    assert caplog.text.count("this process counts its sessions alone") == 1


def test_without_a_directory_each_counts_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> Path:
        raise PermissionError("/there can be changed by other users")

    monkeypatch.setattr(host, "shared_directory", refuse)
    book = host_book("server", "secret-account")
    assert book.turn(FEW, TWO, 0, {}).admitted == 2
    assert "counts its sessions alone" in caplog.text
    assert "secret" not in caplog.text
