"""Opening a stream's sessions: again after a failure, and when that is given up."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aai_stream.errors import (
    BusyError,
    DroppedError,
    OptionError,
    RefusedError,
    RejectedError,
    SessionError,
    TimedOutError,
    TokenExpiredError,
    UnreachableError,
    UntrustedError,
)
from aai_stream.messages import AudioLost, Begin
from aai_stream.protocol.events import Opened, Resumed, Retry
from aai_stream.protocol.stream import StreamState
from tests.protocol.driver import PER_MS, RATE, Call, Identity, numbers
from tests.talks import final

DROPPED = DroppedError("HTTP 503", code=503)


def test_a_session_is_asked_for_at_once_and_told_at_its_begin() -> None:
    call = Call()
    peer = call.ask()
    assert call.now == 100.0
    assert not call.is_open
    assert call.protocol.session_id is None
    assert call.protocol.expires_at is None
    peer.connect()
    assert not call.is_open
    peer.begin(id="abc", expires_at=1_010_000)
    assert call.is_open
    assert call.protocol.session_id == "abc"
    assert call.protocol.expires_at == 1_010_000
    (begin,) = call.told
    assert isinstance(begin, Begin)
    assert call.notes == []
    assert call.reports == [
        Opened("abc", "universal-3-6-pro", 1_010_000, 0.0),
        Resumed("abc", sample=0, sent=0, after=""),
    ]
    assert call.stats.sessions == 1


def test_one_session_is_opened_at_a_time() -> None:
    call = Call()
    call.ask()
    call.run(15)
    call.push(RATE)
    assert len(call.peers) == 1


def test_a_session_that_does_not_begin_in_time() -> None:
    call = Call()
    first = call.ask()
    call.run(300)  # the handshake's time is bounded elsewhere
    first.connect()
    call.run(19.9)
    assert not first.is_closed
    call.run(0.1)
    assert first.is_closed
    (retry,) = call.all(Retry)
    assert isinstance(retry.failure, TimedOutError)
    assert str(retry.failure) == "the session did not begin within 20 s"
    assert call.open().seen == []
    assert call.is_open


FINAL: list[Exception] = [
    RefusedError("HTTP 401", code=401),
    RejectedError("HTTP 400", code=400),
    UntrustedError("not for this name"),
    OptionError("http_session is closed"),
    ZeroDivisionError("in a token source"),
]


@pytest.mark.parametrize("failure", FINAL, ids=lambda failure: type(failure).__name__)
def test_what_is_not_to_be_tried_again_ends_the_stream(failure: Exception) -> None:
    call = Call()
    call.ask().refuse(failure)
    assert call.protocol.state is StreamState.FAILED
    assert call.protocol.failure is failure
    assert not call.protocol.retries.gave_up
    assert call.told == []
    call.run(1000)
    assert len(call.peers) == 1


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1008, "Unauthorized Connection: Invalid API key", RefusedError),
        (3006, "User Input Validation Error", RejectedError),
        (4001, "", RefusedError),
        (1011, "", DroppedError),
        (1008, "Unauthorized Connection: Too many concurrent sessions", BusyError),
    ],
)
@pytest.mark.parametrize("how", ["an Error, then the close", "the close alone"])
def test_a_session_that_is_ended_before_it_begins(
    code: int, reason: str, kind: type[SessionError], how: str
) -> None:
    call = Call()
    peer = call.ask().connect()
    if how == "an Error, then the close":
        peer.say({"type": "Error", "error_code": code, "error": reason})
    else:
        peer.close(code, reason)
    failures = [call.protocol.failure, *(one.failure for one in call.all(Retry))]
    assert [type(one) for one in failures if one is not None] == [kind]
    assert call.protocol.is_over is not kind.retryable
    assert peer.is_closed
    assert not call.all(Begin)


def test_what_the_first_sessions_fail_with_is_tried_again() -> None:
    call = Call()
    call.push(RATE)
    call.ask().refuse(DROPPED)
    call.ask().refuse(DroppedError("HTTP 503", code=503, retry_after=7))
    call.ask().refuse(BusyError("HTTP 429", code=429))
    peer = call.open()
    assert call.waits == [0.5, 7 + 1, 2]
    assert [retry.counts for retry in call.all(Retry)] == [True, True, False]
    assert call.now == 100 + 0.5 + 8 + 2
    assert call.stats.sessions == 1
    assert peer.audio == numbers(1, RATE)


def test_no_session_is_asked_for_before_the_wait_is_over() -> None:
    call = Call()
    call.ask().refuse(UnreachableError("nobody there"))
    call.run(0.49)
    assert not call.is_asking
    call.run(0.01)
    assert call.is_asking


def test_nobody_waits_for_as_long_as_a_server_may_ask() -> None:
    call = Call()
    call.ask().refuse(DroppedError("HTTP 503", code=503, retry_after=86_400))
    assert max(call.waits) < 3600


@pytest.mark.parametrize("most", [0, 2])
def test_too_many_failures_in_a_row_end_the_stream(most: int) -> None:
    call = Call(max_retries=most)
    for _ in range(most + 1):
        call.ask().refuse(DROPPED)
    failure = call.protocol.failure
    assert isinstance(failure, DroppedError)
    assert failure.code == 503
    if most:
        assert "gave up after 3 attempts" in str(failure)
    assert call.protocol.retries.gave_up is bool(most)
    assert len(call.waits) == most
    assert call.protocol.deadline == math.inf


ENDS: dict[str, tuple[int, list[Any]]] = {
    "closed": (1011, []),
    "cut": (1006, []),
    "in a turn": (1006, [{**final(0, ("a", 0, 100)), "end_of_turn": False}]),
}


@pytest.mark.parametrize("end", ENDS)
def test_sessions_that_open_and_die_again_and_again(end: str) -> None:
    code, said = ENDS[end]
    call = Call(max_retries=3)
    call.push(RATE)
    for _ in range(4):
        peer = call.open()
        peer.say(*said)
        peer.close(code)
    assert isinstance(call.protocol.failure, DroppedError)
    assert call.protocol.failure.code == code
    assert "gave up after 4 attempts" in str(call.protocol.failure)
    assert call.protocol.retries.gave_up
    assert len(call.peers) == 4


def test_what_a_stream_that_fails_has_not_covered_is_lost() -> None:
    call = Call()
    peer = call.open()
    call.push(RATE)
    peer.say(final(0, ("a", 100, 300)))
    peer.close(1008, "no")
    (lost,) = call.all(AudioLost)
    assert (lost.start_sample, lost.end_sample) == (300 * PER_MS, RATE)
    assert lost.why == "the stream failed"


# ---- what gets on ----


def test_a_final_restores_the_budget() -> None:
    call = Call(max_retries=1)
    call.push(RATE)
    for _ in range(5):
        peer = call.open()
        peer.say(final(0, ("a", 0, 100)))
        peer.cut()
    assert call.stats.turns == 5
    call.open().cut()
    assert call.protocol.failure is not None
    assert "gave up after 2" in str(call.protocol.failure)
    assert len(call.peers) == 6


@pytest.mark.parametrize(("lasts", "tries_on"), [(9.9, False), (10.1, True)])
def test_a_long_life_restores_the_budget(lasts: float, tries_on: bool) -> None:
    call = Call(max_retries=1)
    for _ in range(5):
        if call.protocol.is_over:
            break
        peer = call.open()
        call.run(lasts)
        peer.cut()
    assert call.protocol.is_over is not tries_on
    assert len(call.peers) == (5 if tries_on else 2)


def test_but_not_when_the_stream_only_has_to_end() -> None:
    call = Call(max_retries=1, close_timeout=30)
    call.push(RATE)
    call.open()
    call.end()
    for _ in range(2):
        call.run(15)
        call.peer.cut()
        if not call.protocol.is_over:
            call.open()
    assert call.protocol.failure is not None


def test_waiting_long_is_no_long_life() -> None:
    call = Call(max_retries=2)
    for _ in range(3):
        call.ask()
        call.run(60)
        call.peer.connect()
        call.run(15)
        call.peer.begin().close(1011)
    assert call.protocol.failure is not None


def test_sessions_that_are_cancelled_soon_are_a_refusal() -> None:
    """As where an account may not use the model."""
    call = Call()
    for _ in range(3):
        peer = call.open()
        call.run(5)
        peer.close(3005, "Session Cancelled: An error occurred")
    assert isinstance(call.protocol.failure, RefusedError)
    assert "universal-3-6-pro" in str(call.protocol.failure)


# ---- tokens that are too old ----

TOO_OLD = (1008, "Unauthorized Connection: Signature has expired")


def test_another_token_is_asked_for_at_once() -> None:
    call = Call(identity=Identity(has_token_source=True))
    call.ask().connect().close(*TOO_OLD)
    assert call.is_asking
    assert call.now == 100.0
    assert call.told == []
    (note,) = call.notes
    assert note.text == "the token had expired; trying another"
    assert isinstance(note.failure, TokenExpiredError)
    call.ask().connect().close(*TOO_OLD)
    assert isinstance(call.protocol.failure, TokenExpiredError)


@pytest.mark.parametrize("answer", ["Begin", "a failure that passes"])
def test_and_again_after_any_other_answer(answer: str) -> None:
    call = Call(identity=Identity(has_token_source=True))
    for _ in range(3):
        call.ask().connect().close(*TOO_OLD)
        if answer == "Begin":
            call.open().cut()
        else:
            call.ask().refuse(DROPPED)
    assert len(call.peers) == 6
    call.open()
    assert call.protocol.failure is None


def test_one_that_is_given_as_it_is_ends_the_stream() -> None:
    call = Call()
    call.ask().connect().close(*TOO_OLD)
    assert isinstance(call.protocol.failure, TokenExpiredError)
    assert not call.is_asking


# ---- closed meanwhile ----


def test_closing_before_there_is_a_session() -> None:
    call = Call()
    peer = call.ask()
    call.close()
    assert call.protocol.state is StreamState.CLOSED
    assert peer.is_closed
    assert peer.seen == []
    call.close()  # harmless
    call.run(1000)
    assert len(call.peers) == 1
    assert call.told == []


def test_closing_between_the_handshake_and_begin_terminates_nonetheless() -> None:
    """It may have begun by then, and is billed."""
    call = Call()
    peer = call.ask().connect()
    call.close()
    assert peer.asked == ["Terminate"]
    assert peer.is_closed
    peer.begin()
    assert call.told == []


def test_closing_while_it_waits_to_try_again() -> None:
    call = Call()
    call.open().close(1011)
    told = list(call.told)
    call.close()
    call.run(1000)
    assert len(call.peers) == 1
    assert call.told == told
    assert call.protocol.failure is None


def test_closing_an_open_session() -> None:
    call = Call()
    peer = call.open()
    call.push(900)
    call.close()
    assert peer.asked == ["Terminate"]
    assert peer.audio == numbers(1, 800)
    assert peer.is_closed
    assert call.protocol.deadline == math.inf
    call.push(RATE)  # nobody hears it
    assert len(peer.seen) == 2
