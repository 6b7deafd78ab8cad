"""How a session ends: asked to, by its server, or by a connection that breaks."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aai_stream.errors import (
    BusyError,
    DroppedError,
    EndedError,
    ExpiredError,
    RefusedError,
    RejectedError,
    SessionError,
    TimedOutError,
    TokenExpiredError,
    TooFastError,
    TransientError,
    UnfinishedError,
)
from aai_stream.protocol.events import Level, LostTurn
from aai_stream.protocol.session import State
from tests.protocol.sessions import KEY, Life, messages_of, names_of, notes_of
from tests.talks import final, turn

TERMINATION = {"type": "Termination"}
TERMINATE = [{"type": "Terminate"}]


def ending(ms: int = 0, patience: float = 5.0) -> Life:
    """A session that has heard so much, at the speed of speech, and is asked to end."""
    life = Life.begun()
    life.hear(ms)
    life.run(ms / 1000)
    life.session.terminate(life.now, patience)
    assert life.sent == TERMINATE
    return life


# ---- asked to ----


def test_without_a_sign_it_does_not_wait_for_ever() -> None:
    life = ending(patience=5)
    life.run(4.9)
    assert life.session.state is State.ENDING
    life.run(0.2)
    failure = life.session.failure
    assert isinstance(failure, UnfinishedError)
    assert isinstance(failure, TimedOutError)
    assert str(failure) == "the server did not finish: nothing came for 5 s"
    assert life.session.termination is None
    assert life.sent == []  # it was told


def test_a_server_whose_turns_get_on_is_given_time() -> None:
    life = ending(100, patience=5)
    for ms in range(10, 100, 10):
        life.run(4.9)  # less than the patience, but more in all
        assert names_of(life.say(turn(0, ("x", 0, ms)))) == ["Turn"]
    life.run(4.9)
    told = life.say(TERMINATION)
    # The turn that it told piece by piece was never ended.
    assert told[0] == LostTurn(start=0, end=100, words=(0, 90))
    assert life.session.termination is told[-1]
    assert life.session.failure is None


def test_audio_that_came_faster_than_it_is_spoken_takes_its_time() -> None:
    life = Life.begun()
    life.hear(10_000)
    life.run(2)
    life.session.terminate(life.now, 5)
    life.run(5 + 8 - 0.1)
    assert life.session.state is State.ENDING
    life.run(0.2)
    assert isinstance(life.session.failure, UnfinishedError)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(turn(0, ("x", 0, 50)), id="as far as before"),
        pytest.param(turn(0), id="no words"),
        pytest.param({"type": "New"}, id="another message"),
        pytest.param("garbage", id="garbage"),
    ],
)
def test_what_is_no_progress_gains_no_time(message: Any) -> None:
    life = ending(100, patience=5)
    life.say(turn(0, ("x", 0, 50)))
    due = life.session.deadline
    life.run(3)
    life.say(message)
    assert life.session.deadline == due
    life.run(2.1)
    assert isinstance(life.session.failure, UnfinishedError)


def test_words_that_were_never_sent_are_no_progress() -> None:
    life = ending(100, patience=5)
    life.say(turn(0, ("x", 0, 10**9)))
    due = life.session.deadline
    for more in range(1, 10):
        life.run(0.1)
        life.say(turn(0, ("x", 0, 10**9 + more)))
        assert life.session.deadline == due


def test_turns_before_it_is_asked_gain_nothing() -> None:
    life = Life.begun()
    life.hear(100)
    life.say(turn(0, ("x", 0, 50)))
    assert life.session.deadline == math.inf


def test_a_turn_that_shall_end_and_has_not_takes_the_termination_with_it() -> None:
    life = Life.begun()
    life.session.turns.insists = True
    life.hear(1000)
    life.run(1)
    life.say(turn(0, ("a", 100, 200)))
    life.session.terminate(life.now, 5)
    assert messages_of(life.say(TERMINATION)) == []
    assert isinstance(life.session.failure, DroppedError)
    assert str(life.session.failure) == "the server did not end a turn"
    assert life.session.termination is None


def test_a_termination_settles_what_waited_for_its_formatted_version() -> None:
    us = {"model": "universal-streaming-english"}
    life = Life.begun(format_turns=True, configuration=us)
    life.session.terminate(life.now, 5)
    life.say(turn(0, ("so", 0, 10), end_of_turn=True))
    last, termination = messages_of(life.say(TERMINATION))
    assert (last.transcript, last.is_final) == ("so", True)
    assert termination is life.session.termination


@pytest.mark.parametrize("code", [1000, 1006, 3005])
def test_a_close_in_place_of_the_termination(code: int) -> None:
    life = ending()
    life.close(code)
    assert isinstance(life.session.failure, DroppedError)
    assert life.session.failure.code == code
    is_normal = code == 1000
    assert ("without a Termination" in str(life.session.failure)) is is_normal


def test_a_close_after_the_termination_is_as_it_should_be() -> None:
    life = ending()
    life.say(TERMINATION)
    life.close(1006)
    assert life.session.failure is None


# ---- what was billed ----


@pytest.mark.parametrize(
    ("counted", "is_told"),
    [(2.0, False), (1.5, False), (2.5, False), (0.5, True), (4, True), (None, False)],
)
def test_what_the_server_counted_is_compared(
    counted: float | None, is_told: bool
) -> None:
    life = ending(2000)
    told = life.say({**TERMINATION, "audio_duration_seconds": counted})
    assert names_of(told) == ["Termination"]
    if is_told:
        assert notes_of(told, Level.WARNING) == [
            f"session session-1 was sent 2.00 s of audio, the server counted "
            f"{counted:.2f} s"
        ]
    else:
        assert notes_of(told) == []


@pytest.mark.parametrize("counted", [1, 3])
def test_a_second_more_or_less_is_no_difference(counted: float) -> None:
    told = ending(2000).say({**TERMINATION, "audio_duration_seconds": counted})
    assert notes_of(told) == []


def test_of_a_session_that_ends_on_its_own_no_account_is_asked() -> None:
    life = Life.begun()
    told = life.say({**TERMINATION, "audio_duration_seconds": 99})
    assert notes_of(told) == []


# ---- by its server ----


def test_a_termination_that_nobody_asked_for() -> None:
    """With a close behind it or without: some servers forget that."""
    life = Life.begun()
    life.say(final(0, ("a", 0, 10)))
    (told,) = life.say(TERMINATION)
    assert life.is_over
    assert isinstance(life.session.failure, EndedError)
    assert str(life.session.failure) == "the server ended the session"
    assert life.session.termination is told
    life.close(1000)
    assert isinstance(life.session.failure, EndedError)


def test_its_code_is_that_of_a_normal_end() -> None:
    life = Life.begun()
    life.say(TERMINATION)
    assert life.session.failure is not None
    assert life.session.failure.code == 1000


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize(
    ("code", "kind"), [(3005, DroppedError), (1008, RefusedError), (3009, BusyError)]
)
def test_the_server_closes_with_error_and_code(
    code: int, kind: type[SessionError], begins: bool
) -> None:
    life = Life.begun() if begins else Life()
    error = {"type": "Error", "error_code": code, "error": f"no, {KEY}"}
    assert names_of(life.say(error)) == ["Error"] * begins
    assert life.is_over is not begins  # an Error may be survived, later on
    life.close(code, "short")
    end = life.session.failure
    assert end is not None
    assert type(end) is kind
    assert str(end) == f"the server closed the session with code {code}: no, ***"
    assert end.code == code
    assert end.retryable == issubclass(kind, TransientError)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1000, "", EndedError),
        (1006, "", DroppedError),
        (1008, "Unauthorized Connection: Signature has expired", TokenExpiredError),
        (1008, "Too many concurrent sessions", BusyError),
        (1008, "Invalid API key", RefusedError),
        (1011, "", DroppedError),
        (3005, "", DroppedError),
        (3006, "Invalid value", RejectedError),
        (3006, "Session closed due to inactivity", EndedError),
        (3007, "", TooFastError),
        (3008, "", ExpiredError),
        (3009, "", BusyError),
    ],
)
@pytest.mark.parametrize("words_are_in", ["reason", "error"])
def test_a_close_by_its_code_and_words(
    code: int, reason: str, kind: type[SessionError], words_are_in: str
) -> None:
    life = Life.begun()
    if words_are_in == "error":
        life.say({"type": "Error", "error": reason})
        life.close(code, "See Error message for details")
    else:
        life.close(code, reason)
    failure = life.session.failure
    assert type(failure) is kind
    assert failure.code == code
    assert reason in str(failure)
    assert "See Error message" not in str(failure)


@pytest.mark.parametrize("close", [1000, 1006])
def test_an_error_without_a_proper_close_still_tells_its_code(close: int) -> None:
    life = Life.begun()
    life.say({"error": "old form", "error_code": 4029})
    life.close(close)
    failure = life.session.failure
    assert isinstance(failure, TooFastError)
    assert failure.code == 4029


def test_the_close_of_an_error_has_the_last_word() -> None:
    life = Life.begun()
    life.say({"type": "Error", "error_code": 4029, "error": "slow down"})
    life.close(3008)
    assert isinstance(life.session.failure, ExpiredError)


def test_an_error_that_was_survived_explains_no_later_cut() -> None:
    life = Life.begun()
    life.say({"type": "Error", "error_code": 3006, "error": "x"})
    life.say({"type": "Turn", "turn_order": 0})
    life.close(1006)
    end = life.session.failure
    assert isinstance(end, DroppedError)
    assert end.code == 1006


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize(
    ("retryable", "kind", "retry_after"),
    [
        (True, DroppedError, 2.5),
        (False, RefusedError, None),
        (None, RefusedError, None),
    ],
)
def test_an_error_tells_whether_and_when_to_try_again(
    begins: bool,
    retryable: bool | None,
    kind: type[SessionError],
    retry_after: float | None,
) -> None:
    life = Life.begun() if begins else Life()
    error = {"error": "busy", "error_code": 1008, "retryable": retryable}
    life.say({"type": "Error", **error, "retry_after_seconds": 2.5})
    life.close(1008)
    failure = life.session.failure
    assert failure is not None
    assert type(failure) is kind
    assert failure.code == 1008
    assert getattr(failure, "retry_after", None) == retry_after


@pytest.mark.parametrize("said_in", ["reason", "error"])
def test_of_what_is_said_so_much_is_quoted(said_in: str) -> None:
    life = Life.begun()
    said = f"{KEY} " + "x" * 1000
    if said_in == "error":
        life.say({"type": "Error", "error": said})
    life.close(3005, said if said_in == "reason" else "")
    text = str(life.session.failure)
    assert KEY not in text
    assert text.endswith("3005: *** " + "x" * 296)


# ---- given up ----


@pytest.mark.parametrize("failure", [None, DroppedError("lost")])
def test_given_up_it_is_told_to_terminate(failure: SessionError | None) -> None:
    """Since the server bills by the time that a session is open."""
    life = Life.begun()
    life.session.over(failure)
    assert life.session.failure is failure
    assert life.sent == TERMINATE
    assert life.sent == []


def test_what_it_ended_with_stays() -> None:
    life = Life.begun()
    life.session.over(DroppedError("first"))
    life.session.over(DroppedError("second"))
    life.session.over()
    life.close(1008, "third")
    assert str(life.session.failure) == "first"
    assert life.sent == TERMINATE


def test_terminate_is_said_once() -> None:
    life = ending()
    life.session.over(DroppedError("lost"))
    assert life.sent == []
