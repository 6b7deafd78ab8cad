"""A stream's runner on an event loop: sessions that open and close, and whose it is."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from aai_stream.errors import DroppedError, OptionError, RefusedError, StateError
from aai_stream.messages import Begin
from aai_stream.protocol.stream import StreamState
from aai_stream.stream import Stream
from tests.runs import (
    CHUNK,
    RATE,
    UNIX,
    FakeWire,
    Run,
    in_virtual_time,
    nothing_is_left,
    numbers,
    turns_of_the_loop,
)
from tests.servers import BEGIN, within
from tests.talks import final, turn

# ---- opening ----


async def test_the_session_that_is_opened_is_the_protocol_s() -> None:
    run = Run()
    wire = await run.open()
    assert run.names == ["Begin"]
    assert run.connector.timeout == 7.0
    assert wire.query == {"sample_rate": "16000"}
    await run.runner.close()


async def test_opening_raises_what_the_stream_failed_with() -> None:
    run = Run()
    run.connector.failures = [RefusedError("HTTP 401", code=401)]
    run.runner.start()
    with pytest.raises(RefusedError):
        await within(5, run.runner.opened())
    await within(5, run.runner.over())
    assert run.told == [None]
    assert nothing_is_left()


@pytest.mark.parametrize(
    "failure", [OptionError("a bad token"), ZeroDivisionError("in a token source")]
)
async def test_what_a_token_source_raises_ends_the_stream(failure: Exception) -> None:
    """Also in a later session, where nobody waits for that."""
    run = Run()
    run.connector.failures = [failure]
    run.runner.start()
    with pytest.raises(type(failure)):
        await within(5, run.runner.opened())
    assert nothing_is_left()

    run = Run()
    wire = await run.open()
    run.connector.failures = [failure]
    wire.end(1006)
    await within(5, run.runner.over())
    assert run.protocol.failure is failure
    assert run.names == ["Begin", "Retry", "None"]


async def test_a_failure_that_passes_is_tried_again() -> None:
    run = Run()
    run.connector.failures = [DroppedError("HTTP 503", code=503)] * 3
    await run.open()
    assert run.connector.asked == 4
    assert run.names == ["Retry"] * 3 + ["Begin"]
    await run.runner.close()


def test_waiting_in_line_is_not_part_of_the_timeout() -> None:
    async def hold() -> None:
        run = Run()
        run.connector.admits.clear()
        run.runner.start()
        await asyncio.sleep(60)
        assert run.connector.asked == 0
        assert run.runner.stats.waited_seconds == pytest.approx(60)
        run.connector.admits.set()
        await run.runner.opened()
        assert run.connector.timeout == 7.0
        await asyncio.sleep(60)
        assert run.runner.stats.waited_seconds == pytest.approx(60)
        await run.runner.close()

    in_virtual_time(hold)


async def test_a_place_in_line_goes_by_what_is_at_stake() -> None:
    run = Run()
    wire = await run.open()
    run.push(2 * RATE)
    assert run.connector.urgency() == 0
    run.connector.admits.clear()
    wire.end(1011)
    await turns_of_the_loop()
    assert run.connector.urgency() == 2
    run.push(RATE // 2)
    assert run.connector.urgency() == 2.5
    await run.runner.close()


async def test_an_update_while_waiting_in_line_is_in_the_handshake() -> None:
    run = Run()
    run.connector.admits.clear()
    run.runner.start()
    await turns_of_the_loop()
    run.update(prompt="during")
    run.connector.admits.set()
    await within(5, run.runner.opened())
    assert run.wire.query["prompt"] == "during"
    assert run.wire.asked == []
    await run.runner.close()


async def test_what_comes_with_the_answer_to_the_upgrade_is_heard() -> None:
    """But not before audio can be sent."""
    run = Run()
    run.push(CHUNK)
    run.connector.says = [BEGIN, {"type": "Surprise"}]
    wire = await run.open()
    assert run.names == ["Begin", "Unknown"]
    assert wire.audio == numbers(1, CHUNK)
    await run.runner.close()


SAID_TOO_SOON = {"type": "Error", "error_code": 1008, "error": "Invalid API key"}


@pytest.mark.parametrize("code", [None, 1006])
async def test_a_wire_that_connects_when_its_session_is_over_is_closed(
    code: int | None,
) -> None:
    """The server refuses it in the same packet that ends the handshake."""
    run = Run()
    run.connector.says, run.connector.closes_with = [SAID_TOO_SOON], code
    run.runner.start()
    with pytest.raises(RefusedError):
        await within(5, run.runner.opened())
    await within(5, run.runner.over())
    assert run.wire.is_closed
    assert nothing_is_left()


@pytest.mark.parametrize(
    ("says", "code"),
    [([{**SAID_TOO_SOON, "error_code": 1011}], None), ([], 1011), ([BEGIN], 1011)],
)
async def test_likewise_where_another_is_opened_for_it(
    says: list[Any], code: int | None
) -> None:
    run = Run()
    run.connector.says, run.connector.closes_with = says, code
    run.runner.start()
    await asyncio.sleep(0)
    run.connector.says, run.connector.closes_with = [BEGIN], None
    await turns_of_the_loop()
    await within(5, run.runner.opened())
    assert len(run.connector.wires) == 2
    assert [wire.is_closed for wire in run.connector.wires] == [True, False]
    await run.runner.close()
    assert nothing_is_left()


# ---- the end ----


async def test_the_end_is_told_once_and_last() -> None:
    run = Run()
    wire = await run.open()
    run.push(900)
    run.runner.end()
    assert wire.asked == ["Terminate"]
    over = asyncio.ensure_future(run.runner.over())
    await turns_of_the_loop()
    assert not over.done()
    wire.say(final(0, ("a", 0, 50)), {"type": "Termination"})
    await within(5, over)
    await run.runner.close()
    run.runner.end()
    assert run.names == ["Begin", "Turn", "Termination", "None"]
    assert wire.is_closed
    assert run.protocol.state is StreamState.ENDED
    assert nothing_is_left()


@pytest.mark.parametrize("how", ["close", "over"])
async def test_the_end_waits_for_the_wires(how: str) -> None:
    """Also for one that was replaced before."""
    run = Run()
    first = await run.open()
    first.may_close.clear()
    first.say({"type": "Error", "error_code": 1011, "error": "sorry"})
    first._owner.closed(1011, "")  # the wire has yet to let go of its socket
    await within(5, run.runner.opened())
    second = run.wire
    assert second is not first
    second.may_close.clear()
    if how == "close":
        ending = asyncio.ensure_future(run.runner.close())
    else:
        run.runner.end()
        second.say({"type": "Termination"})
        ending = asyncio.ensure_future(run.runner.over())
    for wire in (first, second):
        await turns_of_the_loop()
        assert not ending.done()
        wire.may_close.set()
    await within(5, ending)
    assert run.protocol.is_over
    assert nothing_is_left()


async def test_closing_what_was_never_started() -> None:
    run = Run()
    await within(5, run.runner.close())
    await within(5, run.runner.close())
    assert run.told == [None]
    assert run.connector.asked == 0


async def test_closing_before_the_opener_s_first_step() -> None:
    run = Run()
    run.runner.start()
    await run.runner.close()  # in this very turn of the loop
    await turns_of_the_loop()
    assert run.connector.asked == 0
    assert run.told == [None]
    assert nothing_is_left()


@pytest.mark.parametrize("where", ["admits", "opens"])
async def test_closing_while_a_session_opens(where: str) -> None:
    run = Run()
    getattr(run.connector, where).clear()
    run.runner.start()
    opening = asyncio.ensure_future(run.runner.opened())
    await turns_of_the_loop()
    await within(5, run.runner.close())
    with pytest.raises(StateError, match="closed"):
        await within(5, opening)
    getattr(run.connector, where).set()
    await turns_of_the_loop()
    assert run.connector.wires == []
    assert run.told == [None]
    assert nothing_is_left()


@pytest.mark.parametrize("begins", [True, False])
async def test_a_session_that_began_as_it_was_closed_is_terminated(
    begins: bool,
) -> None:
    run = Run()
    run.connector.says = [BEGIN] if begins else []
    run.runner.start()
    await turns_of_the_loop()
    await within(5, run.runner.close())
    assert run.wire.asked == ["Terminate"]
    assert run.wire.is_closed


@pytest.mark.parametrize("is_opening", [False, True])
async def test_closing_while_it_reconnects_leaves_nothing(is_opening: bool) -> None:
    run = Run(wait=0.0 if is_opening else 3600.0)
    wire = await run.open()
    run.connector.opens.clear()
    wire.end(1006)
    await turns_of_the_loop()
    assert run.connector.asked == (2 if is_opening else 1)
    await within(5, run.runner.close())
    assert run.names == ["Begin", "Retry", "None"]
    assert nothing_is_left()


async def session_on_standby(run: Run) -> tuple[FakeWire, FakeWire]:
    """One that may not take over yet, and the one before it."""
    run.connector.says = [{**BEGIN, "expires_at": round(UNIX) + 600}]
    first = await run.open()
    first.say(turn(0, ("a", 0, 0)))
    await asyncio.sleep(539)
    assert run.connector.asked == 1
    await asyncio.sleep(2)
    assert run.connector.asked == 2
    assert run.protocol.lineup.standby is not None
    return first, run.wire


def test_a_successor_is_opened_by_the_time_of_day() -> None:
    async def hold() -> None:
        run = Run()
        await session_on_standby(run)
        await run.runner.close()

    in_virtual_time(hold)


def test_each_wire_is_closed_once() -> None:
    """Also where one breaks when it is told to terminate."""

    async def hold() -> None:
        run = Run()
        first, second = await session_on_standby(run)
        first.frames.open(lambda frame: first.end(1006))
        await run.runner.close()
        assert (first.closings, second.closings) == (1, 1)
        assert nothing_is_left()

    in_virtual_time(hold)


def test_a_successor_that_is_wanted_no_more_is_closed_at_once() -> None:
    """Each second that it stays open is paid for."""

    async def hold() -> None:
        run = Run()
        _, second = await session_on_standby(run)
        run.runner.end()
        assert second.asked == ["Terminate"]
        await turns_of_the_loop()
        assert second.is_closed
        await run.runner.close()

    in_virtual_time(hold)


# ---- whose stream it is ----


async def test_a_stream_that_is_abandoned_is_terminated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Owner:
        """Whom its user holds."""

    run = Run()
    wire = await run.open()
    owner = Owner()
    run.runner.close_without(owner)
    del owner
    await turns_of_the_loop()
    assert wire.asked == ["Terminate"]
    assert wire.is_closed
    text = "a stream was dropped and not closed; its session is ended"
    assert caplog.messages == [text]
    assert nothing_is_left()


@pytest.mark.parametrize("state", ["open", "lost", "opening"])
async def test_a_stream_that_nobody_holds_is_abandoned(state: str) -> None:
    run = Run(wait=0.0 if state == "opening" else 3600.0)
    stream = Stream(run.make)
    await stream.__aenter__()
    wire = run.wire
    if state != "open":
        run.connector.opens.clear()
        wire.end(1006)
        await turns_of_the_loop()
    del stream
    gc.collect()
    await turns_of_the_loop()
    assert nothing_is_left()
    assert wire.asked == (["Terminate"] if state == "open" else [])


async def test_iterating_just_waits_while_it_reconnects() -> None:
    run = Run()
    async with Stream(run.make) as stream:
        run.connector.opens.clear()
        run.wire.say(final(0, ("a", 0, 0)))
        run.wire.end(1006)
        told = [type(await anext(stream)).__name__ for _ in "12"]
        assert told == ["Begin", "Turn"]
        following = asyncio.ensure_future(anext(stream))
        await turns_of_the_loop()
        assert run.connector.asked == 2
        assert not following.done()
        run.connector.opens.set()
        assert isinstance(await within(5, following), Begin)
