"""From session time to stream time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aai_stream._core import AudioRing, Timeline

RATE = 16_000


def silence(ms: int) -> bytes:
    return bytes(2 * RATE * ms // 1000)


def test_a_first_session_has_the_stream_s_time() -> None:
    ring, timeline = AudioRing(), Timeline(RATE)
    ring.write(silence(200), RATE)
    while (chunk := ring.next_chunk()) is not None:
        timeline.sent(chunk, 0.0)
    assert [timeline.to_stream_ms(ms) for ms in (0, 1, 199, 500)] == [0, 1, 199, 500]
    assert (timeline.samples, timeline.sent_ms) == (3200, 200)
    assert timeline.is_stream_time


def test_a_session_that_begins_late_is_moved() -> None:
    ring, timeline = AudioRing(), Timeline(RATE)
    ring.write(silence(300), RATE)
    for _ in range(6):
        ring.next_chunk()
    ring.rewind(RATE * 200 // 1000)
    while (chunk := ring.next_chunk()) is not None:
        timeline.sent(chunk, 0.0)
    assert timeline.to_stream_ms(0) == 200
    assert timeline.to_stream_ms(70) == 270
    assert [timeline.end_to_stream_ms(ms) for ms in (0, 70)] == [200, 270]
    assert not timeline.is_stream_time
    assert timeline.sent_ms == 100  # by this session's count


def test_padding_takes_no_stream_time() -> None:
    ring, timeline = AudioRing(), Timeline(RATE)
    ring.write(silence(60), RATE)
    for chunk in ring.flush():  # 50 ms, then 10 ms and 40 ms of padding
        timeline.sent(chunk, 0.0)
    ring.write(silence(50), RATE)
    for chunk in ring.flush():
        timeline.sent(chunk, 0.0)
    assert timeline.samples == RATE * 150 // 1000
    assert timeline.sent_ms == 150
    assert not timeline.is_stream_time
    assert [timeline.to_stream_ms(ms) for ms in (59, 60, 80, 100, 101, 150)] == [
        59,
        60,
        60,
        60,
        61,
        110,
    ]


def test_a_part_of_a_ms_counts_for_what_was_before_it() -> None:
    ring, timeline = AudioRing(), Timeline(RATE)
    ring.write(bytes(20), RATE)  # ten samples, and 790 of padding
    for chunk in ring.flush():
        timeline.sent(chunk, 0.0)
    assert [timeline.to_stream_ms(ms) for ms in (0, 50, 51)] == [0, 0, 1]


def test_audio_that_was_left_out_takes_stream_time() -> None:
    ring, timeline = AudioRing(replay_seconds=1), Timeline(RATE)
    ring.write(silence(50), RATE)
    for chunk in ring.flush():
        timeline.sent(chunk, 0.0)
    ring.write(silence(2000), RATE)  # the ring keeps the last second of it
    timeline.sent(ring.flush()[0], 0.0)
    assert timeline.to_stream_ms(49) == 49
    assert timeline.to_stream_ms(50) == 1050
    # What ends there ends before it.
    assert [timeline.end_to_stream_ms(ms) for ms in (49, 50, 51)] == [49, 50, 1051]


@given(
    st.lists(st.tuples(st.integers(1, 400), st.booleans()), min_size=1, max_size=12),
    st.lists(st.integers(0, 5000), min_size=2, max_size=10),
)
def test_stream_time_never_runs_backwards(
    pushes: list[tuple[int, bool]], times: list[int]
) -> None:
    ring, timeline = AudioRing(), Timeline(RATE)
    for ms, flush in pushes:
        ring.write(silence(ms), RATE)
        chunks = ring.flush() if flush else iter(ring.next_chunk, None)
        for chunk in chunks:
            assert chunk is not None
            timeline.sent(chunk, 0.0)
    moved = [timeline.to_stream_ms(ms) for ms in sorted(times)]
    assert moved == sorted(moved)
    ends = [timeline.end_to_stream_ms(ms) for ms in sorted(times)]
    assert ends == sorted(ends)
    assert all(end <= start for end, start in zip(ends, moved, strict=True))
    assert timeline.sent_ms == timeline.samples * 1000 // RATE
    assert abs(timeline.to_stream_ms(timeline.sent_ms) - ring.sent * 1000 // RATE) <= 1
