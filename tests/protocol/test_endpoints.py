"""Endpoints are forced once, in order, where the audio has come to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aai_stream.protocol.sending import Endpoints
from tests.protocol.test_sending import CHUNK, ENDPOINT, Call, chunks


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
    endpoints.restart(acked=0)
    assert list(endpoints.waiting) == [99_000]


def test_another_session_is_asked_for_what_has_no_final() -> None:
    endpoints = Endpoints()
    for at in (1000, 2000, 3000):
        endpoints.add(at, sent=at)
        endpoints.force(sent=at, acked=0)
    endpoints.add(5000, sent=3000)
    endpoints.restart(acked=1000)
    assert list(endpoints.waiting) == [2000, 3000, 5000]
    assert endpoints.forced_behind(500) is None


# ---- in what is sent ----


def test_an_endpoint_with_nothing_before_it_goes_at_once() -> None:
    call = Call()
    call.connect()
    assert call.force_endpoint(flush=False) == [ENDPOINT]
    assert call.force_endpoint(flush=True) == [ENDPOINT, ENDPOINT]


def test_a_tail_is_in_the_next_turn_unless_it_is_flushed() -> None:
    for flush, tail in ((False, []), (True, [(CHUNK, 100, CHUNK - 100)])):
        call = Call()
        call.connect()
        call.write(CHUNK + 100)
        call.pump()
        assert call.force_endpoint(flush=flush) == [(0, CHUNK, 0), *tail, ENDPOINT]


def test_what_the_resampler_holds_is_before_it() -> None:
    call = Call()
    call.connect()
    call.ring.write(bytes(2 * 1220), 24_000)
    assert call.pump() == []
    assert call.force_endpoint(flush=True) == [
        (0, CHUNK, 0),
        (CHUNK, 13, CHUNK - 13),
        ENDPOINT,
    ]


def test_an_endpoint_waits_for_what_a_full_socket_keeps_back() -> None:
    call = Call()
    call.room = 2
    call.connect()
    call.write(4 * CHUNK)
    call.pump()
    call.force_endpoint(flush=False)
    call.write(2 * CHUNK)
    assert call.pump() == chunks(0, 2 * CHUNK)
    call.room = 9
    assert call.pump() == [
        *chunks(0, 4 * CHUNK),
        ENDPOINT,
        *chunks(4 * CHUNK, 6 * CHUNK),
    ]


def test_an_endpoint_waits_for_the_pace_but_for_no_longer() -> None:
    call = Call(2)
    call.connect()
    for _ in range(30):
        call.write(CHUNK)
        call.pump()
    waiting = 30 - len(call.got)
    assert waiting > 0
    call.force_endpoint(flush=False)
    for _ in range(waiting):
        assert ENDPOINT not in call.got
        call.now = call.sending.due
        call.pump()
    assert call.got == [*chunks(0, 30 * CHUNK), ENDPOINT]


def test_an_endpoint_while_there_is_no_session_is_told_to_the_next() -> None:
    call = Call()
    call.write(3 * CHUNK)
    call.force_endpoint(flush=False)
    call.write(CHUNK)
    call.connect()
    assert call.pump() == [*chunks(0, 3 * CHUNK), ENDPOINT, *chunks(2400, 3200)]


def test_an_endpoint_off_the_new_session_s_grid_takes_its_audio_along() -> None:
    """The replay may begin anywhere, so that chunks no longer end at the endpoint."""
    call = Call()
    call.connect()
    call.write(3 * CHUNK)
    call.pump()
    call.sending.disconnect()
    call.force_endpoint(flush=False)
    call.ring.ack(100)
    call.reconnect()
    assert call.pump() == [
        (100, CHUNK, 0),
        (900, CHUNK, 0),
        (1700, 700, 100),
        ENDPOINT,
    ]


def test_an_endpoint_where_the_longer_first_chunk_ends() -> None:
    """What a filter holds back makes the first chunk a longer one."""
    call = Call()
    for _ in range(3):
        call.ring.write(bytes(2400), 24_000)
    first = 2 * CHUNK - (3 * CHUNK - call.ring.written)
    call.force_endpoint(flush=False)
    call.ring.write(bytes(480), 24_000)
    call.force_endpoint(flush=False)
    call.ring.write(bytes(1920), 24_000)
    call.connect()
    assert call.pump() == [
        (0, first, 0),
        (first, CHUNK, 0),
        ENDPOINT,  # for both
        (first + CHUNK, CHUNK, 0),
    ]


def test_an_endpoint_whose_audio_was_all_heard_before() -> None:
    call = Call()
    call.connect()
    call.write(CHUNK)
    call.pump()
    call.ring.ack(CHUNK)
    call.sending.disconnect()
    call.force_endpoint(flush=False)
    call.write(CHUNK)
    call.reconnect()
    assert call.pump() == [ENDPOINT, (CHUNK, CHUNK, 0)]


def test_an_endpoint_that_has_no_final_is_asked_for_again() -> None:
    call = Call()
    call.connect()
    call.write(2 * CHUNK)
    call.pump()
    call.force_endpoint(flush=False)
    call.write(CHUNK)
    call.pump()
    call.reconnect()
    assert call.pump() == [*chunks(0, 2 * CHUNK), ENDPOINT, *chunks(1600, 2400)]


def test_where_the_last_turn_was_ended() -> None:
    call = Call()
    call.connect()
    assert call.sending.endpoints.forced_behind(0) is None
    call.write(2 * CHUNK)
    call.pump()
    call.force_endpoint(flush=False)
    assert call.sending.endpoints.forced_behind(0) == 2 * CHUNK


steps = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 3 * CHUNK)),
    st.tuples(st.just("endpoint"), st.just(0)),
    st.tuples(st.just("endpoint, flushed"), st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, 3 * CHUNK)),
)


@given(st.lists(steps, max_size=20))
def test_every_endpoint_comes_right_behind_its_audio(
    what: list[tuple[str, int]],
) -> None:
    """Of a stream that has no session now and then.

    `wanted` has the first and the last sample at which each may be told.
    """
    call = Call()
    call.connect()
    wanted: list[tuple[int, int]] = []
    told: list[int] = []
    begin = 0  # of the present session

    def collect() -> None:
        position = begin
        for item in call.got:
            if isinstance(item, str):
                told.append(position)
            else:
                position = item[0] + item[1]

    connected = True
    for step, count in what:
        if step == "write":
            call.write(count)
            call.pump()
        elif step == "cut" and connected:
            collect()
            call.sending.disconnect()
            call.ring.ack(max(call.ring.acked, call.ring.sent - count))
            # What the lost session was asked and had not covered is asked again.
            again = sum(at > call.ring.acked for at in told)
            del told[len(told) - again :]
            connected = False
        elif step == "cut":
            begin = call.ring.acked
            call.reconnect()
            call.pump()
            connected = True
        else:
            flush = step == "endpoint, flushed"
            low = call.ring.written
            wanted.append((low if flush else low - CHUNK + 1, low + CHUNK))
            call.force_endpoint(flush=flush)
    if not connected:
        begin = call.ring.acked
        call.reconnect()
        call.pump()
    collect()
    # Two at one place, with nobody to tell meanwhile, are one.
    assert len(told) <= len(wanted)
    covered = call.ring.acked
    assert all(
        low <= covered or any(low <= at <= high for at in told) for low, high in wanted
    )
    assert all(any(low <= at <= high for low, high in wanted) for at in told)
