"""Live changes, KeepAlive, and a stream's accounts."""

from __future__ import annotations

from typing import Any

import pytest

from aai_stream.errors import OptionError
from aai_stream.options import Options
from aai_stream.protocol.events import Level
from tests.protocol.driver import BEGIN, CHUNK, RATE, Call, numbers
from tests.talks import final

# ---- updates ----


def update(**live: Any) -> dict[str, Any]:
    return {"type": "UpdateConfiguration", **live}


def test_updates_before_during_and_after_opening() -> None:
    call = Call()
    call.update(prompt="before")
    peer = call.ask().connect()
    call.update(prompt="during")
    call.push(800)
    assert peer.seen == []
    peer.begin()
    assert peer.query["prompt"] == "before"
    assert peer.seen == [update(prompt="during"), numbers(1, 800)]
    call.update(prompt="after")
    assert peer.seen[2:] == [update(prompt="after")]
    peer.close(1011)
    call.update(prompt="between")
    second = call.open()
    assert second.query["prompt"] == "between"
    assert second.asked == []


def test_updates_before_the_handshake_are_in_it() -> None:
    """Though the session was asked for before."""
    call = Call()
    peer = call.ask()
    call.update(prompt="during")
    peer.connect().begin()
    assert peer.query["prompt"] == "during"
    assert peer.asked == []


def test_updates_reach_the_next_attempt_if_one_fails() -> None:
    call = Call()
    peer = call.ask().connect()
    call.update(prompt="during")
    call.run(20)  # without Begin
    assert peer.is_closed
    second = call.open()
    assert second.query["prompt"] == "during"
    assert second.asked == []


def test_live_changes_are_in_the_next_handshake() -> None:
    call = Call(prompt="a shop", keyterms_prompt=["x"])
    first = call.open()
    call.push(RATE)
    call.update(prompt="a clinic")
    first.cut()
    call.update(keyterms_prompt=["Zoe"])  # while there is no session at all, …
    second = call.ask().connect()
    call.update(agent_context="Hello?")  # … and while one is opened
    second.begin()
    assert first.query["prompt"] == "a shop"
    assert second.query["prompt"] == "a clinic"
    assert second.query["keyterms_prompt"] == '["Zoe"]'
    assert "agent_context" not in second.query
    assert second.asked == [update(agent_context="Hello?")]


def test_options_may_be_replaced_for_the_next_session() -> None:
    call = Call()
    first = call.open()
    call.protocol.options = Options({"speech_model": "u3-rt-pro", "prompt": "other"})
    first.cut()
    assert call.open().query == {"speech_model": "u3-rt-pro", "prompt": "other"}


def test_a_bad_update_changes_nothing() -> None:
    call = Call()
    peer = call.open()
    options = call.protocol.options
    for bad in ({"prompt": 7}, {"sample_rate": 8000}, {"nothing": 1}):
        with pytest.raises(OptionError):
            call.update(vad_threshold=0.5, **bad)
    assert call.protocol.options is options
    assert peer.asked == []


def test_what_the_session_s_model_does_not_take_is_a_bad_update() -> None:
    """The server's word counts, not what was asked for."""
    call = Call()
    told = {"model": "universal-streaming-english"}
    peer = call.open(configuration=told)
    with pytest.raises(OptionError, match="prompt"):
        call.update(prompt="a clinic")
    assert peer.asked == []


def test_what_the_server_did_not_take_is_logged() -> None:
    call = Call()
    call.open(configuration={"model": "u3-rt-pro"})
    told = [note.text for note in call.notes if note.level is Level.WARNING]
    assert told == [
        "session session-1: the session's model is u3-rt-pro, but universal-3-6-pro "
        "was asked for"
    ]


# ---- keeping alive ----


def kept_alive() -> Call:
    """A call whose server ends a session after 20 s without audio."""
    return Call(keeps_alive=True, inactivity_timeout=20)


def test_keep_alive_while_nothing_is_sent() -> None:
    call = kept_alive()
    peer = call.open()
    assert peer.asked == []
    call.run(30.5)
    assert peer.asked == ["KeepAlive"] * 3
    peer.seen.clear()
    for _ in range(100):  # audio keeps it alive, too
        call.push(CHUNK)
        call.run(1)
    assert peer.asked == []
    call.run(20)
    assert "KeepAlive" in peer.asked
    call.close()
    said = list(peer.asked)
    call.run(100)
    assert peer.asked == said


def test_no_pause_is_longer_than_half_of_the_server_s_patience() -> None:
    call = kept_alive()
    peer = call.open()
    call.run(1)
    call.push(CHUNK)
    call.run(10)
    assert peer.asked == ["KeepAlive"]


@pytest.mark.parametrize("pause", [0.5, 3, 9.5])
def test_no_pause_is_as_long_as_the_server_s_patience(pause: float) -> None:
    call = kept_alive()
    peer = call.open()
    call.run(pause)
    call.push(CHUNK)
    peer.seen.clear()
    call.run(19.9)
    assert peer.asked.count("KeepAlive") >= 1


def test_a_session_that_is_over_is_not_kept_alive() -> None:
    call = kept_alive()
    first = call.open()
    first.close(1011)
    seen = list(first.seen)
    second = call.ask()
    call.run(100)
    call.do(lambda protocol: protocol.keep_alive(call.now))  # harmless
    assert first.seen == seen
    second.connect().begin()
    call.run(10)
    assert set(second.asked) == {"KeepAlive"}
    assert first.seen == seen


@pytest.mark.parametrize(
    ("keeps_alive", "parameters"),
    [(False, {"inactivity_timeout": 20}), (False, {}), (True, {})],
)
def test_otherwise_it_is_for_the_caller(
    keeps_alive: bool, parameters: dict[str, Any]
) -> None:
    call = Call(keeps_alive=keeps_alive, **parameters)
    peer = call.open()
    call.run(100)
    assert peer.asked == []
    call.do(lambda protocol: protocol.keep_alive(call.now))
    assert peer.asked == ["KeepAlive"]


# ---- accounts ----


def test_what_a_stream_did() -> None:
    call = Call()
    first = call.open()
    call.push(RATE)
    first.say(final(0, ("a", 0, 500)), b"{", b"[]")
    first.cut()
    second = call.open()
    second.say(final(0, ("b", 100, 400)), b"?")
    call.push(100)
    call.flush()
    stats = call.stats
    assert stats.written_samples == stats.sent_samples == RATE + 100
    assert stats.acked_samples == 900 * RATE // 1000
    assert stats.padded_samples == 700
    assert stats.forgotten_samples == stats.dropped_samples == 0
    assert stats.heard_seconds == (RATE + RATE // 2 + 800) / RATE
    assert stats.turns == stats.sessions == 2
    assert stats.malformed_messages == 3
    assert stats.waited_seconds == 0
    warnings = [n.text for n in call.notes if n.level is Level.WARNING]
    assert len(warnings) == 3
    assert all("could not be read" in text for text in warnings)


def test_messages_that_are_not_known_are_told() -> None:
    call = Call()
    call.open().say({"type": "Surprise", "value": 1})
    assert [type(event).__name__ for event in call.told] == ["Begin", "Unknown"]
    assert call.stats.malformed_messages == 0


def test_a_second_begin_is_told_and_changes_nothing() -> None:
    call = Call()
    peer = call.open()
    call.push(800)
    peer.say(BEGIN)
    call.push(800)
    assert peer.audio == numbers(1, 1600)
    assert call.stats.sessions == 1
