"""A Redis that is lost, or back with nothing: no account is exceeded for it."""

from __future__ import annotations

import pytest

from aai_stream.connection.budget.fleet import (
    AGAIN_SECONDS,
    LEASE_SECONDS,
    SETTLE_SECONDS,
    STATED_SECONDS,
)
from aai_stream.connection.budget.limits import WINDOW_SECONDS, Limits
from tests.connection.budget.books import Fleet, Process, ask
from tests.redises import RedisServer, needs_redis

pytestmark = needs_redis

LIMITS = Limits(20, 5)


def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


def settle(fleet: Fleet, *processes: Process) -> None:
    """Until a Redis that is back lets in again; all have asked by then."""
    for at in (AGAIN_SECONDS, SETTLE_SECONDS - AGAIN_SECONDS):
        fleet.now += at
        for process in processes:
            process.turn(LIMITS)


def test_whoever_asks_first_knows_what_all_of_the_host_began(
    fleet: Fleet, server: RedisServer
) -> None:
    """The others needn't have noticed that Redis is lost."""
    processes = [fleet.process("a") for _ in range(4)]
    for process in processes:
        assert ask(process, LIMITS, 5) == 5
        process.held = 0
        process.turn(LIMITS)
    server.kill()
    assert ask(processes[0], LIMITS, 5) == 0
    assert ask(fleet.process("a"), LIMITS, 5) == 0  # nor has it seen Redis
    fleet.now += WINDOW_SECONDS
    assert len(processes[0].turn(LIMITS)[0]) == 5


def test_whoever_asks_first_knows_what_all_of_the_host_have(
    fleet: Fleet, server: RedisServer
) -> None:
    holder, other = fleet.process("a"), fleet.process("a")
    assert ask(holder, LIMITS, 4) == 4
    server.kill()
    assert ask(other, LIMITS, 4) == 1
    assert holder.turn(LIMITS)[1] <= AGAIN_SECONDS
    holder.held = 0
    holder.turn(LIMITS)
    assert ask(other, LIMITS, 0) == 3


def test_all_of_a_host_have_the_same_share(fleet: Fleet, server: RedisServer) -> None:
    """Also who never saw Redis, or only before there were other hosts."""
    early, late = fleet.process("a"), fleet.process("a")
    assert ask(early, LIMITS, 0) == 0
    assert ask(fleet.process("b"), LIMITS, 1) == 1
    assert ask(late, LIMITS, 1) == 1
    server.kill()
    assert ask(fleet.process("a"), LIMITS, 5) == 1  # of 2
    assert ask(early, LIMITS, 5) == 0


def test_redis_that_is_back_lets_nobody_in_until_it_was_told_all(
    fleet: Fleet, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = fleet.process("a"), fleet.process("b")
    assert ask(a, LIMITS, 2) + ask(b, LIMITS, 1) == 3
    a.turn(LIMITS)
    server.kill()
    for process in (a, b):
        assert process.turn(LIMITS)[1] <= AGAIN_SECONDS
    server.start()  # and knows nothing
    a.turn(LIMITS)
    assert "is back" not in caplog.text  # it isn't tried yet
    fleet.now += AGAIN_SECONDS
    assert ask(a, LIMITS, 9) == 0
    assert caplog.text.count("the budget's Redis is back") == 1
    assert ask(fleet.process("c"), LIMITS, 1) == 0  # a new host: this one, too
    fleet.now += STATED_SECONDS
    assert ask(b, LIMITS, 0) == 0
    assert a.turn(LIMITS)[0] == []
    fleet.now += SETTLE_SECONDS - STATED_SECONDS
    assert len(a.turn(LIMITS)[0]) == 2
    assert ask(b, LIMITS, 3) == 0


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_minute_s_sessions_do_not_go_once_more(
    fleet: Fleet, server: RedisServer, is_noticed: bool
) -> None:
    limits = Limits(60)
    one, other = fleet.process("a"), fleet.process("b")
    assert ask(one, limits, 35) == 35
    assert ask(other, limits, 25) == 25
    server.kill()
    if is_noticed:
        one.turn(limits)
        other.turn(limits)
    server.start()
    fleet.now += AGAIN_SECONDS
    assert ask(one, limits, 40) == 0
    assert ask(other, limits, 0) == 0
    settle(fleet, one, other)
    assert len(one.asks) == 40
    fleet.now += WINDOW_SECONDS
    assert len(one.turn(limits)[0]) == 40


def test_a_new_process_of_a_host_that_has_sessions_waits_as_well(
    fleet: Fleet, server: RedisServer
) -> None:
    holder, new = fleet.process("a"), fleet.process("a")
    assert ask(holder, LIMITS, 5) == 5
    restart(server)
    assert ask(new, LIMITS, 5) == 0  # before the other has noticed anything
    holder.turn(LIMITS)
    settle(fleet, holder, new)
    assert len(new.asks) == 5


def test_nobody_waits_where_nothing_is_to_be_told(
    fleet: Fleet, server: RedisServer
) -> None:
    first, idle = fleet.process("a"), fleet.process("a")
    assert ask(first, LIMITS, 1) == 1  # an account's first
    assert ask(fleet.process("a"), LIMITS, 1) == 1  # a host's next
    assert ask(fleet.process("b"), LIMITS, 1) == 1  # a next host's
    fleet.now += WINDOW_SECONDS + LEASE_SECONDS
    first.held = 0
    first.turn(LIMITS)
    idle = fleet.process("c")
    assert ask(idle, LIMITS, 2) == 2
    idle.held = 0
    fleet.now += WINDOW_SECONDS
    idle.turn(LIMITS)
    restart(server)  # as after an hour, when its keys are gone
    assert ask(idle, LIMITS, 2) == 2
    idle.held = 0
    fleet.now += WINDOW_SECONDS
    server.kill()
    idle.turn(LIMITS)
    server.start()
    fleet.now += AGAIN_SECONDS
    assert ask(idle, LIMITS, 2) == 2  # Redis was lost, and nobody missed it


def test_a_host_that_was_cut_off_tells_all_before_it_goes_on(
    fleet: Fleet, server: RedisServer
) -> None:
    """Redis has forgotten nothing, and other hosts go on meanwhile."""
    one, other, far = fleet.process("a"), fleet.process("a"), fleet.process("b")
    for process in (one, other, far):
        assert ask(process, LIMITS, 1) == 1
    with server.client() as client:
        client.config_set("requirepass", "another")
        client.client_kill_filter(_type="normal", skipme=True)
        for process in (one, other):
            process.turn(LIMITS)
        assert ask(other, LIMITS, 1) == 1
        client.config_set("requirepass", "")
    fleet.now += AGAIN_SECONDS
    assert ask(one, LIMITS, 4) == 0
    assert ask(far, LIMITS, 1) == 1  # it doesn't wait for them
    other.turn(LIMITS)
    settle(fleet, one, other, far)
    assert len(one.asks) == 4
    other.held -= 1
    other.turn(LIMITS)
    assert len(one.turn(LIMITS)[0]) == 1
