"""What a session waits for, and for how long: signs of its server, ends of turns."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aai_stream.errors import DroppedError
from aai_stream.options import Options
from aai_stream.protocol.events import LostTurn
from aai_stream.protocol.session import Session, State
from aai_stream.protocol.turns import MISSING_SECONDS
from tests.protocol.sessions import NOW, Life, messages_of, names_of
from tests.servers import BEGIN
from tests.talks import final, turn

KEEP_ALIVE = {"type": "KeepAlive"}
HEARTBEAT = {
    "type": "Heartbeat",
    "total_audio_received_ms": 0,
    "total_duration_ms": 0,
    "realtime_factor": 1.0,
}


# ---- a server that promised Heartbeats ----


def test_a_server_that_says_nothing_is_lost() -> None:
    life = Life.begun()
    life.session.watch(10)
    life.run(9.9)
    assert not life.is_over
    life.run(0.2)
    assert life.is_over
    assert isinstance(life.session.failure, DroppedError)
    assert str(life.session.failure) == "the server said nothing for 10 s"
    assert life.sent == [{"type": "Terminate"}]


def test_unless_watched_it_may_be_silent() -> None:
    life = Life.begun()
    assert life.session.deadline == math.inf
    assert life.run(100_000) == []
    assert life.session.state is State.OPEN


@pytest.mark.parametrize("message", [HEARTBEAT, {"type": "New"}, "garbage"])
@pytest.mark.parametrize("after", [4.0, 6.0, 9.9])
def test_any_message_begins_it_anew(message: Any, after: float) -> None:
    life = Life.begun()
    life.session.watch(10)
    for _ in range(5):
        life.run(after)
        life.say(message)
    life.run(9.9)
    assert not life.is_over
    life.run(0.2)
    assert isinstance(life.session.failure, DroppedError)


def test_a_loop_that_was_blocked_looks_twice() -> None:
    """What came meanwhile has not been read when it looks first."""
    life = Life.begun()
    life.session.watch(10)
    life.jump(60)
    life.run(4.9)
    assert not life.is_over
    life.say(HEARTBEAT)
    life.run(9.9)
    assert not life.is_over
    life.run(0.2)
    assert life.is_over


def test_audio_is_no_sign_of_the_server() -> None:
    life = Life.begun()
    life.session.watch(10)
    for _ in range(11):
        life.hear(50)
        life.run(1)
    assert life.is_over


def test_one_that_is_ending_is_watched_too() -> None:
    life = Life.begun()
    life.session.watch(10)
    life.session.terminate(life.now, 100)
    life.run(11)
    assert isinstance(life.session.failure, DroppedError)


@given(st.floats(0, 1e6), st.floats(0.1, 100))
@example(9.205, 20)  # 9.205 + 10 - 9.205 is less than 10
def test_whoever_checks_at_the_deadline_is_not_too_early(
    now: float, seconds: float
) -> None:
    session = Session(
        Options({}), 16_000, now=now, unix_offset=0, redact=lambda text: text
    )
    session.receive(b'{"type":"Begin"}', now)
    session.watch(seconds)
    for _ in range(2):
        due = session.deadline
        assert not session.check(due)
        assert session.state is State.OVER or session.deadline > due
    assert session.state is State.OVER


# ---- KeepAlive ----


def test_keep_alive_while_no_audio_is_sent() -> None:
    life = Life.begun()
    life.session.keep_alive_every(10)
    life.run(9.9)
    assert life.sent == []
    life.run(0.2)
    assert life.sent == [KEEP_ALIVE]
    life.run(30)
    assert life.sent == [KEEP_ALIVE] * 3


def test_audio_postpones_it() -> None:
    life = Life.begun()
    life.session.keep_alive_every(10)
    for _ in range(100):
        life.run(9.9)
        life.hear(50)
    assert life.sent == []
    life.run(10)
    assert life.sent == [KEEP_ALIVE]


def test_one_that_was_asked_for_postpones_it_too() -> None:
    life = Life.begun()
    life.session.keep_alive_every(10)
    life.run(9)
    life.session.keep_alive(life.now)
    assert life.sent == [KEEP_ALIVE]
    life.run(9.9)
    assert life.sent == []
    life.run(0.2)
    assert life.sent == [KEEP_ALIVE]


def test_it_may_be_wanted_no_more() -> None:
    life = Life.begun()
    life.session.keep_alive_every(10)
    life.session.keep_alive_every(math.inf)
    life.run(1000)
    assert life.sent == []


def test_a_loop_that_was_blocked_sends_one() -> None:
    life = Life.begun()
    life.session.keep_alive_every(10)
    life.jump(1000)
    assert life.sent == [KEEP_ALIVE]


# ---- updates ----


def updated(life: Life, **live: Any) -> dict[str, Any]:
    """Change parameters of the session; gives the message that does so."""
    options, message = life.session.options.updated(live)
    life.session.update(options, message)
    assert life.session.options is options
    return message


def test_an_update_before_the_handshake_is_in_it() -> None:
    life = Life(begin_seconds=None)
    updated(life, prompt="x")
    assert life.session.handshake().query()["prompt"] == "x"
    life.session.connected(life.now, 20)
    life.say(BEGIN)
    assert life.sent == []


def test_an_update_before_begin_is_sent_after_it() -> None:
    life = Life()
    first = updated(life, prompt="x")
    life.say({"type": "Warning", "warning": "not yet"})
    second = updated(life, prompt="y", keyterms_prompt=["z"])
    assert life.sent == []
    life.say(BEGIN)
    assert life.sent == [first, second]
    assert life.sent == []


def test_an_update_after_begin_is_sent_at_once() -> None:
    life = Life.begun()
    message = updated(life, prompt="x")
    assert life.sent == [message] == [{"type": "UpdateConfiguration", "prompt": "x"}]


def test_an_update_goes_before_the_end_that_follows_it() -> None:
    life = Life.begun()
    message = updated(life, prompt="x")
    life.session.terminate(life.now, 5)
    assert life.sent == [message, {"type": "Terminate"}]


def test_an_update_of_a_session_that_is_over_is_none() -> None:
    life = Life.begun()
    before = life.session.options
    life.session.over()
    life.session.update(Options({"prompt": "x"}), {"type": "UpdateConfiguration"})
    assert life.session.options is before
    assert life.sent == [{"type": "Terminate"}]


def test_an_update_changes_which_end_is_final() -> None:
    life = Life.begun(configuration={"model": "universal-streaming-english"})
    end = turn(0, ("a", 0, 10), end_of_turn=True)
    assert messages_of(life.say(end))[0].is_final
    updated(life, format_turns=True)
    end = turn(1, ("b", 20, 30), end_of_turn=True)
    assert not messages_of(life.say(end))[0].is_final


# ---- turns that are not ended ----


def overtaken(life: Life) -> None:
    """A turn is begun, and the next one comes to its end."""
    life.hear(1000)
    life.say(turn(0, ("a", 100, 200)))
    assert life.say(final(1, ("b", 300, 400))) == []
    assert life.session.deadline == NOW + MISSING_SECONDS


def test_a_final_that_is_missing_is_waited_for_and_lost() -> None:
    life = Life.begun()
    overtaken(life)
    assert life.run(MISSING_SECONDS * 0.9) == []
    lost, after = life.run(MISSING_SECONDS * 0.2)
    assert lost == LostTurn(start=0, end=300, words=(100, 200))
    assert names_of([after]) == ["Turn"]
    assert life.session.state is State.OPEN


def test_a_session_whose_turns_shall_end_is_lost_instead() -> None:
    life = Life.begun()
    life.session.turns.insists = True
    overtaken(life)
    assert life.run(MISSING_SECONDS * 0.9) == []
    assert life.run(MISSING_SECONDS * 0.2) == []
    assert life.is_over
    assert isinstance(life.session.failure, DroppedError)
    assert str(life.session.failure) == "the server did not end a turn"
    assert life.sent == [{"type": "Terminate"}]


@pytest.mark.parametrize("insists", [False, True])
def test_turns_may_be_waited_for_no_longer(insists: bool) -> None:
    life = Life.begun()
    life.session.turns.insists = insists
    life.hear(1000)
    life.say(turn(0, ("a", 100, 200)))
    told = life.session.finish_turns(life.now)
    if insists:
        assert told == []
        assert isinstance(life.session.failure, DroppedError)
    else:
        assert told == [LostTurn(start=0, end=1000, words=(100, 200))]
        assert life.session.state is State.OPEN
