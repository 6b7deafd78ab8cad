from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest

from aai_stream.recorder.format import Decided, Entries, Opening, Sent
from aai_stream.show.clock import Clock, Instant
from aai_stream.show.sessions import Outage, Session, Sessions, outages
from tests.show.calls import BEGAN, RATE, entries

RATES = 1000


def sessions(made: list[Entries], rate: int = RATE) -> list[Session]:
    return Sessions(made, Clock(made, rate, BEGAN)).all


def test_what_became_of_each() -> None:
    first, second = sessions(entries())
    assert (first.number, first.id, first.outcome) == (1, "aaaa-1", "lost")
    assert (first.why, first.code) == ("the connection was reset", 1006)
    assert first.is_lost
    assert (second.number, second.id, second.outcome) == (2, "bbbb-2", "ended")
    assert (second.why, second.code, second.is_lost) == ("", 1000, False)
    assert first.model == second.model == "u3-rt-pro"
    assert first.query["sample_rate"] == "16000"


def test_when_it_was_so() -> None:
    _, second = sessions(entries())
    moments = [second.asked_at, second.connected_at, second.began_at]
    unix = [moment.unix - BEGAN for moment in moments if moment is not None]
    assert unix == pytest.approx([13.111, 13.321, 13.541])
    assert second.asked_at.ms == pytest.approx(12_511, abs=1)


def test_what_is_sent_again_is_apart() -> None:
    first, second = sessions(entries())
    assert (first.sent, first.replayed) == ([(0, 12_000)], [])
    assert second.replayed == [(9_800, 12_000)]
    assert second.sent == [(12_000, 18_200)]
    assert (first.resumed_ms, first.after) == (0, None)
    assert (second.resumed_ms, second.after) == (9_300, 1)


def sent(session: int, *chunks: tuple[int, int]) -> Sent:
    made = [(start, samples, 7, 0) for start, samples in chunks]
    return Sent(unix=BEGAN, stream_ms=0, session=session, chunks=made)


def test_a_chunk_may_be_half_new_and_may_leave_audio_out() -> None:
    made: list[Entries] = [
        sent(1, (0, 50), (50, 50)),
        sent(2, (80, 50), (200, 50)),
        sent(2, (250, 50)),
    ]
    first, second = sessions(made, RATES)
    assert first.sent == [(0, 100)]
    assert second.replayed == [(80, 100)]
    assert second.sent == [(100, 130), (200, 300)]


def test_padding_alone_is_no_audio() -> None:
    (only,) = sessions([sent(1, (100, 0))], RATES)
    assert (only.sent, only.replayed) == ([], [])


def test_one_that_is_not_opened_has_no_name() -> None:
    fields = {"session": "", "outcome": "not_opened", "failure": {"text": "HTTP 503"}}
    made: list[Entries] = [
        Opening(unix=BEGAN, stream_ms=0, session=1, query={}),
        Decided(unix=BEGAN + 1, stream_ms=0, what="Over", fields=fields, session=1),
    ]
    (only,) = sessions(made)
    assert (only.id, only.outcome, only.why) == ("", "not_opened", "HTTP 503")
    assert only.is_lost
    assert only.began_at is None


def test_a_decision_is_found_by_the_name_of_its_session() -> None:
    nameless = [
        msgspec.structs.replace(entry, session=None)
        if isinstance(entry, Decided)
        else entry
        for entry in entries()
    ]
    assert sessions(nameless) == sessions(entries())


def lived(began: float | None, over: float | None, outcome: str) -> Session:
    def at(unix: float | None) -> Instant | None:
        return None if unix is None else Instant(unix, 1000 * unix)

    asked = Instant(0.0, 0.0)
    return Session(
        1, {}, asked, asked, began_at=at(began), over_at=at(over), outcome=outcome
    )


def spans(found: list[Outage]) -> Iterator[tuple[float, float]]:
    return ((outage.start.unix, outage.end.unix) for outage in found)


@pytest.mark.parametrize(
    ("lives", "expected"),
    [
        ([], []),
        ([(1, 9, "ended")], []),
        ([(1, 9, "lost")], [(9, 20)]),  # and the call goes on without one
        ([(1, None, "")], []),
        ([(1, 9, "lost"), (11, 20, "ended")], [(9, 11)]),
        ([(1, 9, "lost"), (8, 20, "ended")], []),  # one was on standby
        ([(1, 9, "replaced"), (8, 20, "ended")], []),
        ([(1, 9, "ended"), (15, 20, "ended")], []),  # it was parked
        ([(1, 9, "lost"), (None, 10, "not_opened"), (12, 20, "ended")], [(9, 12)]),
        ([(1, 15, "ended"), (2, 9, "lost"), (17, 20, "ended")], []),
        ([(1, 4, "lost"), (5, 8, "lost"), (10, 20, "ended")], [(4, 5), (8, 10)]),
    ],
)
def test_an_outage_is_where_no_session_is_open(
    lives: list[tuple[float | None, float | None, str]],
    expected: list[tuple[float, float]],
) -> None:
    found = outages([lived(*life) for life in lives], Instant(20.0, 20_000.0))
    assert list(spans(found)) == expected
    assert [outage.seconds for outage in found] == [b - a for a, b in expected]


def test_the_calls_outage_is_between_its_sessions() -> None:
    first, second = sessions(entries())
    (found,) = outages([first, second], second.heard_at)
    assert (found.start, found.end) == (first.over_at, second.began_at)
    assert all(a.asked_at.unix < b.asked_at.unix for a, b in pairwise((first, second)))
