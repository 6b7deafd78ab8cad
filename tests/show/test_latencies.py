from __future__ import annotations

import pytest

from aai_stream.recorder.format import Decided, Entries, Pushed, Sent
from aai_stream.show.clock import Clock
from aai_stream.show.latencies import Latencies, Spread, latencies, spread
from aai_stream.show.sessions import Sessions
from aai_stream.show.turns import heard
from tests.show.calls import BEGAN, RATE, entries


def of(made: list[Entries], rate: int) -> Latencies:
    clock = Clock(made, rate, BEGAN)
    return latencies(made, clock, Sessions(made, clock).all, heard(made, clock).turns)


def close(found: Spread | None, *expected: float) -> None:
    assert found is not None
    values = (found.count, found.median, found.p95, found.most)
    assert values == pytest.approx(expected, abs=0.0005)


def test_of_the_call() -> None:
    found = of(entries(), RATE)
    close(found.connect, 2, 0.21, 0.21, 0.21)
    close(found.begin, 2, 0.43, 0.43, 0.43)
    assert found.final is not None
    assert found.final.most == pytest.approx(2.059, abs=0.001)
    assert found.sent is not None
    assert found.sent.count == 18_200 / 50  # what is sent again isn't in it
    assert found.sent.median == pytest.approx(0.002, abs=0.0001)


def test_most_waits_when_the_second_session_begins() -> None:
    found = of(entries(), RATE)
    assert found.behind_at is not None
    assert found.behind_at.unix == pytest.approx(BEGAN + 13.541)
    assert found.behind == pytest.approx(12.9 - 9.3, abs=0.001)


def test_a_chunk_is_late_by_when_its_last_sample_was_pushed() -> None:
    made: list[Entries] = [
        Pushed(unix=10.0, stream_ms=0, pushes=[(50, 0), (100, 50_000)]),
        Sent(
            unix=10.06,
            stream_ms=0,
            session=1,
            chunks=[(0, 60, 0, 0), (60, 40, 0, 40_000)],
        ),
        Sent(unix=11.0, stream_ms=0, session=2, chunks=[(20, 80, 0, 0)]),  # again
        Sent(unix=11.5, stream_ms=0, session=2, chunks=[(100, 0, 50, 0)]),  # padding
    ]
    close(of(made, 1000).sent, 2, 0.03, 0.048, 0.05)


def test_nothing_is_late_where_nothing_is_sent() -> None:
    found = of([], 1000)
    assert [each for _, each in found.named()] == [None] * 4
    assert (found.behind, found.behind_at) == (0, None)


def test_audio_waits_from_where_a_session_resumes() -> None:
    fields = {"session": "x", "sample": 400, "sent": 900, "after": "w"}
    made: list[Entries] = [
        Pushed(unix=10.0, stream_ms=0, pushes=[(1000, 0)]),
        Sent(unix=10.0, stream_ms=0, session=1, chunks=[(0, 900, 0, 0)]),
        Decided(unix=11.0, stream_ms=0, what="Resumed", fields=fields, session=2),
    ]
    found = of(made, 1000)
    assert found.behind == pytest.approx(0.6)
    assert found.behind_at is not None
    assert found.behind_at.unix == 11.0


def test_a_spread() -> None:
    assert spread([]) is None
    close(spread([3.0]), 1, 3, 3, 3)
    close(spread([float(i) for i in range(101)]), 101, 50, 95, 100)
