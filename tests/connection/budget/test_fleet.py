"""The book of a fleet: a real Redis that is killed, and started again."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from pathlib import Path

import pytest

from aai_stream.connection.budget.book import Ask
from aai_stream.connection.budget.fleet import LEASE_SECONDS, STATED_SECONDS, FleetBook
from aai_stream.connection.budget.host import HostBook
from aai_stream.connection.budget.limits import WINDOW_SECONDS, Limits
from aai_stream.errors import OptionError
from tests.connection.budget.books import Fleet, ask
from tests.redises import RedisServer, needs_redis

pytestmark = needs_redis

MINUTE = Limits(60)


def test_the_server_s_own_clock_counts(server: RedisServer) -> None:
    """A host's clock that is wrong by a year has no say."""
    books = [
        FleetBook(server.url, "account", HostBook(None), clock=clock)
        for clock in (lambda: 0.0, lambda: 3e7)
    ]
    asks = [Ask(f"{number:02}", 0.0) for number in range(40)]
    assert books[0].turn(MINUTE, asks, 0, {}).admitted == 40
    assert books[1].turn(MINUTE, asks, 0, {}).admitted == 20


def test_a_url_with_an_option_that_is_none(server: RedisServer) -> None:
    book = FleetBook(f"{server.url}?secret=1", "account", HostBook(None))
    with pytest.raises(OptionError, match="budget has an option that is none") as told:
        book.turn(MINUTE, [], 0, {})
    assert told.value.__cause__ is None


def test_accounts_and_urls_tell_nothing(server: RedisServer) -> None:
    FleetBook(server.url, "a-secret", HostBook(None)).turn(
        MINUTE, [Ask("1", 0.0)], 0, {}
    )
    with server.client() as client:
        keys = client.keys()
        assert keys
        assert "a-secret" not in str(keys)
        assert all(0 < client.ttl(key) <= 3600 for key in keys)


def test_who_says_no_more_is_dead(fleet: Fleet) -> None:
    few = Limits(max_sessions=3)
    dies, lives = fleet.process("a"), fleet.process("b")
    assert ask(dies, few, 2) == 2
    assert ask(lives, few, 2) == 1
    for _ in range(round(LEASE_SECONDS / STATED_SECONDS) - 1):
        fleet.now += STATED_SECONDS
        assert lives.turn(few) == ([], 0.5)
    fleet.now += STATED_SECONDS
    assert len(lives.turn(few)[0]) == 1


def test_who_has_sessions_says_so_in_time(fleet: Fleet) -> None:
    few = Limits(max_sessions=2)
    holder = fleet.process("a")
    holder.asks["1"] = 0.0
    assert holder.turn(few) == (["1"], STATED_SECONDS)
    holder.held = 0
    assert holder.turn(few) == ([], STATED_SECONDS)  # what it began counts yet
    fleet.now += WINDOW_SECONDS
    assert holder.turn(few) == ([], math.inf)


def test_without_redis_each_host_has_its_share(
    fleet: Fleet, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(60, 12)
    a1, a2, b = fleet.process("a"), fleet.process("a"), fleet.process("b")
    for process in (a1, a2, b):
        assert ask(process, limits, 2) == 2
    for process in (a1, a2, b):
        process.turn(limits)
    server.kill()
    fleet.now += 60
    # Half of 12 for each host; what each has counts.
    for process in (a1, a2, b):
        process.turn(limits)
    assert ask(a1, limits, 1) == 1
    assert ask(a2, limits, 5) == 1
    assert ask(b, limits, 9) == 4
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    for record in caplog.records:
        assert record.getMessage() == (
            "the budget's Redis is lost (ConnectionError); this host goes on with 1/2"
            " of the account's sessions"
        )


def test_a_share_begins_where_the_account_was(
    fleet: Fleet, server: RedisServer
) -> None:
    """What a process began through Redis counts without it."""
    process = fleet.process("a")
    assert ask(process, MINUTE, 30) == 30
    fleet.now += 20
    assert ask(process, MINUTE, 31) == 30
    server.kill()
    assert process.turn(MINUTE) == ([], 0.5)
    fleet.now += WINDOW_SECONDS - 20
    assert len(process.turn(MINUTE)[0]) == 1
    assert ask(process, MINUTE, 40) == 29


def test_a_dead_process_s_sessions_count_until_a_minute_old(fleet: Fleet) -> None:
    dies, lives = fleet.process("a"), fleet.process("b")
    assert ask(dies, MINUTE, 60) == 60
    fleet.now += LEASE_SECONDS + 1
    assert ask(lives, MINUTE, 1) == 0
    assert lives.in_use(MINUTE) == 0  # it is dead, though
    fleet.now += WINDOW_SECONDS - LEASE_SECONDS - 1
    assert ask(lives, MINUTE, 60) == 60


def test_no_redis_from_the_beginning(
    fleet: Fleet, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    process, other = fleet.process("a"), fleet.process("a")
    assert ask(process, MINUTE, 40) == 40
    assert ask(other, MINUTE, 40) == 20
    assert caplog.text.count("1/1 of the account's sessions") == 2
    server.start()
    fleet.now += 5
    process.turn(MINUTE)
    assert caplog.text.count("the budget's Redis is back") == 1


def test_a_server_that_is_no_redis_is_as_good_as_none(
    tmp_path: Path, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with server.client() as client:
        client.config_set("requirepass", "right")
    url = server.url.replace("://", "://:wr0ng@")
    process = Fleet(url, tmp_path).process("a")
    assert ask(process, MINUTE, 1) == 1
    assert "Redis is lost (AuthenticationError)" in caplog.text
    assert "wr0ng" not in caplog.text


def _key(client: object, part: str) -> str:
    (key,) = client.keys(f"*:{part}")  # type: ignore[attr-defined]
    return str(key)


ENDS = """
import asyncio, sys
from aai_stream.connection.limiter import Limits, shared_limiter

async def main():
    limiter = shared_limiter("there", "account", Limits(max_sessions=3), sys.argv[1])
    await asyncio.gather(*(limiter.admit(lambda: 0.0) for _ in range(3)))
    print(limiter.waiting)

asyncio.run(main())
"""


def test_a_process_that_ends_gives_its_places_back_at_once(server: RedisServer) -> None:
    for _ in range(2):
        command = [sys.executable, "-c", ENDS, server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == ("0\n", "")
        with server.client() as client:
            assert client.get(_key(client, "total")) == "0"
