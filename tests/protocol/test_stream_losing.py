"""A stream whose session is lost: what the next one hears, and what is told of both."""

from __future__ import annotations

from typing import Any

import pytest

from aai_stream.errors import DroppedError
from aai_stream.messages import (
    AudioLost,
    Begin,
    LLMGatewayResponse,
    SpeechStarted,
)
from aai_stream.protocol.events import Retry
from tests.protocol.driver import CHUNK, PER_MS, RATE, Call, heard_from, numbers
from tests.talks import final, turn

FORMATTING: dict[str, Any] = {
    "speech_model": "universal-streaming-english",
    "format_turns": True,
}
"""A server that tells each turn that has ended again, formatted."""


def raw(order: int, *words: tuple[str, int, int]) -> dict[str, Any]:
    """A turn that has ended, to be told again."""
    return turn(order, *words, end_of_turn=True)


# ---- what the next session is sent ----


@pytest.mark.parametrize(
    ("said", "from_ms"),
    [
        ((), 0),
        ((turn(0, ("a", 100, 300)),), 0),
        ((final(0, ("a", 100, 300)),), 300),
        ((final(0, ("a", 100, 300)), turn(1, ("b", 400, 600))), 300),
        ((final(0, ("a", 100, 1000)),), 1000),
    ],
    ids=["nothing", "a partial", "a final", "a final and a partial", "all"],
)
def test_the_replay_begins_at_the_first_sample_that_is_not_covered(
    said: tuple[dict[str, Any], ...], from_ms: int
) -> None:
    call = Call()
    first = call.open()
    call.push(RATE)
    first.say(*said)
    first.cut()
    second = call.open()
    call.push(1600)
    call.end()
    assert first.audio == numbers(1, RATE)
    assert heard_from(second, from_ms * PER_MS + 1, RATE + 1600)
    stats = call.stats
    assert stats.sent_samples == stats.written_samples
    assert stats.sessions == 2
    assert stats.heard_seconds == len(first.audio + second.audio) / RATE


def test_the_next_session_begins_behind_what_a_final_covered() -> None:
    call = Call()
    first = call.open()
    call.push(RATE)
    first.say(final(0, ("Hello", 200, 450), ("world.", 450, 700)))
    covered = 700 * PER_MS
    assert call.acked_ms == 700
    first.say(turn(1, ("So", 800, 1050)))
    first.cut()
    (retry,) = call.all(Retry)
    assert isinstance(retry.failure, DroppedError)
    call.push(800)  # meanwhile
    second = call.open()
    heard = second.audio
    assert heard == numbers(covered + 1, covered + len(heard))
    assert RATE + 800 - covered - len(heard) < CHUNK
    second.say({"type": "SpeechStarted", "timestamp": 100})
    second.say(final(0, ("So.", 100, 350)), turn(1, ("What", 500, 750)))
    begins = 700
    (started,) = call.all(SpeechStarted)
    assert started.timestamp == begins + 100
    hello, unfinished, so, what = call.turns
    assert (hello.words[0].start, hello.words[-1].end) == (200, 700)
    assert unfinished.words[0].start == 800
    assert (so.words[0].start, so.words[0].end) == (begins + 100, begins + 350)
    # The turn that was left open is told anew, under the same number.
    assert [t.turn_order for t in (hello, unfinished, so, what)] == [0, 1, 1, 2]
    assert call.stats.sessions == 2
    assert call.protocol.lineup.heard_samples == RATE + len(heard)


def test_without_a_final_all_is_sent_again() -> None:
    call = Call()
    first = call.open()
    call.push(1600)
    first.close(1011)
    second = call.open()
    assert second.audio == first.audio == numbers(1, 1600)
    assert call.protocol.lineup.heard_samples == 3200


def test_what_can_not_be_sent_again_is_told() -> None:
    """The ring has let go of it, though it was sent."""
    call = Call(replay_seconds=1)
    first = call.open()
    for _ in range(60):
        call.push(CHUNK)
    assert call.all(AudioLost) == []
    first.cut()
    second = call.open()
    (lost,) = call.all(AudioLost)
    assert lost.start_sample == 0
    assert lost.why == "it was too long ago to be sent again"
    assert second.audio[0] == numbers(lost.end_sample + 1, lost.end_sample + 1)[0]
    assert call.stats.forgotten_samples == lost.end_sample


def test_audio_that_is_pushed_meanwhile_follows() -> None:
    call = Call()
    call.open().cut()
    call.push(2 * RATE)
    assert call.has_backlog
    assert call.open().audio == numbers(1, 2 * RATE)
    assert not call.has_backlog


# ---- what is told ----


