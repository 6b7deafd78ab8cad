"""One session until it ends: how it begins, what it tells, what is sent to it."""

from __future__ import annotations

import math

import pytest

from aai_stream import messages
from aai_stream.errors import (
    BusyError,
    DroppedError,
    EndedError,
    RefusedError,
    TimedOutError,
)
from aai_stream.models import DEFAULT_MODEL
from aai_stream.protocol.events import Level
from aai_stream.protocol.session import State
from tests.protocol.sessions import (
    KEY,
    NOW,
    UNIX,
    Life,
    messages_of,
    names_of,
    notes_of,
)
from tests.servers import BEGIN
from tests.talks import final, turn

UPDATE = {"type": "UpdateConfiguration", "prompt": "x"}
TERMINATE = [{"type": "Terminate"}]
US = "universal-streaming-english"


# ---- Begin ----


def test_from_begin_to_termination() -> None:
    life = Life(speech_model="u3-rt-pro")
    session = life.session
    states = [session.state]
    told = life.say(BEGIN)
    states.append(session.state)
    life.hear(100)
    told += life.say({"type": "Turn", "turn_order": 0})
    session.update(session.options, UPDATE)
    session.keep_alive(life.now)
    session.terminate(life.now, 5)
    states.append(session.state)
    assert life.sent == [UPDATE, {"type": "KeepAlive"}, *TERMINATE]
    assert life.sent == []
    told += life.say({"type": "Termination", "audio_duration_seconds": 0.1})
    states.append(session.state)
    assert states == [State.OPENING, State.OPEN, State.ENDING, State.OVER]
    assert session.failure is None
    assert names_of(told) == ["Begin", "Turn", "Termination"]
    assert session.termination is told[-1]
    assert notes_of(told) == []
    assert life.sent == []  # it knows


def test_what_begin_tells() -> None:
    life = Life()
    life.now += 3
    configuration = {"model": "u3-rt-pro", "mode": "balanced"}
    life.say({**BEGIN, "expires_at": UNIX + 600, "configuration": configuration})
    session = life.session
    assert session.id == "session-1"
    assert session.expires_at == UNIX + 600
    assert session.expiry == NOW + 600
    assert session.configuration == configuration
    assert session.model == "u3-rt-pro"
    assert (session.asked_at, session.began_at) == (NOW, NOW + 3)


def test_what_begin_leaves_out() -> None:
    life = Life(speech_model="u3-rt-pro")
    life.say({"type": "Begin"})
    session = life.session
    assert (session.id, session.expires_at, session.configuration) == ("", None, {})
    assert session.expiry == math.inf
    assert session.model == "u3-rt-pro"


def test_before_begin_nothing_is_known_but_what_was_asked() -> None:
    session = Life(speech_model="u3-rt-pro").session
    assert (session.id, session.expires_at, session.configuration) == ("", None, {})
    assert session.model == "u3-rt-pro"
    assert Life().session.model == DEFAULT_MODEL


def test_before_begin_nothing_is_told() -> None:
    life = Life()
    early = life.say(
        turn(0, ("early", 0, 10)),
        {"type": "SpeechStarted", "timestamp": 0},
        {"type": "Warning", "warning": "so soon"},
        {"type": "Termination"},
        {"type": "New"},
    )
    assert early == []
    assert life.session.state is State.OPENING
    assert not life.session.told_turn
    assert life.session.turns.is_idle
    assert names_of(life.say(BEGIN)) == ["Begin"]


def test_a_second_begin_is_passed_on() -> None:
    life = Life.begun()
    assert names_of(life.say({**BEGIN, "id": "another"})) == ["Begin"]
    assert life.session.id == "session-1"


@pytest.mark.parametrize("begin_seconds", [0.05, 20.0])
def test_no_begin_in_time(begin_seconds: float) -> None:
    life = Life(begin_seconds=begin_seconds)
    life.run(begin_seconds * 0.99)
    assert life.session.state is State.OPENING
    life.run(begin_seconds * 0.02)
    assert life.is_over
    assert isinstance(life.session.failure, TimedOutError)
    text = f"the session did not begin within {begin_seconds:g} s"
    assert str(life.session.failure) == text
    assert life.sent == TERMINATE  # it is billed, perhaps


