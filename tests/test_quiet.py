"""What may be let go of or left out in a silence, against obvious models of it."""

from __future__ import annotations

import numpy as np
from aai_stream.quiet import (
    AFTERSOUND_SECONDS,
    AHEAD_SECONDS,
    KEPT_SECONDS,
    LEAD_SECONDS,
    QUIET_PEAK,
    SETTLED_SECONDS,
    QuietWatch,
)
from hypothesis import event, example, given
from hypothesis import strategies as st

from aai_stream._core import AudioRing
from tests.audio import next_chunk

RATE = 16_000
BLOCK = 800
SILENT, LOUD = QUIET_PEAK, QUIET_PEAK + 1
AFTERSOUND = int(AFTERSOUND_SECONDS * RATE)


class Stream:
    """A ring and its watch, used as `Outlet` does, and what must come of it.

    Audio is made of blocks of 50 ms, each silent or just too loud for that.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.heard_at = 0.0  # a sign of life
        self.ring = AudioRing(replay_seconds=600)
        self.watch = QuietWatch(RATE, lambda: self.now)
        self.blocks: list[bool] = []  # whether each is loud
        self.final = 0  # the last sample that a final turn has covered
        self.sent: list[tuple[float, int]] = []  # when, and how far, since `cut`

    def push(
        self,
        blocks: list[bool],
        seconds_each: float,
        idle: bool = True,
        alive: bool = True,
    ) -> None:
        for loud in blocks:
            self.now += seconds_each
            if alive:
                self.heard_at = self.now
            self.blocks.append(loud)
            level = LOUD if loud else SILENT
            self.ring.write(np.full(BLOCK, -level, np.int16), RATE)
            self.pump(idle)

    def pump(self, idle: bool) -> None:
        while self.ring.written - self.ring.sent >= BLOCK:
            chunk = next_chunk(self.ring)
            self.sent.append((self.now, chunk.start + chunk.samples))
            if self.watch.sent(chunk):
                before = self.ring.acked
                heard = self.watch.heard_until(self.now - self.heard_at)
                if idle and self.watch.is_silent_since(before):
                    self.ring.ack(heard)
                if self.ring.acked > before:
                    self.check()

    def cover(self, sample: int) -> None:
        """A final turn covers everything up to `sample`."""
        self.final = max(self.final, min(sample, self.ring.sent))
        self.ring.ack(min(sample, self.ring.sent))

    def cut(self, idle: bool) -> None:
        """The session is lost; the next one is sent all that is not covered."""
        self.ring.rewind(self.ring.acked)
        self.watch.restart()
        self.sent.clear()
        self.pump(idle)

    def check(self) -> None:
        """Nothing was let go of that the server may still speak about."""
        kept_from = self.ring.acked
        for number, loud in enumerate(self.blocks[: kept_from // BLOCK + 1]):
            end = (number + 1) * BLOCK
            if loud and end > self.final + AFTERSOUND:
                assert kept_from <= number * BLOCK
        before = self.heard_at - SETTLED_SECONDS
        settled = max((end for when, end in self.sent if when <= before), default=0)
        assert kept_from <= settled - KEPT_SECONDS * RATE


quiet_or_loud = st.integers(1, 160).flatmap(
    lambda count: st.sampled_from([[False] * count, [True] * min(count, 4)])
)
pushes = st.tuples(
    st.just("push"), quiet_or_loud, st.sampled_from([0.0, 0.01, 0.05, 0.4])
)
finals = st.tuples(st.just("final"), st.floats(0, 1), st.just(0.0))
nothing: list[bool] = []
cuts = st.tuples(st.just("cut"), st.just(nothing), st.just(0.0))


@given(
    st.lists(
        st.tuples(
            st.one_of(pushes, pushes, pushes, finals, cuts),
            st.booleans(),
            st.booleans(),
        ),
        max_size=25,
    )
)
def test_only_settled_silence_is_let_go_of(
    steps: list[tuple[tuple[str, list[bool] | float, float], bool, bool]],
) -> None:
    stream = Stream()
    for (kind, what, seconds), idle, alive in steps:
        if isinstance(what, float):
            part = int(what * (stream.ring.sent - stream.ring.acked))
            stream.cover(stream.ring.acked + part)
        elif kind == "push":
            stream.push(what, seconds, idle, alive)
        else:
            stream.cut(idle)
    if stream.ring.acked > stream.final:
        event("something was let go of")


def test_a_long_silence_does_not_fill_the_ring() -> None:
    stream = Stream()
    stream.push([False] * 20 * 120, 0.05)
    kept = (stream.ring.sent - stream.ring.acked) / RATE
    # What has settled is known by the second.
    assert kept >= SETTLED_SECONDS + KEPT_SECONDS
    assert kept <= SETTLED_SECONDS + KEPT_SECONDS + 2


def test_a_server_that_is_not_heard_from_has_heard_nothing() -> None:
    stream = Stream()
    stream.push([False] * 20 * 20, 0.05)
    kept_from = stream.ring.acked
    stream.push([False] * 20 * 20, 0.05, alive=False)
    assert stream.ring.acked <= kept_from + RATE
    stream.push([False] * 20, 0.05)
    assert stream.ring.acked >= kept_from + 20 * RATE


def test_of_a_server_that_is_never_heard_from_not_everything_is_remembered() -> None:
    stream = Stream()
    for _ in range(700):
        stream.push([True] * 20, 0.05, alive=False)
    assert len(stream.watch._marks) == 600
    stream.push([True], 0.05)
    assert stream.watch.heard_until(0) >= 690 * RATE


def test_a_word_holds_everything_from_before_it_on() -> None:
    stream = Stream()
    stream.push([False] * 20 * 20, 0.05)
    stream.push([True], 0.05)
    kept_from = stream.ring.acked
    stream.push([False] * 20 * 20, 0.05)
    assert stream.ring.acked == kept_from
    stream.cover(20 * RATE + BLOCK - AFTERSOUND)
    stream.push([False] * 20, 0.05)
    assert stream.ring.acked > 20 * RATE + BLOCK


def test_a_sound_right_behind_a_final_s_last_word_is_that_word_s() -> None:
    for late, holds in ((AFTERSOUND, False), (AFTERSOUND + 1, True)):
        stream = Stream()
        stream.push([True] * 8, 0.05)
        stream.cover(8 * BLOCK - late)
        stream.push([False] * 20 * 20, 0.05)
        assert (stream.ring.acked == stream.final) is holds


def test_an_open_turn_holds_its_silence() -> None:
    stream = Stream()
    stream.push([False] * 20 * 20, 0.05, idle=False)
    assert stream.ring.acked == 0
    stream.push([False] * 20, 0.05)
    assert stream.ring.acked > 10 * RATE


def test_what_is_sent_at_once_has_not_settled() -> None:
    """A replay: all of it is old, and none of it has been listened to."""
    stream = Stream()
    stream.push([False] * 20 * 20, 0.05, idle=False)
    stream.now += 60
    stream.cut(idle=True)
    stream.push([False] * 20, 0.0)
    assert stream.ring.acked == 0
    # It is worked through no faster than it was spoken, for all we know.
    stream.now += SETTLED_SECONDS
    stream.push([False] * 20, 0.0)
    assert stream.ring.acked == 0
    stream.now += 3
    stream.push([False] * 20, 0.0)
    assert stream.ring.acked == RATE * (3 + AHEAD_SECONDS - KEPT_SECONDS)
    stream.now += 20
    stream.push([False] * 20, 0.0)
    assert stream.ring.acked > 15 * RATE


# ---- leaving out ----

LEAD = int(LEAD_SECONDS * RATE)
KEPT = int(KEPT_SECONDS * RATE)
runs = st.lists(
    st.tuples(st.booleans(), st.integers(1, 60)).map(lambda run: [run[0]] * run[1]),
    max_size=5,
).map(lambda runs: [loud for run in runs for loud in run])


@given(sent=runs, waiting=runs, afresh=st.booleans())
@example(sent=[], waiting=[False] * 20 + [True], afresh=False)
@example(sent=[], waiting=[False] * 21 + [True], afresh=False)
@example(sent=[True] + [False] * 40, waiting=[False] * 30, afresh=False)
@example(sent=[True] + [False] * 39, waiting=[False] * 30, afresh=False)
def test_silence_is_passed_over_up_to_the_next_sound(
    sent: list[bool], waiting: list[bool], afresh: bool
) -> None:
    stream = Stream()
    stream.push(sent, 0.05)
    if afresh:  # to a new session there was no sound yet
        stream.watch.restart()
    for loud in waiting:
        level = LOUD if loud else SILENT
        stream.ring.write(np.full(BLOCK, level, np.int16), RATE)
    start = stream.ring.sent
    stream.watch.pass_over_silence(stream.ring)

    rest = len(sent) if afresh or True not in sent else sent[::-1].index(True)
    rests = afresh or True not in sent or rest * BLOCK >= KEPT
    silence = BLOCK * [*waiting, True].index(True)
    expected = silence - LEAD if rests and silence > 2 * LEAD else 0
    assert stream.ring.sent - start == expected
    if expected:
        event("something was left out")