def test_turns_are_counted_on_and_timed_by_one_clock() -> None:
    call = Call()
    first = call.open()
    call.push(RATE)
    first.say(final(0, ("a", 100, 300)), turn(1, ("b", 400, 500)))
    first.cut()
    call.open().say(
        {"type": "SpeechStarted", "timestamp": 50},
        turn(0, ("b", 60, 160)),
        final(0, ("b", 60, 160)),
        {"type": "LLMGatewayResponse", "turn_order": 0},
        final(1, ("c", 300, 400)),
    )
    assert call.stats.turns == 3
    later = 300
    assert [
        (t.turn_order, t.end_of_turn, t.words[0].start, t.words[0].end)
        for t in call.turns
    ] == [
        (0, True, 100, 300),
        (1, False, 400, 500),
        (1, False, later + 60, later + 160),
        (1, True, later + 60, later + 160),
        (2, True, later + 300, later + 400),
    ]
    assert [e.timestamp for e in call.all(SpeechStarted)] == [later + 50]
    assert [e.turn_order for e in call.all(LLMGatewayResponse)] == [1]
    assert len(call.all(Begin)) == 2
    assert not call.all(AudioLost)


def test_between_two_sessions_there_are_the_loss_and_the_next_begin() -> None:
    call = Call()
    first = call.open()
    call.push(RATE)
    first.say(final(0, ("a", 0, 100)))
    first.cut()
    assert call.protocol.session_id == "session-1"
    call.ask()
    assert [type(event).__name__ for event in call.told] == ["Begin", "Turn", "Retry"]
    call.open(id="session-2")
    assert isinstance(call.told[-1], Begin)
    assert call.protocol.session_id == "session-2"


def test_a_session_that_was_given_up_is_heard_no_more() -> None:
    """What had arrived before its connection was closed changes nothing."""
    call = Call()
    first = call.open()
    call.push(RATE)
    first.say(turn(0, ("a", 0, 100)), {"type": "Termination"})
    assert str(call.all(Retry)[0].failure) == "the server did not end a turn"
    told = list(call.told)
    first.say(final(0, ("a", 0, 100)), {"type": "Termination"})
    assert call.told == told
    call.open()
    assert call.waits == [0.5]


def test_the_reason_is_that_of_the_error_before() -> None:
    call = Call()
    first = call.open()
    first.say({"type": "Error", "error_code": 3005, "error": "sorry, my key"})
    first.cut()
    (retry,) = call.all(Retry)
    assert isinstance(retry.failure, DroppedError)
    assert retry.failure.code == 3005
    assert str(retry.failure).endswith("code 3005: sorry, my ***")


@pytest.mark.parametrize(
    ("kind", "sign"), [("dead", None), ("alive", {"type": "Heartbeat"})]
)
def test_a_server_that_promised_heartbeats_and_says_nothing(
    kind: str, sign: dict[str, Any] | None
) -> None:
    call = Call(session_heartbeat=True, dead_after=15)
    first = call.open()
    for _ in range(10):
        call.run(5)
        if sign is not None:
            first.say({**sign, "total_audio_received_ms": 0, "total_duration_ms": 0})
    assert bool(call.waits) is (kind == "dead")
    if kind == "dead":
        assert str(call.all(Retry)[0].failure) == "the server said nothing for 15 s"
        assert first.asked == ["Terminate"]


# ---- turns that end twice ----

PAIR = raw(0, ("a", 0, 300)), final(0, ("A.", 0, 300))


@pytest.mark.parametrize("told", [1, 2])
def test_a_formatted_final_comes_exactly_once(told: int) -> None:
    """Whether the first session was lost before it, or behind it."""
    call = Call(**FORMATTING)
    first = call.open()
    call.push(RATE)
    first.say(*PAIR[:told])
    first.cut()
    second = call.open()
    if told == 1:
        second.say(*PAIR)
    call.end()
    second.finish()
    assert [t.transcript for t in call.turns if t.turn_is_formatted] == ["A."]
    assert call.stats.turns == 1
    assert {t.turn_order for t in call.turns} == {0}
    assert len(call.turns) == (3 if told == 1 else 2)


def test_a_turn_that_is_never_formatted_keeps_its_number() -> None:
    """In a session that is not the stream's first, so that numbers are moved."""
    call = Call(**FORMATTING)
    first = call.open()
    call.push(RATE)
    first.say(final(0, ("A.", 0, 300)))
    first.cut()
    call.open().say(
        raw(0, ("b", 0, 100)), raw(1, ("c", 200, 300)), final(1, ("C.", 200, 300))
    )
    assert [(t.turn_order, t.transcript, t.is_final) for t in call.turns] == [
        (0, "A.", True),
        (1, "b", False),
        (2, "c", False),
        (1, "b", True),
        (2, "C.", True),
    ]


@pytest.mark.parametrize("switched", ["on by extra_params", "off meanwhile"])
def test_each_turn_is_final_once(switched: str) -> None:
    asked: dict[str, Any] = {"format_turns": True}
    extra: dict[str, Any] = {}
    if switched == "on by extra_params":
        asked, extra = {}, {"format_turns": "true"}
    call = Call(speech_model="universal-streaming-english", **asked, extra_params=extra)
    peer = call.open()
    call.push(RATE)
    peer.say(turn(0, ("a", 0, 300)))
    if switched == "off meanwhile":
        call.update(format_turns=False)
    # The server was on its way with the formatted one.
    peer.say(*PAIR)
    call.end()
    peer.finish()
    assert call.finals == (["A."] if switched == "on by extra_params" else ["a"])
