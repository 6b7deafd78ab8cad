"""From the ring to a session: pace, room, and endpoints in their places."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream import outlet as outlet_module
from aai_stream._core import AudioRing, Chunk
from aai_stream.errors import OptionError
from aai_stream.messages import SilenceSkipped
from aai_stream.protocol.coverage import LEAD_SECONDS, OVERDUE_SECONDS, Coverage
from aai_stream.protocol.hearing import KEPT_SECONDS, SETTLED_SECONDS, Hearing
from aai_stream.protocol.pace import Pacer
from aai_stream.protocol.sending import Outlet
from aai_stream.protocol.session import Session
from tests.audio import speech
from tests.servers import until, within

RATE = 16_000
CHUNK = 800
ENDPOINT = "endpoint"


class FakeSession:
    """Keeps the (start, samples, padding) of its audio, and ENDPOINT in between."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.room = 10**9  # chunks that the socket takes
        self.looked = 0
        self.finals = SimpleNamespace(is_idle=True, overdue=lambda: None)
        self.silent_seconds = 0.0

    @property
    def writable(self) -> bool:
        self.looked += 1
        return self.room > 0

    def send_audio(self, chunk: Chunk) -> None:
        self.room -= 1
        self.got.append((chunk.start, chunk.samples, chunk.padding))

    def force_endpoint(self) -> None:
        self.got.append(ENDPOINT)

    @property
    def end(self) -> int:
        """How far it has heard the stream."""
        audio = [item for item in self.got if item != ENDPOINT]
        return audio[-1][0] + audio[-1][1] if audio else 0


class Fixture:
    def __init__(self, rate: float = math.inf, *, skip_silence: bool = True) -> None:
        self.ring = AudioRing(replay_seconds=600)
        self.told: list[object] = []
        self.coverage = Coverage(self.ring, self.told.append)
        self.outlet = Outlet(self.ring, rate, self.coverage, skip_silence=skip_silence)
        self.session = FakeSession()

    def write(self, samples: int) -> None:
        self.ring.write(bytes(2 * samples), RATE)

    def connect(self, session: FakeSession | None = None) -> None:
        self.outlet.connect(cast(Session, session or self.session))

    def reconnect(self) -> FakeSession:
        """A new session, from the first sample on that is not covered."""
        self.session = FakeSession()
        self.ring.rewind(self.ring.acked)
        self.connect()
        return self.session


def chunks(first: int, end: int) -> list[tuple[int, int, int]]:
    return [(start, CHUNK, 0) for start in range(first, end, CHUNK)]


# ---- audio ----


@pytest.mark.parametrize("rate", [1, 0.5, math.nan, "2"])
def test_a_pace_that_could_not_keep_up(rate: Any) -> None:
    ring = AudioRing()
    with pytest.raises(OptionError, match="catch_up_rate"):
        Outlet(ring, rate, Coverage(ring, print))


async def test_nothing_is_sent_to_nobody() -> None:
    f = Fixture()
    f.write(3 * CHUNK)
    f.outlet.pump()
    f.outlet.flush()
    assert f.ring.sent == 0
    assert f.outlet.has_backlog
    await within(1, f.outlet.drain())


async def test_what_waited_is_sent_on_connecting_and_the_rest_at_once() -> None:
    f = Fixture()
    f.write(2 * CHUNK + 100)
    f.connect()
    assert f.session.got == chunks(0, 2 * CHUNK)
    assert not f.outlet.has_backlog
    f.write(CHUNK)
    f.outlet.pump()
    assert f.session.got == chunks(0, 3 * CHUNK)
    await within(1, f.outlet.drain())


async def test_a_tail_is_padded_when_it_is_flushed() -> None:
    f = Fixture()
    f.connect()
    f.write(CHUNK + 100)
    f.outlet.flush()
    assert f.session.got == [(0, CHUNK, 0), (CHUNK, 100, CHUNK - 100)]
    f.outlet.flush()
    assert len(f.session.got) == 2


async def test_a_full_socket_is_tried_again_until_it_takes_more() -> None:
    f = Fixture()
    f.session.room = 2
    f.write(5 * CHUNK + 100)
    f.connect()
    draining = asyncio.ensure_future(f.outlet.drain())
    f.outlet.flush()  # must not throw at the socket what it can't take
    looked = f.session.looked
    await until(lambda: f.session.looked > looked)
    assert f.session.got == chunks(0, 2 * CHUNK)
    assert not draining.done()
    f.session.room = 9
    await within(1, draining)
    assert f.session.got == chunks(0, 5 * CHUNK)