def test_connecting_has_no_time_from_here() -> None:
    life = Life(begin_seconds=None)
    assert life.session.deadline == math.inf
    life.session.connected(NOW + 9, 20)
    assert life.session.deadline == NOW + 29


def test_a_begin_that_was_late_to_be_read_counts() -> None:
    life = Life(begin_seconds=20)
    life.now += 25  # while the loop was blocked
    life.say(BEGIN)
    life.run(1000)
    assert life.session.state is State.OPEN


def test_before_begin_only_a_terminate_is_sent() -> None:
    life = Life()
    life.session.update(life.session.options, UPDATE)
    life.session.keep_alive(NOW)
    assert life.sent == []
    life.session.over()
    assert life.sent == TERMINATE


# ---- what Begin says of the configuration ----


def test_what_the_server_did_not_take_is_warned_of() -> None:
    life = Life(mode="max_accuracy")
    told = life.say({**BEGIN, "configuration": {"mode": "balanced"}})
    assert notes_of(told, Level.WARNING) == [
        "session session-1: the server did not take: mode"
    ]
    assert names_of(told) == ["Begin"]


def test_what_it_says_of_its_model_is_bounded_and_tells_no_key() -> None:
    life = Life(speech_model="u3-rt-pro")
    told = life.say({**BEGIN, "configuration": {"model": KEY + "x" * 1000}})
    assert life.session.model == "***" + "x" * 97
    (warning,) = notes_of(told, Level.WARNING)
    assert warning.startswith("session session-1: the session's model is ***xxx")
    assert len(warning) == len("session session-1: ") + 300


def test_an_update_since_the_handshake_is_no_difference() -> None:
    life = Life()
    options, message = life.session.options.updated({"filter_profanity": True})
    life.session.update(options, message)
    told = life.say({**BEGIN, "configuration": {"filter_profanity": False}})
    assert life.sent == [message]
    assert notes_of(told, Level.WARNING) == []


# ---- errors before Begin ----


@pytest.mark.parametrize(
    ("code", "kind"), [(3005, DroppedError), (1008, RefusedError), (3009, BusyError)]
)
def test_an_error_before_begin_is_the_answer_also_without_a_close(
    code: int, kind: type[Exception]
) -> None:
    life = Life()
    assert life.say({"type": "Error", "error_code": code, "error": f"no {KEY}"}) == []
    assert life.is_over
    assert type(life.session.failure) is kind
    text = f"the server closed the session with code {code}: no ***"
    assert str(life.session.failure) == text
    assert life.sent == TERMINATE


def test_an_error_without_a_code_waits_for_the_close_that_has_one() -> None:
    life = Life()
    life.say({"type": "Error", "error": "Unauthorized Connection: Invalid API key"})
    life.run(0.9)
    assert life.session.state is State.OPENING
    life.close(1008, "See Error message for details")
    failure = life.session.failure
    assert type(failure) is RefusedError
    assert (failure.code, "Invalid API key" in str(failure)) == (1008, True)


def test_but_not_for_long() -> None:
    life = Life()
    life.say({"type": "Error", "error": "once"})
    life.run(0.6)
    life.say({"type": "Error", "error": "twice"})
    life.run(0.39)
    assert not life.is_over
    life.run(0.02)
    failure = life.session.failure
    assert isinstance(failure, DroppedError)
    assert (failure.code, str(failure)) == (
        1006,
        "the server closed the session with code 1006: twice",
    )
    assert life.sent == TERMINATE


def test_nor_longer_than_for_begin() -> None:
    life = Life(begin_seconds=2)
    life.run(1.5)
    life.say({"type": "Error", "error": "a reason"})
    life.run(0.6)
    assert "a reason" in str(life.session.failure)


def test_an_error_without_a_code_may_be_followed_by_begin() -> None:
    life = Life()
    life.say({"type": "Error", "error": "a hiccup"}, BEGIN)
    life.run(100)
    assert life.session.state is State.OPEN


@pytest.mark.parametrize(
    ("code", "kind"), [(1000, EndedError), (1006, DroppedError), (3009, BusyError)]
)
def test_a_close_before_begin_is_an_error(code: int, kind: type[Exception]) -> None:
    life = Life()
    life.close(code)
    assert life.is_over
    assert type(life.session.failure) is kind


# ---- messages ----


