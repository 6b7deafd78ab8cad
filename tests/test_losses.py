"""What was lost is told once, by its samples."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream._core import AudioRing
from aai_stream.messages import AudioLost
from aai_stream.protocol.gaps import LOG_SECONDS, Losses
from tests.audio import next_chunk

RATE = 16_000
KEPT = RATE  # of a ring of one second
CHUNK = 800


class Told:
    """A ring of one second, its losses, and what was told of them."""

    def __init__(self) -> None:
        self.ring = AudioRing(replay_seconds=1)
        self.events: list[AudioLost] = []
        self.sent: list[tuple[int, int]] = []
        self.losses = Losses(self.ring, self.events.append)  # type: ignore[arg-type]

    def write(self, samples: int) -> None:
        self.ring.write(bytes(2 * samples), RATE)
        self.losses.look()

    def send(self, chunks: int) -> None:
        """Send so many chunks if they are there, as `Feed.push` does: after `look`."""
        while chunks and self.ring.written - self.ring.sent >= CHUNK:
            chunk = next_chunk(self.ring)
            self.sent.append((chunk.start, chunk.start + chunk.samples))
            chunks -= 1

    @property
    def lost(self) -> list[tuple[int, int]]:
        return [(event.start_sample, event.end_sample) for event in self.events]


def test_nothing_is_told_while_nothing_is_lost() -> None:
    told = Told()
    for _ in range(5):
        told.write(KEPT)
        told.send(99)
    told.losses.over()
    assert told.events == []


def test_one_stretch_is_told_when_audio_gets_through_again() -> None:
    told = Told()
    for _ in range(30):
        told.write(KEPT // 10)
    told.losses.look()
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
    told.losses.over()
    assert len(told.events) == 1


def test_what_the_lost_session_got_is_not_among_it() -> None:
    told = Told()
    told.write(10 * CHUNK)
    told.send(10)
    told.ring.ack(10 * CHUNK)
    told.write(KEPT + 5 * CHUNK)
    told.losses.over()
    assert told.lost == [(10 * CHUNK, 15 * CHUNK)]


def test_audio_that_came_through_between_parts_two_stretches() -> None:
    told = Told()
    told.write(KEPT + 160)
    told.send(5)
    told.write(5 * CHUNK + 320)
    told.losses.over()
    told.losses.over()
    assert told.lost == [(0, 160), (160 + 5 * CHUNK, 5 * CHUNK + 480)]


def test_over_ends_a_stretch() -> None:
    """For example because a new session begins."""
    told = Told()
    told.write(KEPT + 160)
    told.losses.over()
    told.write(160)
    told.losses.over()
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
    assert len(told.losses._told) <= 5
    told.losses.over()
    told.losses.forgotten()
    position = 0
    for start, end in sorted(told.lost):
        assert start == position
        position = end
    assert position == told.ring.acked


def test_any_span_can_be_reported() -> None:
    told = Told()
    told.losses.report(800, 2416, "it was too long ago")
    (event,) = told.events
    assert (event.start_ms, event.end_ms) == (50, 151)
    assert (event.start_sample, event.end_sample) == (800, 2416)
    assert event.why == "it was too long ago"


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
            told.losses.over()
        assert told.lost == sorted(told.lost)
    told.losses.over()
    spans = sorted([*told.sent, *told.lost, (told.ring.sent, told.ring.written)])
    position = 0
    for start, end in spans:
        assert start == position
        position = end
    assert position == told.ring.written


def test_an_incident_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    for _ in range(100):
        told.write(RATE // 2)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages == ["audio is being lost: 1.0 s of it wait to be sent"]


@pytest.mark.parametrize(("seconds", "count"), [(LOG_SECONDS, 1), (LOG_SECONDS + 1, 2)])
def test_a_loss_much_later_is_another_incident(
    seconds: int, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    told.write(KEPT + CHUNK)
    for _ in range(seconds - 1):
        told.send(99)
        told.write(RATE)
    told.write(RATE)  # of which nothing was sent
    assert len(caplog.records) == count