async def test_the_pace_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    f = Fixture(2)
    f.outlet.pacer = Pacer(2, RATE, lambda: now)
    f.session.finals.is_idle = False  # or else silence would be left out
    later: list[tuple[float, Callable[[], None]]] = []

    def call_later(seconds: float, call: Callable[[], None]) -> object:
        later.append((seconds, call))
        return later

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    f.write(60 * RATE)
    f.connect()
    # A second of audio at once, then one chunk a timer.
    burst = f.session.end
    assert abs(burst - RATE) <= CHUNK
    for _ in range(40):
        ((seconds, call),) = later
        later.clear()
        now += seconds
        call()
    assert f.session.end == burst + 40 * CHUNK
    assert now == pytest.approx(1, abs=0.03)
    f.outlet.pump()
    assert len(later) == 1  # one timer, not one more for each call
    before = f.session.end
    now += 10  # what wasn't used is not saved up
    f.outlet.pump()
    assert abs(f.session.end - before - RATE) <= CHUNK


async def test_disconnecting_wakes_who_drains_and_leaves_no_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def call_later(*args: Any) -> asyncio.TimerHandle:
        timers.append(later(*args))
        return timers[-1]

    f = Fixture()
    f.session.room = 0
    f.write(5 * CHUNK)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_later", call_later)
        f.connect()
    draining = asyncio.ensure_future(f.outlet.drain())
    for _ in range(3):
        await asyncio.sleep(0)
    f.outlet.disconnect()
    await within(1, draining)
    assert [timer.cancelled() for timer in timers] == [True]
    f.session.room = 9
    f.outlet.pump()
    assert f.session.got == []


async def test_the_next_session_is_not_held_up_by_the_one_before() -> None:
    f = Fixture()
    f.session.room = 0
    f.write(5 * CHUNK)
    f.connect()
    f.outlet.disconnect()
    assert f.reconnect().got == chunks(0, 5 * CHUNK)


