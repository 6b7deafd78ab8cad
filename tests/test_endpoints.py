"""Endpoints are forced once, in order, where the audio has come to."""

from __future__ import annotations

from aai_stream.protocol.sending import Endpoints


def test_one_waits_until_its_audio_is_sent() -> None:
    endpoints = Endpoints()
    endpoints.add(1000, sent=0)
    assert not endpoints.force(sent=999, acked=0)
    assert endpoints.force(sent=1200, acked=0)
    assert not endpoints.force(sent=1200, acked=0)


def test_none_is_before_an_earlier_one() -> None:
    endpoints = Endpoints()
    endpoints.add(1000, sent=0)
    endpoints.add(900, sent=0)
    endpoints.add(1100, sent=0)
    assert list(endpoints.waiting) == [1000, 1100]


def test_those_that_nobody_was_told_are_one() -> None:
    """Without a session, for hours, it must not become more."""
    endpoints = Endpoints()
    for at in range(1000, 100_000, 10):
        endpoints.add(at, sent=at - 500)
        endpoints.add(at, sent=at - 500)
    assert len(endpoints.waiting) <= 51
    assert endpoints.waiting[0] <= 99_490 <= endpoints.waiting[1]


def test_those_at_one_place_are_remembered_once() -> None:
    endpoints = Endpoints()
    for _ in range(100):
        endpoints.add(1000, sent=1000)
        assert endpoints.force(sent=1000, acked=0)
    endpoints.restart(acked=0)
    assert list(endpoints.waiting) == [1000]


def test_each_final_ends_at_the_end_that_was_forced_for_it() -> None:
    endpoints = Endpoints()
    for at in (1000, 2000, 3000):
        endpoints.add(at, sent=at)
        assert endpoints.force(sent=at + 100, acked=0)
    assert endpoints.forced_behind(900) == 1100
    assert endpoints.forced_behind(1100) == 1100
    assert endpoints.forced_behind(1101) == 2100
    assert endpoints.forced_behind(3101) is None


def test_what_has_its_final_is_forgotten() -> None:
    endpoints = Endpoints()
    for at in range(1000, 100_000, 1000):
        endpoints.add(at, sent=at)
        endpoints.force(sent=at, acked=at - 1000)
    assert len(endpoints._forced) == 1


def test_another_session_is_asked_for_what_has_no_final() -> None:
    endpoints = Endpoints()
    for at in (1000, 2000, 3000):
        endpoints.add(at, sent=at)
        endpoints.force(sent=at, acked=0)
    endpoints.add(5000, sent=3000)
    endpoints.restart(acked=1000)
    assert list(endpoints.waiting) == [2000, 3000, 5000]
    assert endpoints.forced_behind(500) is None
