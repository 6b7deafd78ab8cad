"""The session on standby: what becomes of it until it takes over, or is unwanted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aai_stream.errors import DroppedError, StateError
from aai_stream.messages import Begin, Heartbeat
from aai_stream.protocol.events import Level, Note, Retry
from aai_stream.protocol.stream import StreamState
from tests.protocol.driver import PER_MS, RATE, UNIX, Call, Peer, numbers
from tests.protocol.successors import LASTS, ready, with_successor
from tests.talks import final, turn

# ---- what becomes of it until then ----


def test_a_session_that_has_died_is_not_taken() -> None:
    call, first, second = ready()
    told = list(call.told)
    second.cut()
    assert call.protocol.lineup.standby is None
    assert call.told == told
    first.say(final(0, ("a", 0, 300)))
    assert call.protocol.session_id == "session-1"
    assert not first.is_closed
    call.run(1000)
    assert len(call.peers) == 2  # and expiry is a loss like any other
    first.close(3008)
    assert len(call.waits) == 1
    third = call.ask().connect()
    third.begin(id="session-3", expires_at=UNIX + round(call.now) + LASTS)
    assert call.protocol.session_id == "session-3"
    call.open(id="session-4")  # for which there is another plan
    assert call.protocol.lineup.standby is call.peer.session


@pytest.mark.parametrize(
    "failure", [DroppedError("overloaded", code=503), StateError("closed")]
)
def test_a_session_that_can_not_be_opened(failure: Exception) -> None:
    call, first, second = with_successor()
    second.refuse(failure)
    assert call.notes[-1] == Note(
        Level.INFO, f"no session is ready to take over: {failure}", failure=failure
    )
    assert call.protocol.lineup.standby is None
    assert call.protocol.state is StreamState.OPEN
    call.run(1000)
    assert len(call.peers) == 2
    assert not first.is_closed
    assert call.waits == []


def test_what_waits_hears_what_changes() -> None:
    """Before it is connected, in its handshake; later, as a message."""
    call, first, second = with_successor(prompt="a shop")
    call.update(prompt="a clinic")
    second.connect().begin()
    call.update(keyterms_prompt=["Zoe"])
    assert second.query["prompt"] == "a clinic"
    update = {"type": "UpdateConfiguration", "keyterms_prompt": ["Zoe"]}
    assert second.asked[-1] == update
    first.say(final(0, ("a", 0, 300)))
    assert call.protocol.session is second.session
    assert second.session.options is call.protocol.options
    assert {"type": "UpdateConfiguration", "prompt": "a clinic"} in first.asked


def test_and_what_changes_the_meaning_of_a_turn() -> None:
    """Without `format_turns` a first end is the last word on a turn."""
    model = "universal-streaming-english"
    call, first, second = ready(speech_model=model, format_turns=True)
    call.update(format_turns=False)
    first.say(turn(0, ("a", 0, 300), end_of_turn=True))
    assert call.protocol.session is second.session
    second.say(turn(0, ("b", 60, 160), end_of_turn=True))
    assert call.stats.turns == 2
    assert call.finals == ["a", "b"]
    assert second.session.turns.is_idle


def test_what_it_says_is_told_when_it_takes_over() -> None:
    call, first, second = ready()
    counts = {"total_audio_received_ms": 0, "total_duration_ms": 0}
    second.say({"type": "Heartbeat", "realtime_factor": 1.0, **counts})
    assert call.all(Heartbeat) == []
    first.say(final(0, ("a", 0, 300)))
    names = [type(event).__name__ for event in call.told]
    assert names == ["Begin", "Turn", "Turn", "Begin", "Heartbeat"]


def test_no_more_than_a_thousand_messages_of_it_are_kept() -> None:
    call, first, second = ready()
    counts = {"total_audio_received_ms": 0, "total_duration_ms": 0}
    for _ in range(1100):
        second.say({"type": "Heartbeat", "realtime_factor": 1.0, **counts})
    first.say(final(0, ("a", 0, 300)))
    assert 990 <= len(call.all(Heartbeat)) <= 1000


LETS_GO: dict[str, Callable[[Call, Peer, Peer], None]] = {
    "taken": lambda call, first, second: first.say(final(0, ("a", 0, 300))),
    "dead": lambda call, first, second: second.cut(),
    "not wanted": lambda call, first, second: call.close(),
}


@pytest.mark.parametrize("end", LETS_GO)
def test_what_waits_is_kept_alive(end: str) -> None:
    call, first, second = ready(inactivity_timeout=20)
    assert second.asked == ["KeepAlive"]
    for seconds in (9.9, 0.2, 9.9, 10.0):
        call.run(seconds)
    assert second.asked == ["KeepAlive"] * 4
    LETS_GO[end](call, first, second)
    asked = list(second.asked)
    call.run(100)
    assert second.asked == asked
    assert first.asked.count("KeepAlive") == 0


def test_where_nothing_would_end_it_it_is_left_alone() -> None:
    call, _, second = ready()
    call.run(1000)
    assert second.asked == []


# ---- not wanted any more ----

UNWANTED: dict[str, Callable[[Call], None]] = {
    "closed": Call.close,
    "failed": lambda call: call.do(lambda p: p.fail(DroppedError("gone"), call.now)),
}


@pytest.mark.parametrize("how", UNWANTED)
def test_not_wanted_before_it_is_time(how: str) -> None:
    call = Call()
    call.open(expires_at=UNIX + round(call.now) + LASTS)
    UNWANTED[how](call)
    call.run(1000)
    assert len(call.peers) == 1


@pytest.mark.parametrize("how", UNWANTED)
def test_not_wanted_while_it_is_opened(how: str) -> None:
    call, first, second = with_successor()
    UNWANTED[how](call)
    assert second.is_closed
    assert second.seen == []
    assert first.asked == ["Terminate"]


@pytest.mark.parametrize("how", UNWANTED)
def test_not_wanted_when_it_is_ready(how: str) -> None:
    call, _, second = ready()
    UNWANTED[how](call)
    assert second.asked == ["Terminate"]
    assert second.is_closed
    assert call.protocol.lineup.standby is None
    assert len(call.all(Begin)) == 1


@pytest.mark.parametrize("is_ready", [False, True])
def test_not_wanted_when_all_that_is_left_is_the_end(is_ready: bool) -> None:
    call, first, second = ready() if is_ready else with_successor()
    call.end()
    assert first.asked == ["Terminate"]
    assert second.is_closed
    assert second.asked == (["Terminate"] if is_ready else [])
    first.say(final(0, ("a", 0, 300)))
    assert call.protocol.session is first.session
    first.finish()
    assert call.protocol.state is StreamState.ENDED
    assert len(call.peers) == 2


def test_but_wanted_while_audio_still_waits() -> None:
    call, first, second = ready()
    first.has_room = False
    call.push(RATE)
    call.end()
    first.say(final(0, ("a", 0, 300)))
    assert call.protocol.session is second.session
    assert second.asked == ["Terminate"]
    assert len(second.audio) >= 2 * RATE - 300 * PER_MS


def test_a_session_that_is_lost_while_the_next_one_opens() -> None:
    """Then that one is what is waited for, and no other."""
    call, first, second = with_successor()
    first.cut()
    assert call.protocol.unheard_seconds == 1
    call.run(10)
    assert len(call.peers) == 2
    second.connect().begin(id="session-2")
    assert call.protocol.session_id == "session-2"
    assert second.audio == numbers(1, RATE)
    assert len(call.peers) == 2
    assert call.all(Retry)