@pytest.mark.parametrize("idle", [True, False])
async def test_silence_is_let_go_of_while_no_turn_is_open(
    idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(
        outlet_module, "Hearing", lambda rate: Hearing(rate, lambda: now)
    )
    f = Fixture()
    f.session.finals.is_idle = idle
    f.connect()
    for _ in range(20):
        f.write(RATE)
        f.outlet.pump()
        now += 1
    kept = (f.ring.sent - f.ring.acked) / RATE
    if idle:  # what has settled is known by the second
        assert 0 <= kept - SETTLED_SECONDS - KEPT_SECONDS < 1
    else:
        assert kept == 20
    # Of a server that has said nothing meanwhile, nothing is known.
    acked = f.ring.acked
    f.session.silent_seconds = 4.0
    for _ in range(4):
        f.write(RATE)
        f.outlet.pump()
        now += 1
        f.session.silent_seconds += 1
        assert f.ring.acked == acked
    # To the next session all of it is new.
    f.reconnect()
    assert f.session.got[0][0] == acked
    f.write(RATE)
    f.outlet.pump()
    assert f.ring.acked == acked


class Call(Fixture):
    """One whose clock passes as audio is written, live."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, skip_silence: bool = True
    ) -> None:
        self.now = 0.0
        for name, kind in (("Hearing", Hearing), ("Pacer", Pacer)):
            replaced = partial(kind, clock=lambda: self.now)
            monkeypatch.setattr(outlet_module, name, replaced)
        super().__init__(rate=1.25, skip_silence=skip_silence)
        self.outlet._pump_later = lambda seconds: None  # type: ignore[method-assign]

    def live(self, seconds: float, peak: float = 0) -> None:
        audio = np.frombuffer(speech(seconds, peak), np.int16)
        for start in range(0, len(audio), CHUNK):
            self.ring.write(audio[start : start + CHUNK], RATE)
            self.now += 0.05
            self.outlet.pump()

    @property
    def late_seconds(self) -> float:
        return (self.ring.written - self.ring.sent) / RATE

    @property
    def skipped(self) -> list[tuple[int, int]]:
        assert all(isinstance(event, SilenceSkipped) for event in self.told)
        return [(e.start_ms, e.end_ms) for e in self.told]  # type: ignore[attr-defined]


async def test_a_connection_that_breaks_in_a_silence_makes_nobody_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(monkeypatch)
    call.connect()
    call.live(60)
    call.outlet.disconnect()
    call.live(10)
    call.reconnect()
    # A burst of one second, then what leads to a sound that may come.
    assert call.late_seconds <= LEAD_SECONDS
    ((start, end),) = call.skipped
    assert 51_000 <= start <= 60_000
    assert end == 70_000 - 1000 * LEAD_SECONDS
    call.live(4)
    assert call.late_seconds < 0.05
    assert len(call.skipped) == 1


async def test_of_speech_that_waited_only_long_silence_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(monkeypatch)
    for seconds, peak in ((4, 0), (1, 90), (2.5, 0), (1, 90), (7, 0), (1, 90)):
        call.live(seconds, peak)
    call.connect()
    call.live(13)  # it takes a while
    expected = [(1050, 3500), (10_500, 15_000), (18_500, 24_400)]
    for found, span in zip(call.skipped, expected, strict=True):
        assert found == pytest.approx(span, abs=60)
    said = [(4000, 5000), (5000, 7500), (7500, 8500), (15_500, 16_500)]
    heard = [(start // 16, (start + n) // 16) for start, n, _ in call.session.got]
    for start, end in said:
        inside = [part for part in heard if start <= part[1] and part[0] <= end]
        assert sum(b - a for a, b in inside) >= end - start


async def test_all_is_sent_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(monkeypatch, skip_silence=False)
    call.live(10)
    call.connect()
    call.live(60)
    assert call.skipped == []
    assert call.late_seconds < 0.05


async def test_a_word_that_was_flushed_is_a_sound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(monkeypatch)
    call.connect()
    call.live(10)
    call.ring.write(speech(0.025, 5000), RATE)
    call.outlet.flush()
    word = 10 * RATE
    call.live(20)
    assert 0 < call.ring.acked <= word
    assert not call.coverage.is_calm()
    call.reconnect()
    call.live(0.5)
    heard = call.session.got
    assert any(start <= word < start + samples for start, samples, _ in heard)


async def test_a_turn_that_does_not_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(monkeypatch)
    given_up: list[float] = []
    call.session.finals.is_idle = False
    call.session.finals.overdue = lambda: given_up.append(call.now)
    call.connect()
    call.live(2, 5000)
    call.outlet.turn_told()
    call.live(OVERDUE_SECONDS + SETTLED_SECONDS + KEPT_SECONDS - 1)
    assert given_up == []
    call.live(3)
    assert given_up


async def test_what_a_session_has_heard_that_was_never_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(monkeypatch)
    call.connect()
    call.live(20)
    heard = call.outlet.heard_by(cast(Session, call.session))
    assert -1 < heard / RATE - (20 - SETTLED_SECONDS - KEPT_SECONDS) <= 0
    assert call.outlet.heard_by(cast(Session, FakeSession())) == 0


async def test_silence_in_an_open_turn_is_not_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(monkeypatch)
    call.session.finals.is_idle = False
    call.live(10)
    call.connect()
    call.live(1)
    assert call.skipped == []
    call.session.finals.is_idle = True
    call.live(0.05)
    assert len(call.skipped) == 1


async def test_silence_is_not_left_out_where_there_is_no_pace() -> None:
    f = Fixture()
    f.write(10 * RATE)
    f.connect()
    assert f.session.got == chunks(0, 10 * RATE)


# ---- endpoints ----


async def test_an_endpoint_with_nothing_before_it_goes_at_once() -> None:
    f = Fixture()
    f.connect()
    f.outlet.force_endpoint(flush=False)
    f.outlet.force_endpoint(flush=True)
    assert f.session.got == [ENDPOINT, ENDPOINT]


async def test_a_tail_is_in_the_next_turn_unless_it_is_flushed() -> None:
    for flush, tail in ((False, []), (True, [(CHUNK, 100, CHUNK - 100)])):
        f = Fixture()
        f.connect()
        f.write(CHUNK + 100)
        f.outlet.pump()
        f.outlet.force_endpoint(flush=flush)
        assert f.session.got == [(0, CHUNK, 0), *tail, ENDPOINT]


async def test_an_endpoint_waits_for_what_a_full_socket_keeps_back() -> None:
    f = Fixture()
    f.session.room = 2
    f.connect()
    f.write(4 * CHUNK)
    f.outlet.pump()
    f.outlet.force_endpoint(flush=False)
    f.write(2 * CHUNK)
    f.outlet.pump()
    assert f.session.got == chunks(0, 2 * CHUNK)
    f.session.room = 9
    await within(1, f.outlet.drain())
    assert f.session.got == [
        *chunks(0, 4 * CHUNK),
        ENDPOINT,
        *chunks(4 * CHUNK, 6 * CHUNK),
    ]


async def test_an_endpoint_while_there_is_no_session_is_told_to_the_next() -> None:
    f = Fixture()
    f.write(3 * CHUNK)
    f.outlet.force_endpoint(flush=False)
    f.write(CHUNK)
    f.connect()
    assert f.session.got == [*chunks(0, 3 * CHUNK), ENDPOINT, *chunks(2400, 3200)]


async def test_an_endpoint_off_the_new_session_s_grid_takes_its_audio_along() -> None:
    """The replay may begin anywhere, so that chunks no longer end at the endpoint."""
    f = Fixture()
    f.connect()
    f.write(3 * CHUNK)
    f.outlet.pump()
    f.outlet.disconnect()
    f.outlet.force_endpoint(flush=False)
    f.ring.ack(100)
    assert f.reconnect().got == [
        (100, CHUNK, 0),
        (900, CHUNK, 0),
        (1700, 700, 100),
        ENDPOINT,
    ]


async def test_an_endpoint_where_the_longer_first_chunk_ends() -> None:
    """What a filter holds back makes the first chunk a longer one."""
    f = Fixture()
    for _ in range(3):
        f.ring.write(bytes(2400), 24_000)
    first = 2 * CHUNK - (3 * CHUNK - f.ring.written)
    f.outlet.force_endpoint(flush=False)
    f.ring.write(bytes(480), 24_000)
    f.outlet.force_endpoint(flush=False)
    f.ring.write(bytes(1920), 24_000)
    f.connect()
    assert f.session.got == [
        (0, first, 0),
        (first, CHUNK, 0),
        ENDPOINT,  # for both
        (first + CHUNK, CHUNK, 0),
    ]


async def test_an_endpoint_whose_audio_was_all_heard_before() -> None:
    f = Fixture()
    f.connect()
    f.write(CHUNK)
    f.outlet.pump()
    f.ring.ack(CHUNK)
    f.outlet.disconnect()
    f.outlet.force_endpoint(flush=False)
    f.write(CHUNK)
    assert f.reconnect().got == [ENDPOINT, (CHUNK, CHUNK, 0)]


async def test_where_the_last_turn_was_ended() -> None:
    f = Fixture()
    f.connect()
    assert f.outlet.endpoints.forced_behind(0) is None
    f.write(2 * CHUNK)
    f.outlet.pump()
    f.outlet.force_endpoint(flush=False)
    assert f.outlet.endpoints.forced_behind(0) == 2 * CHUNK


steps = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 3 * CHUNK)),
    st.tuples(st.just("endpoint"), st.just(0)),
    st.tuples(st.just("endpoint, flushed"), st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, 3 * CHUNK)),
)


@given(st.lists(steps, max_size=20))
async def test_every_endpoint_comes_right_behind_its_audio(
    what: list[tuple[str, int]],
) -> None:
    """Of a stream that has no session now and then.

    `wanted` has the first and the last sample at which each may be told.
    """
    f = Fixture()
    f.connect()
    wanted: list[tuple[int, int]] = []
    told: list[int] = []
    begin = 0  # of the present session

    def collect() -> None:
        position = begin
        for item in f.session.got:
            if item == ENDPOINT:
                told.append(position)
            else:
                position = item[0] + item[1]

    connected = True
    for step, count in what:
        if step == "write":
            f.write(count)
            f.outlet.pump()
        elif step == "cut" and connected:
            collect()
            f.outlet.disconnect()
            f.ring.ack(max(f.ring.acked, f.ring.sent - count))
            # What the lost session was asked and had not covered is asked again.
            again = sum(at > f.ring.acked for at in told)
            del told[len(told) - again :]
            connected = False
        elif step == "cut":
            begin = f.ring.acked
            f.reconnect()
            connected = True
        else:
            flush = step == "endpoint, flushed"
            low = f.ring.written
            wanted.append((low if flush else low - CHUNK + 1, low + CHUNK))
            f.outlet.force_endpoint(flush=flush)
    if not connected:
        begin = f.ring.acked
        f.reconnect()
    collect()
    # Two at one place, with nobody to tell meanwhile, are one.
    assert len(told) <= len(wanted)
    covered = f.ring.acked
    assert all(
        low <= covered or any(low <= at <= high for at in told) for low, high in wanted
    )
    assert all(any(low <= at <= high for low, high in wanted) for at in told)
