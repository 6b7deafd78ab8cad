"""Marked audio: what arrives whole is heard, what doesn't is found out."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from aai_stream.emulator.engines.engine import (
    Finished,
    Heard,
    Hypothesis,
    Silence,
    SpeechStarted,
    TurnSettings,
)
from aai_stream.emulator.engines.marked import (
    DAMAGE,
    MarkedEngine,
    MarkedLayout,
    Samples,
    check_marked,
    marked_audio,
)
from aai_stream.emulator.engines.markings import WORD_MS
from aai_stream.emulator.server import mulaw
from tests.emulator.reference import decode_mulaw, encode_mulaw

RATE = 16_000
SETTINGS = TurnSettings(min_silence_ms=128, max_silence_ms=1280)
LAYOUT = MarkedLayout()
COUNT = 8
AUDIO = marked_audio(COUNT)
LAST_MS = LAYOUT.start_ms(COUNT - 1) + WORD_MS
NOISY = marked_audio(COUNT, peak=100, noise_rms=18.5)


async def listen(
    samples: Samples,
    *,
    rate: int = RATE,
    chunks: tuple[int, ...] = (800,),
    settings: TurnSettings = SETTINGS,
    **engine: Any,
) -> list[Heard]:
    """All that is told of `samples`, sent in `chunks` of samples, over and over."""
    told: list[Heard] = []
    ear = MarkedEngine(**engine).open(rate, settings, told.append)
    start = 0
    while start < len(samples):
        for size in chunks:
            await ear.hear(samples[start : start + size].tobytes())
            start += size
    ear.finish()
    return told


def said(told: list[Heard]) -> list[tuple[str, int]]:
    """The words of ended turns, and where they start in ms."""
    ends = [h for h in told if isinstance(h, Hypothesis) and h.end_of_turn]
    return [(word.text, word.start_ms) for end in ends for word in end.words]


# Whole audio


async def test_words_and_turns_are_heard_where_they_are() -> None:
    told = await listen(AUDIO)
    words = [(f"w{k:04d}", LAYOUT.start_ms(k)) for k in range(COUNT)]
    assert said(told) == words
    ends = [h for h in told if isinstance(h, Hypothesis) and h.end_of_turn]
    assert [len(e.words) for e in ends] == [5, 3]
    assert [e.heard_ms for e in ends] == [
        LAYOUT.start_ms(4) + WORD_MS + 128,
        LAYOUT.start_ms(7) + WORD_MS + 128,
    ]
    started = [t.at_ms for t in told if isinstance(t, SpeechStarted)]
    assert started == [LAYOUT.start_ms(0), LAYOUT.start_ms(5)]
    assert told[-1] == Finished()


async def test_turns_end_by_the_settings() -> None:
    layout = MarkedLayout(words_per_turn=2, gap_ms=100, turn_gap_ms=600)
    audio = marked_audio(6, layout=layout)
    for silence, sizes in [(50, [1] * 6), (200, [2, 2, 2]), (700, [6])]:
        told = await listen(audio, settings=TurnSettings(silence, silence))
        ends = [h for h in told if isinstance(h, Hypothesis) and h.end_of_turn]
        assert [len(end.words) for end in ends] == sizes
        assert check_marked(said(told), count=6, layout=layout) == []


@pytest.mark.parametrize("gap_ms", [10, 20])
async def test_turns_have_a_longest_length(gap_ms: int) -> None:
    layout = MarkedLayout(words_per_turn=100, gap_ms=gap_ms)
    settings = msgspec.structs.replace(SETTINGS, longest_ms=1000)
    told = await listen(marked_audio(12, layout=layout), settings=settings)
    ends = [h for h in told if isinstance(h, Hypothesis) and h.end_of_turn]
    assert [len(end.words) for end in ends] == [5, 5, 2]
    started = [t.at_ms for t in told if isinstance(t, SpeechStarted)]
    assert started == [layout.start_ms(number) for number in (0, 5, 10)]
    assert check_marked(said(told), count=12, layout=layout) == []
    (whole,) = [
        h
        for h in await listen(marked_audio(12, layout=layout))
        if isinstance(h, Hypothesis) and h.end_of_turn
    ]
    assert len(whole.words) == 12


async def test_silence_is_told() -> None:
    told = await listen(np.zeros(2 * RATE + 800, np.int16))
    assert told == [Silence(0, 1000), Silence(1000, 2000), Finished()]


async def test_force_ends_the_turn_and_keeps_the_word_in_progress() -> None:
    told: list[Heard] = []
    ear = MarkedEngine().open(RATE, SETTINGS, told.append)
    middle = (LAYOUT.start_ms(2) + 100) * 16
    await ear.hear(AUDIO[:middle].tobytes())
    ear.force_endpoint()
    await ear.hear(AUDIO[middle:].tobytes())
    ends = [h for h in told if isinstance(h, Hypothesis) and h.end_of_turn]
    assert [len(e.words) for e in ends] == [2, 3, 3]
    assert check_marked(said(told), count=COUNT) == []


async def test_configure_changes_when_turns_end() -> None:
    told: list[Heard] = []
    ear = MarkedEngine().open(RATE, TurnSettings(5000, 5000), told.append)
    half = LAYOUT.start_ms(5) * 16
    await ear.hear(AUDIO[:half].tobytes())
    assert said(told) == []
    ear.configure(SETTINGS)
    await ear.hear(AUDIO[half:].tobytes())
    assert len(said(told)) == COUNT


@pytest.mark.parametrize("first", [0, 4095, 8**6 - 3])
async def test_numbers_go_up_to_the_last(first: int) -> None:
    words = said(await listen(marked_audio(3, first=first)))
    assert words == [
        (f"w{k:04d}", LAYOUT.start_ms(k, first)) for k in range(first, first + 3)
    ]


@pytest.mark.parametrize(("count", "first"), [(1, 8**6), (1, -1), (-1, 5)])
def test_there_are_only_so_many_words(count: int, first: int) -> None:
    with pytest.raises(ValueError, match="numbered from 0"):
        marked_audio(count, first=first)


@given(
    st.lists(st.integers(1, 20_000), min_size=1, max_size=8),
    st.sampled_from([(AUDIO, {}), (NOISY, {"peak": 100, "noisy": True})]),
)
async def test_chunking_changes_nothing(
    chunks: list[int], heard: tuple[Samples, dict[str, Any]]
) -> None:
    audio, engine = heard
    told = await listen(audio, **engine)
    assert await listen(audio, chunks=tuple(chunks), **engine) == told
    assert check_marked(said(told), count=COUNT) == []


# On the way


@pytest.mark.parametrize("source", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("target", [8000, 16_000])
@pytest.mark.parametrize("quality", ["HQ", "LQ"])
@pytest.mark.parametrize("way", ["plain", "mulaw", "half as loud"])
async def test_words_survive(source: int, target: int, quality: str, way: str) -> None:
    audio = marked_audio(20, sample_rate=source, first=2020)
    audio = soxr.resample(audio, source, target, quality=quality)
    if way == "mulaw":
        audio = np.frombuffer(mulaw.decode(encode_mulaw(audio)), np.int16)
    elif way == "half as loud":
        audio = audio // 2
    words = said(await listen(audio, rate=target))
    assert check_marked(words, first=2020, count=20) == []


ROOM = 18.5
"""-65 dB."""


@pytest.mark.parametrize(
    ("peak", "noise_rms"),
    [(50, 0.0), (50, 5.0), (100, 0.0), (100, ROOM), (200, 0.0), (200, ROOM)],
)
@pytest.mark.parametrize("source", [16_000, 24_000])
@pytest.mark.parametrize("layout", [LAYOUT, MarkedLayout(100, gap_ms=20)], ids=str)
async def test_quiet_words_are_heard(
    peak: int, noise_rms: float, source: int, layout: MarkedLayout
) -> None:
    audio = marked_audio(
        100, sample_rate=source, layout=layout, peak=peak, noise_rms=noise_rms
    )
    assert abs(int(np.abs(audio).max()) - peak) < 5 * noise_rms + 1
    audio = soxr.resample(audio, source, RATE)
    words = said(await listen(audio, peak=peak, noisy=noise_rms > 0))
    assert check_marked(words, count=100, layout=layout) == []


def test_mulaw_is_the_standards() -> None:
    decoded = memoryview(mulaw.decode(bytes(range(256)))).cast("h").tolist()
    assert decoded == [decode_mulaw(code) for code in range(256)]


@given(st.integers(0, 8**6 - 4), st.sampled_from([(24_000, RATE), (44_100, 8000)]))
async def test_any_numbers_survive_resampling(
    first: int, rates: tuple[int, int]
) -> None:
    audio = marked_audio(4, sample_rate=rates[0], first=first)
    words = said(await listen(soxr.resample(audio, *rates), rate=rates[1]))
    assert check_marked(words, first=first, count=4) == []


@given(st.integers(0, (LAST_MS + 20) * 16))
async def test_a_session_may_start_anywhere(start: int) -> None:
    words = said(await listen(AUDIO[start:]))
    heard = [(text, ms + start / 16) for text, ms in words if text != DAMAGE]
    for text, ms in heard:  # never another word, or at another place
        assert abs(ms - LAYOUT.start_ms(int(text[1:]))) <= 1
    whole = [f"w{k:04d}" for k in range(COUNT) if LAYOUT.start_ms(k) * 16 >= start]
    # A word that lost less than its first ms may count as whole.
    assert [text for text, _ in heard][-len(whole) :] == whole or not whole
    late = len(heard) - len(whole)
    assert late in (0, 1)
    if late:
        assert start / 16 - LAYOUT.start_ms(int(heard[0][0][1:])) < 1


# Damage

spans = st.tuples(st.integers(0, LAST_MS * 16), st.integers(4 * 16, 700 * 16))


async def problems(samples: Samples) -> list[str]:
    return check_marked(said(await listen(samples)), count=COUNT)


async def test_nothing_is_wrong_with_whole_audio() -> None:
    assert await problems(AUDIO) == []


@given(spans)
async def test_any_cut_is_found(span: tuple[int, int]) -> None:
    start, size = span
    size = min(size, max(LAST_MS * 16 - start, 64))
    assert await problems(np.delete(AUDIO, slice(start, start + size)))


@given(spans)
async def test_any_cut_of_more_than_a_few_ms_is_found_in_noise(
    span: tuple[int, int],
) -> None:
    start, size = span
    size = min(size + 64, max(LAST_MS * 16 - start, 160))
    cut = np.delete(NOISY, slice(start, start + size))
    words = said(await listen(cut, peak=100, noisy=True))
    assert check_marked(words, count=COUNT)


@given(spans)
async def test_any_repetition_is_found(span: tuple[int, int]) -> None:
    start, size = span
    again = AUDIO[start : min(start + size, LAST_MS * 16)]
    if len(again) >= 4 * 16:
        assert await problems(np.insert(AUDIO, start, again))


@given(spans)
async def test_any_exchange_is_found(span: tuple[int, int]) -> None:
    start, size = span
    size = min(size, (LAST_MS * 16 - start) // 2)
    changed = AUDIO.copy()
    changed[start : start + size] = AUDIO[start + size : start + 2 * size]
    changed[start + size : start + 2 * size] = AUDIO[start : start + size]
    # Exchanging what is the same, such as silence, changes nothing to be found.
    if not is_nearly(changed, AUDIO):
        assert await problems(changed)


@given(spans)
async def test_any_blank_in_a_word_is_found(span: tuple[int, int]) -> None:
    start, size = span
    changed = AUDIO.copy()
    changed[start : start + size] = 0
    if not is_nearly(changed, AUDIO):
        assert await problems(changed)


def is_nearly(one: Samples, other: Samples) -> bool:
    """Whether they differ for less than 3 ms."""
    return int(np.count_nonzero(one != other)) < 3 * 16


def in_word(level: int, ms: int) -> int:
    """The sample `ms` into a level of the first word."""
    return (LAYOUT.start_ms(0) + 20 * level + ms) * 16


@pytest.mark.parametrize("level", range(11))
async def test_two_ms_too_few_or_too_many_are_damage(level: int) -> None:
    at = in_word(level, 8)
    fewer = np.delete(AUDIO, slice(at, at + 32))
    more = np.insert(AUDIO, at, AUDIO[at : at + 32])
    for changed in (fewer, more):
        text, _ = said(await listen(changed))[0]
        assert text == DAMAGE


@pytest.mark.parametrize("level", range(2, 11))
async def test_parts_of_two_words_are_damage(level: int) -> None:
    one, other = marked_audio(1), marked_audio(1, first=8**6 - 1)
    here = slice(in_word(level, 0), in_word(level + 1, 0))
    assert not np.array_equal(one[here], other[here])
    one[here] = other[here]
    ((text, _),) = said(await listen(one))
    assert text == DAMAGE


async def test_noise_is_damage_once() -> None:
    noise = np.random.default_rng(1).integers(-9000, 9000, 3 * RATE).astype(np.int16)
    quiet = np.zeros(RATE, np.int16)
    words = said(await listen(np.concatenate([quiet, noise, quiet, AUDIO])))
    assert words[0] == (DAMAGE, 1000)
    assert check_marked(words[1:], count=COUNT, offset_ms=5000) == []


@pytest.mark.parametrize(("ms", "heard"), [(3, []), (5, [DAMAGE])])
async def test_a_click_is_no_speech(ms: int, heard: list[str]) -> None:
    sound = np.zeros(RATE, np.int16)
    sound[1600 : 1600 + ms * 16] = 9000
    assert [text for text, _ in said(await listen(sound))] == heard


async def test_a_word_cut_off_by_the_end_is_damage() -> None:
    words = said(await listen(AUDIO[: (LAYOUT.start_ms(2) + 150) * 16]))
    assert [text for text, _ in words] == ["w0000", "w0001", DAMAGE]


# The check


GOOD = [(f"w{k:04d}", LAYOUT.start_ms(k)) for k in range(7)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (GOOD, []),
        ([("W0000", 100), ("w0001.", 360)], []),
        ([(t, ms + 2) for t, ms in GOOD], []),
        ([(t, ms + 3) for t, ms in GOOD], ["+3 ms of audio before w0000 at 103 ms"]),
        (GOOD[:2] + GOOD[3:], ["w0003 at 880 ms, w0002 expected"]),
        (GOOD[:2] + GOOD[1:], ["w0001 at 360 ms, w0002 expected"]),
        (GOOD[1:], ["w0001 at 360 ms, w0000 expected"]),
        (
            GOOD[:2] + [(t, ms - 50) for t, ms in GOOD[2:]],
            ["-50 ms of audio before w0002 at 570 ms"],
        ),
        ([*GOOD, (DAMAGE, 9000)], ["'x' at 9000 ms, w0007 expected"]),
        (
            # One ms is lost with every word: seen when there are three.
            [(t, ms - k) for k, (t, ms) in enumerate(GOOD[:5])],
            ["-3 ms of audio before w0003 at 877 ms"],
        ),
    ],
)
def test_check(words: list[tuple[str, int]], told: list[str]) -> None:
    assert check_marked(words) == told


def test_check_counts() -> None:
    assert check_marked(GOOD, count=7) == []
    assert check_marked(GOOD, count=8) == ["the last word is w0006 of 8"]
    assert check_marked([], count=0) == []
    assert check_marked([], count=1) != []
