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


TONES = (3000, 2100, 2600, 900, 1700, 3400)


def words() -> npt.NDArray[np.int16]:
    """Square waves, each as all the others but for its length, after 200 ms of
    digital silence, and with half a second of it between."""
    parts = [silence(1600)]
    for samples in TONES:
        tone = np.full(samples, 2000, np.int16)
        tone[1::2] *= -1
        parts += [tone, silence(4000)]
    return np.concatenate(parts)


def faint(samples: int, loudest: int) -> npt.NDArray[np.int16]:
    random = np.random.default_rng(7)
    return random.integers(-loudest, loudest + 1, samples).astype(np.int16)


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


@pytest.mark.parametrize("shift", [-1000, -256, -100, 0, 100, 256, 1600])
def test_it_begins_beside_the_guess_in_silence(shift: int) -> None:
    within, guess = words(), 6000  # in the silence after the first word
    start = guess + shift
    found = located(within[start:], guesses=(guess, 0), within=within)
    assert (found.places.begin, found.places.end) == (start, len(within))
    assert found.places.samples == len(within) - start


@pytest.mark.parametrize("loudest", [1, 4, 40])
@pytest.mark.parametrize("shift", [-1000, -100, 100, 5000, 20_000])
def test_it_begins_beside_the_guess_in_noise(loudest: int, shift: int) -> None:
    hush = faint(40_000, loudest)
    within = np.concatenate([AUDIO[:8000], hush, AUDIO[8000:]])
    start = 12_000 + shift
    found = located(within[start:], guesses=(12_000, 0), within=within)
    assert (found.places.begin, found.places.end) == (start, len(within))
    assert not found.counts


def test_the_guess_that_the_sound_agrees_with_is_right() -> None:
    within = words()
    for start, guesses in ((0, (6000, 0)), (6000, (0, 6000))):
        found = located(within[start : start + 8000], guesses=guesses, within=within)
        assert (found.places.begin, found.places.end) == (start, start + 8000)


def test_quiet_decides_nothing_until_it_is_all_there_is() -> None:
    within = words()
    found = located(silence(1200), guesses=(6000, 0), within=within)
    assert not found.places.samples
    found.settle()
    assert (found.places.begin, found.places.end) == (6000, 7200)
    assert not found.counts


def test_quiet_that_is_at_no_guess_is_counted_in_the_end() -> None:
    found = located(silence(100_000), guesses=(4000,))
    assert not found.places.holds(4000)
    found.settle()
    assert found.counts
    assert (found.places.begin, found.places.end) == (4000, 104_000)


def test_much_quiet_is_at_the_guess() -> None:
    within = np.concatenate([AUDIO[:8000], silence(100_000), AUDIO[8000:]])
    found = located(silence(80_800), guesses=(9000, 0), within=within)
    assert (found.places.begin, found.places.end) == (9000, 89_800)
    found.add(AUDIO[8000:16_000])  # and 18 200 samples of silence were left out
    assert found.places.end == 116_000
    assert found.places.place(80_800).sample == 108_000


def test_sound_after_much_quiet_is_found() -> None:
    found = located(silence(100_000), AUDIO[8000:16_000], guesses=(4000,))
    assert (found.places.begin, found.places.end) == (8000, 16_000)
    assert found.places.place(100_100).sample == 8100
    assert found.places.samples == 108_000


def test_other_sound_after_much_quiet_is_counted_with_it() -> None:
    other = noise(2000, RATE, seed=3)
    found = located(silence(100_000), other, guesses=(4000,))
    assert found.counts
    assert (found.places.begin, found.places.end) == (4000, 120_000)


def test_much_silence_put_in() -> None:
    found = located(AUDIO[:8000], silence(100_000), AUDIO[8000:16_000])
    assert not found.counts
    assert (found.places.begin, found.places.end) == (0, 16_000)
    assert found.places.samples == 116_000
    assert found.places.place(108_000).sample == 8000


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
