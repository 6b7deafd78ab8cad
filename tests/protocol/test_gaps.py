"""What was lost is told once, by its samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream._core import AudioRing
from aai_stream.messages import AudioLost, SilenceSkipped
from aai_stream.protocol.events import Level, Note
from aai_stream.protocol.events import Told as Value
from aai_stream.protocol.gaps import LOG_SECONDS, TOO_LONG_AGO, Gaps
from tests.audio import next_chunk

RATE = 16_000
KEPT = RATE  # of a ring of one second
CHUNK = 800


class Told:
    """A ring of one second, its gaps, and what was told of them."""

    def __init__(self) -> None:
        self.ring = AudioRing(replay_seconds=1)
        self.values: list[Value] = []
        self.sent: list[tuple[int, int]] = []
        self.gaps = Gaps(self.ring, self.values)

    def write(self, samples: int) -> None:
        self.ring.write(bytes(2 * samples), RATE)
        self.gaps.look()

    def send(self, chunks: int) -> None:
        """Send so many chunks if they are there; as for a stream, after `look`."""
        while chunks and self.ring.written - self.ring.sent >= CHUNK:
            chunk = next_chunk(self.ring)
            self.sent.append((chunk.start, chunk.start + chunk.samples))
            chunks -= 1

    @property
    def events(self) -> list[AudioLost]:
        return [value for value in self.values if isinstance(value, AudioLost)]

    @property
    def notes(self) -> list[Note]:
        return [value for value in self.values if isinstance(value, Note)]

    @property
    def lost(self) -> list[tuple[int, int]]:
        return [(event.start_sample, event.end_sample) for event in self.events]


def test_nothing_is_told_while_nothing_is_lost() -> None:
    told = Told()
    for _ in range(5):
        told.write(KEPT)
        told.send(99)
    told.gaps.over()
    assert told.values == []


def test_one_stretch_is_told_when_audio_gets_through_again() -> None:
    told = Told()
    for _ in range(30):
        told.write(KEPT // 10)
    told.gaps.look()
    assert told.events == []
    told.send(1)
    assert told.events == []
    told.write(1)
    assert told.events == [
        AudioLost(
            start_sample=0,
            end_sample=2 * RATE,
            start_ms=0,
            end_ms=2000,
            why="it could not be sent in time",
        )
    ]
    told.write(1)
    told.gaps.over()
    assert len(told.events) == 1


def test_what_the_lost_session_got_is_not_among_it() -> None:
    told = Told()
    told.write(10 * CHUNK)
    told.send(10)
    told.ring.ack(10 * CHUNK)
    told.write(KEPT + 5 * CHUNK)
    told.gaps.over()
    assert told.lost == [(10 * CHUNK, 15 * CHUNK)]


def test_audio_that_came_through_between_parts_two_stretches() -> None:
    told = Told()
    told.write(KEPT + 160)
    told.send(5)
    told.write(5 * CHUNK + 320)
    told.gaps.over()
    told.gaps.over()
    assert told.lost == [(0, 160), (160 + 5 * CHUNK, 5 * CHUNK + 480)]


def test_over_ends_a_stretch() -> None:
    """For example because a new session begins."""
    told = Told()
    told.write(KEPT + 160)
    told.gaps.over()
    told.write(160)
    told.gaps.over()
    assert told.lost == [(0, 160), (160, 320)]


def test_a_socket_that_trickles_for_hours_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what got through long ago, without a final, is lost in the end."""
    monkeypatch.setattr("aai_stream.protocol.gaps.MOST_STRETCHES", 5)
    told = Told()
    told.write(KEPT)
    for _ in range(50):
        told.send(1)
        told.write(CHUNK + 160)
        told.write(1)
    told.gaps.over()
    # All but five were joined to the one behind them, and what lay between told.
    joined = [event.why for event in told.events].count(TOO_LONG_AGO)
    assert joined == len(told.events) - joined - 5 > 0
    told.gaps.forgotten()
    position = 0
    for start, end in sorted(told.lost):
        assert start == position
        position = end
    assert position == told.ring.acked


