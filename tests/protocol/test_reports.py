"""What a stream reports of its sessions: each is opened once, and over once."""

from __future__ import annotations

import pytest

from aai_stream.errors import BusyError, DroppedError, RefusedError, UnreachableError
from aai_stream.messages import AudioLost
from aai_stream.protocol.events import (
    CaughtUp,
    Level,
    Note,
    Opened,
    Outcome,
    Over,
    Report,
    Resumed,
    Retry,
)
from tests.audio import hum, speech
from tests.protocol.driver import RATE, Call
from tests.protocol.successors import ready, with_successor
from tests.talks import final


def kinds(reports: list[Report]) -> list[str]:
    return [type(report).__name__ for report in reports]


def overs(call: Call) -> list[tuple[str, str]]:
    return [
        (report.session, report.outcome.value)
        for report in call.reports
        if isinstance(report, Over)
    ]


def test_a_session_that_ends_as_asked() -> None:
    call = Call()
    peer = call.ask()
    call.now += 0.4
    peer.connect()
    call.now += 0.6
    peer.begin()
    call.push(RATE)
    call.now += 2
    call.end()
    peer.finish()
    opened, resumed, over = call.reports
    assert opened == Opened("session-1", "universal-3-6-pro", 2_000_000_000, 1.0)
    assert resumed == Resumed("session-1", sample=0, sent=0, after="")
    assert over == Over("session-1", Outcome.ENDED, None, 100.0, 101.0, 1.0)


def test_a_session_that_is_lost() -> None:
    """What it was sent and no final covers is sent again, and caught up with."""
    call = Call(catch_up_rate=2)
    first = call.open()
    for _ in range(100):
        call.push(RATE // 20)
        call.run(0.05)
    first.say(final(0, ("a", 100, 1000)))
    call.reports.clear()
    first.cut()
    (lost,) = call.reports
    assert isinstance(lost, Over)
    assert (lost.session, lost.outcome) == ("session-1", Outcome.LOST)
    assert isinstance(lost.failure, DroppedError)
    assert lost.failure.code == 1006
    assert lost.audio_seconds == 5.0
    (retry,) = call.all(Retry)
    assert (retry.session, retry.failure) == ("session-1", lost.failure)
    call.open(id="session-2")
    began = call.now
    call.run(10)
    opened, resumed, caught_up = call.reports[1:]
    assert isinstance(opened, Opened)
    assert resumed == Resumed("session-2", RATE, 5 * RATE, after="session-1")
    assert isinstance(caught_up, CaughtUp)
    assert caught_up.session == "session-2"
    assert 0 < caught_up.seconds <= 4.0 / 2
    assert call.now - began == 10


def test_nothing_is_caught_up_with_where_nothing_waits() -> None:
    call = Call()
    call.open()
    call.push(RATE)
    call.run(5)
    assert kinds(call.reports) == ["Opened", "Resumed"]


def test_audio_that_waited_for_the_first_session_is_caught_up_with() -> None:
    call = Call()
    call.push(3 * RATE)
    call.open()
    assert kinds(call.reports) == ["Opened", "Resumed", "CaughtUp"]


def test_a_socket_without_room_has_not_caught_up() -> None:
    call = Call()
    call.push(3 * RATE)
    peer = call.ask().connect()
    peer.has_room = False
    peer.begin()
    call.run(4)
    assert kinds(call.reports) == ["Opened", "Resumed"]
    peer.make_room()
    assert call.reports[2:] == [CaughtUp("session-1", 4.0)]


@pytest.mark.parametrize(
    "failure",
    [UnreachableError("no"), BusyError("full", code=429), RefusedError("no", code=401)],
)
def test_a_session_that_can_not_be_opened(failure: Exception) -> None:
    call = Call()
    peer = call.ask()
    call.now += 1.5
    peer.refuse(failure)
    (over,) = call.reports
    assert over == Over("", Outcome.NOT_OPENED, failure, 100.0, None, 0.0)
    assert [retry.session for retry in call.all(Retry)] in ([""], [])


def test_a_session_that_fails_before_its_begin() -> None:
    call = Call()
    call.ask().connect().close(3009, "Too many sessions")
    (over,) = call.reports
    assert isinstance(over, Over)
    assert (over.outcome, over.began_at) == (Outcome.NOT_OPENED, None)
    assert isinstance(over.failure, BusyError)


def test_a_session_whose_successor_takes_over() -> None:
    call, first, second = ready()
    assert kinds(call.reports) == ["Opened", "Resumed", "Opened"]
    first.say(final(0, ("a", 0, 300)))
    assert kinds(call.reports[3:])[:2] == ["Over", "Resumed"]
    assert overs(call) == [("session-1", "replaced")]
    call.end()
    second.finish()
    assert overs(call)[1:] == [("session-2", "ended")]


def test_a_session_is_lost_while_another_is_ready() -> None:
    """One line says both."""
    call, first, _ = ready()
    call.notes.clear()
    first.cut()
    assert overs(call) == [("session-1", "lost")]
    assert call.all(Retry) == []
    (note,) = call.notes
    assert (note.level, note.session) == (Level.INFO, "session-1")
    assert note.text.startswith("session session-1 was lost, session-2 takes over: ")
    assert isinstance(note.failure, DroppedError)
    assert note.seconds is not None


def test_a_lost_session_has_one_line() -> None:
    """The retry says it; what is opened then says nothing of it."""
    call = Call()
    call.open().cut()
    call.open(id="session-2")
    assert len(call.all(Retry)) == 1
    assert call.notes == []


def test_a_session_that_is_lost_on_standby() -> None:
    call, _, second = ready()
    second.cut()
    assert overs(call) == [("session-2", "lost")]
    assert isinstance(call.notes[-1], Note)
    assert call.notes[-1].text.startswith("session session-2, on standby, was lost: ")
    assert call.protocol.lineup.standby is None


@pytest.mark.parametrize("is_ready", [False, True])
def test_all_sessions_are_over_with_the_stream(is_ready: bool) -> None:
    call, *_ = ready() if is_ready else with_successor()
    call.close()
    names = ["session-1", "session-2" if is_ready else ""]
    assert overs(call) == [(name, "closed") for name in names]


def test_a_standby_is_not_wanted_at_the_end() -> None:
    call, first, _ = ready()
    call.end()
    first.say(final(0, ("a", 0, 300)))
    first.finish()
    assert overs(call) == [("session-2", "closed"), ("session-1", "ended")]


def test_a_stream_that_fails() -> None:
    call = Call(max_retries=0)
    call.push(RATE)
    call.open().close(1011)
    assert overs(call) == [("session-1", "lost")]
    assert len(call.all(AudioLost)) == 1


def test_a_stream_that_ends_early() -> None:
    """Its line names the session and what it was lost by."""
    call = Call()
    peer = call.open()
    call.write(hum(1, 5) + speech(2, 5000) + hum(2, 5))
    peer.say(final(0, ("a", 1000, 3000)))
    call.end()
    peer.close(1011)
    assert overs(call) == [("session-1", "lost")]
    note = call.notes[-1]
    assert note.session == "session-1"
    assert isinstance(note.failure, DroppedError)