def test_messages_that_cannot_be_read_are_counted_and_survived() -> None:
    said = "what was said"
    bad = {"type": "Turn", "turn_order": 0, "words": said}
    life = Life.begun()
    told = life.say("garbage", bad, {"type": "New"}, {"type": "Turn", "turn_order": 1})
    assert life.session.malformed_messages == 2
    assert messages_of(told) == [
        messages.Unknown(type="New", raw={"type": "New"}),
        messages.Turn(turn_order=1),
    ]
    notes = notes_of(told)
    assert notes == notes_of(told, Level.WARNING)
    assert len(notes) == 2
    assert all(text.startswith("a message could not be read: ") for text in notes)
    assert said not in str(notes)


def test_what_cannot_be_read_before_begin_is_counted_too() -> None:
    life = Life()
    assert len(notes_of(life.say("garbage"), Level.WARNING)) == 1
    assert life.session.malformed_messages == 1
    assert life.session.state is State.OPENING


def test_times_are_the_stream_s() -> None:
    life = Life.begun()
    life.ring.write(bytes(32_000), 16_000)
    chunks = [life.ring.next_chunk() for _ in range(20)]
    for chunk in chunks[10:]:  # it begins half a second into the stream
        assert chunk is not None
        life.session.timeline.sent(chunk, life.now)
    started, spoken, silent, revised = messages_of(
        life.say(
            {"type": "SpeechStarted", "timestamp": 20},
            final(0, ("a", 20, 100)),
            {"type": "Silence", "start_ms": 100, "end_ms": 300},
            {
                "type": "SpeakerRevision",
                "revisions": [
                    {"turn_order": 0, "words": [{"text": "a", "start": 20, "end": 99}]}
                ],
            },
        )
    )
    assert started.timestamp == 520
    assert [(word.start, word.end) for word in spoken.words] == [(520, 600)]
    assert (silent.start_ms, silent.end_ms) == (600, 800)
    (word,) = revised.revisions[0].words
    assert (word.start, word.end) == (520, 599)


@pytest.mark.parametrize("model", [US, "universal-3-5-pro"])
def test_which_end_of_a_turn_is_final_depends_on_the_model(model: str) -> None:
    life = Life.begun(format_turns=True, configuration={"model": model})
    ends = {"end_of_turn": True}
    raw, *formatted = messages_of(
        life.say(
            turn(0, ("so", 0, 10), **ends),
            turn(0, ("So.", 0, 10), **ends, turn_is_formatted=True),
        )
    )
    assert raw.is_final is (model != US)
    assert [event.is_final for event in formatted if event] == [True]


def test_a_formatted_version_that_never_comes_is_waited_for_by_deadline() -> None:
    life = Life.begun(format_turns=True, configuration={"model": US})
    (raw,) = messages_of(life.say(turn(0, ("so", 0, 10), end_of_turn=True)))
    assert not raw.is_final
    assert life.session.deadline < math.inf
    (again,) = messages_of(life.run(10))
    assert (again.transcript, again.is_final) == ("so", True)
    assert life.session.deadline == math.inf


def test_speech_that_started_is_an_open_turn() -> None:
    life = Life.begun()
    life.say({"type": "SpeechStarted", "timestamp": 0})
    assert not life.session.turns.is_idle
    assert not life.session.told_turn
    life.say(final(0, ("a", 0, 10)))
    assert life.session.turns.is_idle
    assert life.session.told_turn


def test_every_message_is_a_sign_of_life() -> None:
    life = Life.begun()
    for message in ("garbage", {"type": "New"}, turn(0, ("a", 0, 10))):
        life.now += 1
        life.say(message)
        assert life.session.heard_at == life.now


def test_what_came_with_a_remark_tells_no_key() -> None:
    new = [{"more": f"{KEY}, also"}]
    remarks = messages_of(
        Life.begun().say(
            {"type": "Warning", "warning": f"old {KEY}", "new": new},
            {"type": "Error", "error": f"no {KEY}", "param": KEY, "new": new},
        )
    )
    for remark, kind in zip(remarks, ("warning", "error"), strict=True):
        assert isinstance(remark, (messages.Warning, messages.Error))
        assert KEY not in repr(remark)
        assert KEY not in str(remark.raw)
        assert remark.raw["new"] == [{"more": "***, also"}]
        assert remark.raw[kind] == getattr(remark, kind)
    assert remarks[1].param == "***"