def test_any_span_can_be_reported() -> None:
    told = Told()
    told.gaps.report(800, 2416, "it was too long ago")
    (event,) = told.events
    assert (event.start_ms, event.end_ms) == (50, 151)
    assert (event.start_sample, event.end_sample) == (800, 2416)
    assert event.why == "it was too long ago"


def test_what_is_covered_is_not_told_when_a_session_is_lost() -> None:
    told = Told()
    told.write(10 * CHUNK)
    told.send(10)
    told.gaps.cover(4 * CHUNK)
    told.gaps.forgotten()  # the rest can be sent again
    assert told.values == []
    told.write(KEPT)
    told.send(99)
    told.write(6 * CHUNK)
    told.gaps.forgotten()
    (event,) = told.events
    assert told.lost == [(4 * CHUNK, told.ring.acked)]
    assert event.why == TOO_LONG_AGO
    told.gaps.forgotten()
    assert len(told.events) == 1


def test_what_the_present_session_alone_has_heard_is_a_hole() -> None:
    told = Told()
    told.write(10 * CHUNK)
    told.send(10)
    assert not told.gaps.has_hole  # it can be sent again
    told.write(KEPT - 6 * CHUNK)
    assert told.gaps.has_hole
    told.gaps.cover(told.ring.acked)
    assert not told.gaps.has_hole
    assert told.values == []


def test_all_that_is_not_covered_is_told_when_the_stream_fails() -> None:
    told = Told()
    told.write(10 * CHUNK)
    told.send(10)
    told.gaps.cover(4 * CHUNK)
    told.write(KEPT)
    told.send(5)
    told.write(8 * CHUNK)
    told.gaps.failed()
    assert [(e.start_sample, e.end_sample, e.why) for e in told.events] == [
        (15 * CHUNK, 18 * CHUNK, "it could not be sent in time"),
        (4 * CHUNK, 15 * CHUNK, TOO_LONG_AGO),
        (18 * CHUNK, 38 * CHUNK, "the stream failed"),
    ]


def test_nothing_is_lost_where_all_is_covered() -> None:
    told = Told()
    told.write(10 * CHUNK)
    told.send(10)
    told.gaps.cover(10 * CHUNK)
    told.gaps.failed()
    assert told.values == []


def test_silence_that_was_skipped() -> None:
    told = Told()
    told.gaps.skipped(800, 800)
    assert told.values == []
    told.gaps.skipped(800, 2416)
    assert told.values == [
        SilenceSkipped(start_sample=800, end_sample=2416, start_ms=50, end_ms=151)
    ]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(1, 3 * KEPT)),
            st.tuples(st.just("send"), st.integers(1, 40)),
            st.tuples(st.just("over"), st.just(0)),
        ),
        max_size=30,
    )
)
def test_every_sample_is_sent_told_or_still_there(steps: list[tuple[str, int]]) -> None:
    told = Told()
    for step, count in steps:
        if step == "write":
            told.write(count)
        elif step == "send":
            told.send(count)
        else:
            told.gaps.over()
        assert told.lost == sorted(told.lost)
    told.gaps.over()
    spans = sorted([*told.sent, *told.lost, (told.ring.sent, told.ring.written)])
    position = 0
    for start, end in spans:
        assert start == position
        position = end
    assert position == told.ring.written


def test_an_incident_is_noted_once() -> None:
    told = Told()
    for _ in range(100):
        told.write(RATE // 2)
    text = "audio is being lost: 1.0 s of it wait to be sent"
    assert told.values == [Note(Level.WARNING, text)]


@pytest.mark.parametrize(("seconds", "count"), [(LOG_SECONDS, 1), (LOG_SECONDS + 1, 2)])
def test_a_loss_much_later_is_another_incident(seconds: int, count: int) -> None:
    told = Told()
    told.write(KEPT + CHUNK)
    for _ in range(seconds - 1):
        told.send(99)
        told.write(RATE)
    told.write(RATE)  # of which nothing was sent
    assert len(told.notes) == count
