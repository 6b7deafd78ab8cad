"""From the ring to a session: what may go now, by room, pace and silence."""

from __future__ import annotations

import math

import pytest

from aai_stream._core import AudioRing, Chunk
from aai_stream.messages import SilenceSkipped
from aai_stream.options import Options
from aai_stream.protocol.coverage import Coverage
from aai_stream.protocol.events import Told
from aai_stream.protocol.sending import Sending
from aai_stream.protocol.session import FORCE_ENDPOINT, Session
from tests.protocol.test_turns import final, turn

RATE = 16_000
CHUNK = 800
ENDPOINT = "endpoint"

Item = tuple[int, int, int] | str
"""The start, samples and padding of a chunk; or ENDPOINT."""


class Call:
    """A ring and who sends it, what time it is, and the session that gets it.

    Attributes:
        got: what the present session was sent.
        room: so many chunks the socket takes.
    """

    def __init__(self, rate: float = math.inf) -> None:
        self.now = 0.0
        self.ring = AudioRing(replay_seconds=600)
        self.told: list[Told] = []
        self.sending = Sending(
            self.ring, rate, Coverage(self.ring, self.told), skip_silence=True
        )
        self.new_session()

    def new_session(self) -> None:
        self.room = 10**9
        self.got: list[Item] = []
        self.session = Session(
            Options({}), RATE, now=self.now, unix_offset=0, redact=str
        )

    def write(self, samples: int) -> None:
        """Take silence."""
        self.ring.write(bytes(2 * samples), RATE)

    def connect(self) -> None:
        self.sending.connect(self.session)

    def reconnect(self) -> None:
        """A new session, from the first sample on that is not covered."""
        self.sending.disconnect()
        self.new_session()
        self.ring.rewind(self.ring.acked)
        self.connect()

    def pump(self) -> list[Item]:
        """Send what may go; returns what `got` has then."""
        while (message := self.sending.next(self.now, self.room > 0)) is not None:
            if isinstance(message, Chunk):
                self.room -= 1
                self.got.append((message.start, message.samples, message.padding))
            else:
                assert message == FORCE_ENDPOINT
                self.got.append(ENDPOINT)
        return self.got

    def force_endpoint(self, *, flush: bool) -> list[Item]:
        self.sending.force_endpoint(flush=flush)
        return self.pump()

    def flush(self) -> list[Item]:
        self.sending.flush()
        return self.pump()

    @property
    def end(self) -> int:
        """How far the session has heard the stream."""
        audio = [item for item in self.got if not isinstance(item, str)]
        return audio[-1][0] + audio[-1][1] if audio else 0


def chunks(first: int, end: int) -> list[Item]:
    return [(start, CHUNK, 0) for start in range(first, end, CHUNK)]


# ---- whom it goes to ----


def test_nothing_is_sent_to_nobody() -> None:
    call = Call()
    call.write(3 * CHUNK)
    assert call.pump() == []
    assert call.flush() == []
    assert call.ring.sent == 0
    assert call.sending.has_backlog
    assert call.sending.due == math.inf


def test_what_waited_is_sent_on_connecting_and_the_rest_at_once() -> None:
    call = Call()
    call.write(2 * CHUNK + 100)
    call.connect()
    assert call.pump() == chunks(0, 2 * CHUNK)
    assert not call.sending.has_backlog
    call.write(CHUNK)
    assert call.pump() == chunks(0, 3 * CHUNK)
    assert not call.sending.has_backlog


def test_a_session_knows_what_it_was_sent() -> None:
    call = Call()
    call.connect()
    call.session.keep_alive_every(5)
    call.now += 3
    call.write(CHUNK + 100)
    call.pump()
    call.flush()
    assert call.session.timeline.samples == 2 * CHUNK
    assert call.session.deadline == call.now + 5  # audio is activity


def test_who_is_disconnected_gets_nothing_more() -> None:
    call = Call(2)
    call.write(60 * RATE)
    call.session.turns.take(turn(0, "one"), 0)
    call.connect()
    before = [*call.pump()]
    assert call.sending.due < math.inf
    call.sending.disconnect()
    assert call.sending.due == math.inf
    call.now += 10
    assert call.pump() == before
    assert call.sending.due == math.inf


def test_the_next_session_is_not_held_up_by_the_one_before() -> None:
    call = Call()
    call.room = 0
    call.write(5 * CHUNK)
    call.connect()
    assert call.pump() == []
    call.reconnect()
    assert call.pump() == chunks(0, 5 * CHUNK)


# ---- what is no full chunk ----


def test_a_tail_is_padded_when_it_is_flushed() -> None:
    call = Call()
    call.connect()
    call.write(CHUNK + 100)
    call.pump()
    assert call.flush() == [(0, CHUNK, 0), (CHUNK, 100, CHUNK - 100)]
    assert len(call.flush()) == 2


def test_what_the_resampler_holds_is_in_it() -> None:
    call = Call()
    call.connect()
    call.ring.write(bytes(2 * 600), 24_000)
    assert call.pump() == []
    assert call.flush() == [(0, 400, 400)]


def test_what_the_resampler_holds_may_fill_a_chunk() -> None:
    call = Call()
    call.connect()
    call.ring.write(bytes(2 * 1220), 24_000)
    assert call.pump() == []
    assert call.flush() == [(0, CHUNK, 0), (CHUNK, 13, CHUNK - 13)]


