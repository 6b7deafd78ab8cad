"""A session's audio is found in a recording, sample for sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream.emulator.engines.locating import Locator, Reference, codes_of
from aai_stream.emulator.engines.marked import marked_audio
from aai_stream.emulator.server import mulaw
from tests.recorded_calls import noise

RATE = 8000
AUDIO = noise(6000, RATE)
SPEECH = marked_audio(10, sample_rate=RATE)  # with digital silence between


def located(
    *parts: npt.NDArray[np.int16],
    guesses: tuple[int, ...] = (0,),
    within: npt.NDArray[np.int16] = AUDIO,
    size: int = 400,
) -> Locator:
    locator = Locator(Reference(within, RATE), guesses)
    sound = np.concatenate(parts)
    for start in range(0, len(sound), size):
        locator.add(sound[start : start + size])
    return locator


def silence(samples: int) -> npt.NDArray[np.int16]:
    return np.zeros(samples, np.int16)


@given(st.integers(0, 30_000), st.integers(1000, 8000), st.integers(100, 8000))
def test_it_begins_anywhere(start: int, length: int, size: int) -> None:
    part = AUDIO[start : start + length]
    found = located(part, guesses=(0, 17_000), size=size)
    assert (found.places.begin, found.places.end) == (start, start + len(part))
    assert found.places.samples == len(part)
    assert not found.counts


def test_a_guess_is_right_at_once() -> None:
    found = located(AUDIO[12_000:12_400], guesses=(12_000, 0))
    assert (found.places.begin, found.places.end) == (12_000, 12_400)


def test_silence_left_out_and_put_in() -> None:
    parts = AUDIO[:5000], AUDIO[9000:14_000], silence(300), AUDIO[14_000:20_000]
    found = located(*parts)
    assert (found.places.begin, found.places.end) == (0, 20_000)
    assert found.places.place(4999).sample == 4999
    assert found.places.place(5000).sample == 9000
    assert found.places.place(9999).sample == 13_999
    assert found.places.place(10_300).sample == 14_000
    assert found.places.samples == 16_300


def test_silence_says_nothing_and_the_first_sound_says_it() -> None:
    first, second = 320 * RATE // 1000, 1400 * RATE // 1000
    start = second - 900  # in the silence before the second turn's words
    found = located(SPEECH[start:], guesses=(first,), within=SPEECH)
    assert (found.places.begin, found.places.end) == (start, len(SPEECH))
    assert found.places.samples == len(SPEECH) - start


def test_what_is_nowhere_is_counted_from_the_guess_on() -> None:
    found = located(noise(2000, RATE, seed=3), guesses=(4000,))
    assert found.counts
    assert (found.places.begin, found.places.end) == (4000, 20_000)


def test_until_it_is_found_nothing_is_said() -> None:
    assert located(noise(900, RATE, seed=3)).places.end is None


def test_behind_the_recordings_end_there_is_nothing() -> None:
    found = located(AUDIO[40_000:], noise(3000, RATE, seed=3), guesses=(40_000,))
    assert not found.counts
    assert found.places.end == len(AUDIO)


def test_what_is_there_twice_is_not_found() -> None:
    within = np.concatenate([AUDIO[:8000], AUDIO[:8000]])
    found = located(AUDIO[2000:7000], within=within)
    assert found.places.begin is None


@pytest.mark.parametrize("code", range(256))
def test_codes_are_those_of_mulaw(code: int) -> None:
    pcm = np.frombuffer(mulaw.decode(bytes([code])), np.int16)
    expected = ~code & 0xFF
    assert codes_of(pcm)[0] == (0 if expected == 0x80 else expected)
