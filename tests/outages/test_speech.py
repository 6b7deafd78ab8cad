"""Speech that is hard to tell from silence, or to cut between words, when sessions are
lost: long turns, turns that end in the middle of speech, quiet speakers. Both faces,
both wires: nothing is lost, nothing is told twice, every time is right."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

import aai_stream
from aai_stream.emulator.engines.marked import MarkedLayout, check_marked
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator, Service
from aai_stream.protocol import lineup
from tests.outages.calls import FACES, Speech
from tests.outages.rows import Caller, Row, Rows, wrong
from tests.servers import until

pytestmark = pytest.mark.usefixtures("impatience")


# Long turns

MONOLOGUE = Speech(words=230, layout=MarkedLayout(words_per_turn=1000))
"""A minute in one turn."""


async def test_a_turn_breaks_off_after_50_seconds(
    http_session: aiohttp.ClientSession | None,
) -> None:
    broken = Row(("reset,at=50000ms,on=1",), MONOLOGUE, sessions=2)
    assert await wrong({"a minute": broken}, http_session) == {}


def capped(gap_ms: int) -> Speech:
    """Somebody who doesn't pause between words."""
    layout = MarkedLayout(words_per_turn=1000, gap_ms=gap_ms)
    return Speech(words=20, layout=layout, tail_ms=30)


CAPPED = {
    f"{gap_ms} ms between words, reset at {at}": Row(
        (f"reset,at={at},on=1",),
        capped(gap_ms),
        sessions=2,
        service=Service(longest_turn_ms=1000),
    )
    for gap_ms in (10, 20)
    for at in ("final:1", "final:2", "1250ms", "1300ms", "1350ms", "1400ms", "1500ms")
}


@pytest.mark.parametrize("rate", [16_000, 24_000])
async def test_turns_that_end_in_the_middle_of_speech(
    rate: int, http_session: aiohttp.ClientSession | None
) -> None:
    assert await wrong(CAPPED, http_session, rate=rate) == {}


async def test_a_session_takes_over_in_the_middle_of_speech(
    http_session: aiohttp.ClientSession | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a final, behind which the next word has begun, or has long been said."""
    monkeypatch.setattr(lineup, "SHORTEST_SECONDS", 0)

    async def call(
        caller: Caller, gap_ms: int, ready_at: int, pace: float
    ) -> list[str]:
        speech = capped(gap_ms)

        async def wait(ms: int) -> None:
            if ms == ready_at:
                await until(lambda: server.sessions_opened == 2)

        capped_at = Service(longest_turn_ms=1000)
        soon = fault("expires-at,seconds=-10797,on=1")  # in two seconds and a bit
        async with Emulator(
            speech.engine(), service=capped_at, faults=[soon]
        ) as server:
            said = await caller.call(server, speech=speech, wait=wait, pace=pace)
        assert said.sessions == 2
        return said.problems

    rows = [
        (face, (gap_ms, ready_at, pace))
        for face in FACES
        for gap_ms in (10, 20)
        for ready_at in (100, 1200, 1250)
        for pace in (0, 0.3)
    ]
    found = await asyncio.gather(
        *(call(Caller(face, http_session), *how) for face, how in rows)
    )
    assert {row: each for row, each in zip(rows, found, strict=True) if each} == {}


# Ends of words

SOUND_AFTER_THE_END = {
    f"{ms} ms, reset at {at}": Row(
        (f"early-end,ms={ms}", f"reset,at={at},on=1"), sessions=2
    )
    for ms in (60, 100, 145)
    for at in ("final:1", "final:2", "1350ms", "1700ms")
}

NO_WORDS = {
    f"reset at {at}, {' and '.join(without)}": Row(
        ("late-final,seconds=0.1", *without, f"reset,at={at},on=1"),
        sessions=2,
        without_times=True,
    )
    for at in ("final:1", "final:2", "final:3")
    for without in (("no-words",), ("no-words", "no-partials"))
}
"""Finals come some time after the pause that ended their turns."""


async def test_a_word_sounds_on_behind_its_end(
    http_session: aiohttp.ClientSession | None,
) -> None:
    assert await wrong(SOUND_AFTER_THE_END, http_session) == {}


async def test_finals_without_words(
    http_session: aiohttp.ClientSession | None,
) -> None:
    assert await wrong(NO_WORDS, http_session) == {}


# Quiet speakers

ROOM = 18.5
"""-65 dB."""
TALK = MarkedLayout(words_per_turn=16, turn_gap_ms=500)
WITH_PAUSES = MarkedLayout(words_per_turn=8, turn_gap_ms=4500)
HURRIED = {"catch_up_rate": 20, "pace": 0.1}
"""Audio has to wait all the same, and then silence may be passed over."""


def quiet(peak: int, noise_rms: float, layout: MarkedLayout) -> Rows:
    """A quiet speaker."""
    speech = Speech(32, layout, peak, noise_rms)
    half_open = {**HURRIED, "dead_after": 1}
    late = "late-begin,seconds=0.5"
    return {
        "reset": Row(("reset,at=3500ms,on=1",), speech, options=HURRIED),
        "reset at a final": Row(("reset,at=final:1,on=1",), speech, options=HURRIED),
        "half-open": Row(("freeze,at=4000ms,on=1",), speech, options=half_open),
        "Begin is late": Row((f"{late},on=1",), speech, sessions=1, options=HURRIED),
        "reset, and then Begin is late": Row(
            ("reset,at=3000ms,on=1", f"{late},on=2"), speech, options=HURRIED
        ),
    }


@pytest.mark.parametrize(("peak", "noise"), [(50, 5), (100, ROOM), (200, ROOM)])
async def test_quiet_speakers(
    peak: int, noise: float, http_session: aiohttp.ClientSession | None
) -> None:
    rows = {
        f"{row}, {name}, noise {noise_rms}": made
        for name, layout in (("talk", TALK), ("pauses", WITH_PAUSES))
        for noise_rms in (0, noise)
        for row, made in quiet(peak, noise_rms, layout).items()
    }
    assert await wrong(rows, http_session) == {}


@pytest.mark.parametrize("at", ["3500ms", "final:1"])
@pytest.mark.parametrize(("peak", "noise_rms"), [(50, 0), (100, 0), (200, ROOM)])
async def test_a_quiet_recording(
    at: str, peak: int, noise_rms: float, http_session: aiohttp.ClientSession | None
) -> None:
    speech = Speech(32, TALK, peak, noise_rms)
    reset = fault(f"reset,at={at},on=1")
    async with Emulator(speech.engine(), faults=[reset]) as server:
        turns = await aai_stream.transcribe(
            speech.audio(16_000),
            sample_rate=16_000,
            realtime=False,
            catch_up_rate=20,
            api_key="k",
            base_url=server.url,
            http_session=http_session,
        )
        assert server.sessions_opened == 2
    words = [(word.text, word.start) for turn in turns for word in turn.words]
    assert check_marked(words, count=speech.words, layout=TALK) == []