def test_a_tail_goes_in_any_case() -> None:
    """It is short, and may be the last of all."""
    call = Call()
    call.connect()
    call.room = 1
    call.write(CHUNK + 100)
    call.pump()
    assert call.room == 0
    assert call.flush() == [(0, CHUNK, 0), (CHUNK, 100, CHUNK - 100)]


def test_a_tail_that_was_not_sent_is_sent_to_the_next_session() -> None:
    call = Call()
    call.connect()
    call.write(100)
    call.sending.flush()
    call.reconnect()
    assert call.pump() == []
    assert call.flush() == [(0, 100, CHUNK - 100)]


# ---- room ----


def test_a_full_socket_gets_nothing_until_it_has_room() -> None:
    call = Call()
    call.room = 2
    call.write(5 * CHUNK + 100)
    call.connect()
    assert call.pump() == chunks(0, 2 * CHUNK)
    assert call.flush() == chunks(0, 2 * CHUNK)  # it can't take more
    assert call.sending.has_backlog
    assert call.sending.due == math.inf  # room is told, not waited for
    call.room = 9
    assert call.pump() == chunks(0, 5 * CHUNK)
    assert not call.sending.has_backlog


# ---- pace ----


def test_the_pace_is_kept() -> None:
    call = Call(2)
    call.session.turns.take(turn(0, "one"), 0)  # or else silence would be left out
    call.write(60 * RATE)
    call.connect()
    # A second of audio at once, then one chunk each time that it is due.
    call.pump()
    burst = call.end
    assert abs(burst - RATE) <= CHUNK
    for number in range(1, 41):
        due = call.sending.due
        call.now = due - 0.001
        call.pump()  # asking before it is due
        assert call.sending.due == pytest.approx(due)  # changes nothing
        call.now = due
        call.pump()
        assert call.end == burst + number * CHUNK
    assert call.now == pytest.approx(1, abs=0.03)
    before = call.end
    call.now += 10  # what wasn't used is not saved up
    call.pump()
    assert abs(call.end - before - RATE) <= CHUNK
    assert call.sending.due > call.now


def test_what_is_flushed_is_paid_for_as_well() -> None:
    call = Call(2)
    call.connect()
    for _ in range(30):
        call.write(100)
        call.flush()
    call.write(60 * RATE)
    call.session.turns.take(turn(0, "one"), 0)
    call.pump()
    assert abs(call.session.timeline.samples - RATE) <= CHUNK  # padding included


# ---- silence ----


def test_silence_is_left_out_where_the_pace_would_make_it_late() -> None:
    call = Call(2)
    call.write(10 * RATE)
    call.connect()
    call.pump()
    (skipped,) = call.told
    assert isinstance(skipped, SilenceSkipped)
    assert abs(skipped.start_sample - RATE) <= CHUNK  # behind what went at once
    assert call.ring.sent == skipped.end_sample
    call.now = call.sending.due
    (before, chunk) = call.pump()[-2:]
    assert before[0] == skipped.start_sample - CHUNK
    assert chunk[0] == skipped.end_sample


def test_what_is_left_out_makes_the_server_no_later() -> None:
    call = Call(1.25)
    call.write(60 * RATE)
    call.connect()
    for _ in range(20):
        call.write(RATE)
        call.now += 1
        call.pump()
    (skipped,) = call.told
    assert isinstance(skipped, SilenceSkipped)
    assert call.sending.hearing.heard_until(call.now) > skipped.end_sample


def test_silence_is_not_left_out_where_there_is_no_pace() -> None:
    call = Call()
    call.write(10 * RATE)
    call.connect()
    assert call.pump() == chunks(0, 10 * RATE)
    assert call.told == []


def test_silence_in_an_open_turn_is_not_left_out() -> None:
    call = Call(1.25)
    call.write(10 * RATE)
    call.session.turns.take(turn(0, "one"), 0)
    call.connect()
    call.now += 1
    call.pump()
    assert call.told == []
    call.session.turns.take(final(0, "one"), 0)
    call.pump()
    assert len(call.told) == 1


def test_nor_is_any_where_all_is_wanted() -> None:
    call = Call()
    coverage = Coverage(call.ring, call.told)
    call.sending = Sending(call.ring, 1.25, coverage, skip_silence=False)
    call.write(10 * RATE)
    call.connect()
    call.pump()
    assert call.sending.due > call.now
    assert call.told == []


# ---- how far it was heard ----


def test_once_a_second_of_audio_it_is_time_to_look() -> None:
    call = Call()
    call.connect()
    looks = 0
    for _ in range(10 * 20):
        call.write(CHUNK)
        call.now += 0.05
        call.pump()
        looks += call.sending.is_time_to_look
        call.sending.is_time_to_look = False
    assert looks == 10
    # Two seconds before what it has had five seconds for.
    assert 2 <= call.sending.hearing.heard_until(call.now) / RATE <= 3


def test_what_another_session_heard_counts_for_nothing() -> None:
    call = Call()
    call.connect()
    for _ in range(20):
        call.write(RATE)
        call.now += 1
        call.pump()
    assert call.sending.hearing.heard_until(call.now) > 0
    call.ring.ack(5 * RATE)
    call.reconnect()
    assert call.sending.hearing.heard_until(call.now) == 0
