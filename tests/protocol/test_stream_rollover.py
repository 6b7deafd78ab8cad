"""The next session: when it is opened, and when it takes over."""

from __future__ import annotations

import math

import pytest

from aai_stream.messages import AudioLost, Begin
from aai_stream.protocol.events import Level, Note
from tests.audio import hum
from tests.protocol.driver import CHUNK, PER_MS, RATE, UNIX, Call, numbers
from tests.protocol.successors import LASTS, ready, with_successor
from tests.talks import final, turn

# ---- when it is opened ----


@pytest.mark.parametrize(
    ("left", "after"),
    [
        (10_800, 10_740),
        (600, 540),
        (300, 240),
        (299, 239.2),
        (60, 48),
        (56, 45),
        (2, 45),
        (86_400, 86_340),
        (86_401, math.inf),
        (10**11, math.inf),
        (0, math.inf),
        (-1, math.inf),
        (-1_000_000, math.inf),
        (None, math.inf),
    ],
)
def test_a_minute_before_the_end_or_a_fifth(left: int | None, after: float) -> None:
    """An end that is past, or more than a day away, is not believed."""
    call = Call()
    expires_at = None if left is None else UNIX + round(call.now) + left
    call.open(expires_at=expires_at)
    assert call.protocol.deadline - call.now == pytest.approx(after)
    if after == math.inf:
        return
    call.run(after - 0.01)
    assert len(call.peers) == 1
    call.run(0.02)
    assert len(call.peers) == 2


def test_one_is_opened_and_no_more() -> None:
    call, _, _ = with_successor()
    call.run(1000)
    assert len(call.peers) == 2


def test_one_follows_the_other() -> None:
    call = Call()
    for number in range(1, 5):
        peer = call.ask().connect()
        expires_at = UNIX + round(call.now) + LASTS
        peer.begin(id=f"session-{number}", expires_at=expires_at)
        assert call.protocol.session_id == f"session-{number}"
    assert call.now == 100 + 3 * (LASTS - 60)
    assert [peer.is_closed for peer in call.peers] == [True] * 3 + [False]
    assert call.stats.sessions == 4
    assert call.waits == []


# ---- when it takes over ----


def test_where_there_is_no_sound_it_takes_over_at_once() -> None:
    call = Call()
    first = call.open(expires_at=UNIX + round(call.now) + LASTS)
    call.write(hum(2, 5))
    second = call.open(id="session-2")
    assert call.protocol.session_id == "session-2"
    assert call.protocol.lineup.standby is None
    assert first.asked == ["Terminate"]
    assert first.is_closed
    assert not second.is_closed
    text = "session session-2 takes over from session-1"
    assert Note(Level.DEBUG, text, "session-2") in call.notes


def test_in_an_open_turn_it_waits_for_the_final() -> None:
    call, first, second = ready()
    assert call.protocol.lineup.standby is second.session
    assert call.protocol.session_id == "session-1"
    assert call.stats.sessions == 1
    assert len(call.all(Begin)) == 1
    assert second.seen == []
    call.push(RATE)
    first.say(final(0, ("a", 0, 300)))
    assert call.protocol.session_id == "session-2"
    assert call.protocol.lineup.standby is None
    assert call.stats.sessions == 2
    assert len(call.all(Begin)) == 2
    assert first.asked == ["Terminate"]
    assert first.is_closed
    assert second.audio[:10] == numbers(300 * PER_MS + 1, 300 * PER_MS + 10)
    assert call.waits == []


def test_over_a_hole_it_waits_for_the_end() -> None:
    """What can't be sent again was heard by the present session alone."""
    call, first, second = ready(replay_seconds=1)
    for _ in range(60):
        call.push(CHUNK)
    first.say(final(0, ("a", 0, 300)))
    assert call.protocol.session is first.session
    first.say(final(1, ("b", 400, 3900)))
    assert call.protocol.session is second.session
    assert call.all(AudioLost) == []


@pytest.mark.parametrize(("lasts", "after"), [(100, 80), (56, 45)])
def test_a_session_s_time_counts_from_its_begin(lasts: int, after: float) -> None:
    """Not from when it takes over."""
    call, first, second = with_successor()
    second.connect()
    began_at = call.now
    second.begin(id="session-2", expires_at=UNIX + round(began_at) + lasts)
    call.run(30)
    first.say(final(0, ("a", 0, 300)))
    assert call.protocol.session is second.session
    call.run(began_at + after - 0.1 - call.now)
    assert len(call.peers) == 2
    call.run(0.2)
    assert len(call.peers) == 3


def test_likewise_if_another_turn_has_begun_by_then() -> None:
    call, first, second = ready()
    first.say(turn(1, ("b", 400, 500)), final(0, ("a", 0, 300)))
    assert call.protocol.session is first.session
    first.say(final(1, ("b", 400, 500)))
    assert call.protocol.session is second.session
    assert call.finals == ["a", "b"]


def test_all_that_the_final_lets_go_is_heard_before() -> None:
    call, first, second = ready()
    first.say(final(1, ("b", 400, 500)))
    assert call.finals == []
    first.say(final(0, ("a", 0, 300)))
    assert call.protocol.session is second.session
    assert call.finals == ["a", "b"]
    assert second.session.timeline.to_stream_ms(0) == 500


def test_of_the_old_session_nothing_more_is_told() -> None:
    """Not even what came together with the final that it was left for."""
    call, first, second = ready()
    first.say(
        final(0, ("a", 0, 300)), final(1, ("b", 400, 500)), {"type": "Termination"}
    )
    second.say(final(0, ("b", 400 - 300, 500 - 300)))
    assert call.finals == ["a", "b"]
    assert [t.turn_order for t in call.turns if t.is_final] == [0, 1]
    assert len(call.peers) == 2


@pytest.mark.parametrize("end", [3008, 1006])
def test_it_takes_over_from_a_session_that_is_lost(end: int) -> None:
    """In an open turn, which could not be left in peace."""
    call, first, second = ready()
    first.close(end)
    assert call.protocol.session_id == "session-2"
    assert second.audio == first.audio == numbers(1, RATE)
    assert call.waits == []
    assert len(call.peers) == 2


@pytest.mark.parametrize("end", ["expired", "expired in a turn", "cut"])
def test_what_an_expired_session_had_time_to_speak_about_is_not_heard_again(
    end: str,
) -> None:
    """In a sound that is no silence, and in which nobody spoke."""
    call = Call(replay_seconds=120)
    first = call.open(expires_at=UNIX + round(call.now) + 100)
    for second in range(100):
        call.write(hum(1, 300 * (1 + second % 2), seed=second))
        call.run(1)
    successor = call.peer
    assert successor is not first
    successor.connect().begin(id="session-2")
    assert call.stats.sessions == 1  # it would hear all of it again
    if end == "expired in a turn":
        first.say(turn(0, ("a", 99_000, 99_200)))
    first.close(1006 if end == "cut" else 3008)
    begins_ms = successor.session.timeline.to_stream_ms(0)
    assert call.stats.sessions == 2
    assert call.all(AudioLost) == []
    if end == "expired":
        assert 85_000 < begins_ms < 90_000
    else:
        assert begins_ms == 0
