"""What is silence, and where a word's sound ends, by the audio alone."""

from __future__ import annotations

import pytest

from aai_stream._core import AudioRing
from aai_stream.protocol.silence import (
    CLICK_MS,
    PROVEN_SECONDS,
    TAIL_MS,
    Silence,
    end_of_sound,
    first_pause,
)
from tests.audio import hum, speech

RATE = 16_000
PER_MS = 16


def ring_of(*parts: bytes) -> AudioRing:
    ring = AudioRing(replay_seconds=600)
    for part in parts:
        ring.write(part, RATE)
    return ring


def silence_of(*parts: bytes) -> Silence:
    return Silence(ring_of(*parts))


def seconds(span: tuple[int, int]) -> tuple[float, float]:
    return round(span[0] / RATE, 1), round(span[1] / RATE, 1)


def test_where_silence_is() -> None:
    silence = silence_of(
        hum(5, 18), speech(2, 90, noise_rms=18), hum(2.5, 18), speech(1, 90), hum(8, 18)
    )
    spans = [seconds(silence.around(at * RATE)) for at in (0, 3, 6, 8, 9, 11, 14)]
    assert spans[:2] == [(0, 5), (0, 5)]
    assert spans[2:5] == [(6, 6), (8, 8), (9, 9)]  # 2.5 s prove nothing
    assert spans[5:] == [(10.5, 18.5), (10.5, 18.5)]


def test_silences_of_another_level_are_one() -> None:
    silence = silence_of(bytes(8 * RATE), hum(4, 18), hum(4, 60))
    assert seconds(silence.around(RATE)) == (0, 12)
    assert silence.is_calm(RATE, 12 * RATE)


def test_the_end_of_the_silence_that_begins_close_by() -> None:
    silence = silence_of(speech(2, 900), hum(5, 18), speech(1, 900))
    start, end = silence.around(4 * RATE)
    click = CLICK_MS * PER_MS
    for inside in (start - click, start, 4 * RATE):
        assert silence.end_behind(inside) == end
    for outside in (0, start - 2 * click, end):
        assert silence.end_behind(outside) == outside


def test_what_a_turn_was_open_over_is_none() -> None:
    silence = silence_of(bytes(20 * RATE))
    silence.spoken_until = 4 * RATE
    assert seconds(silence.around(3 * RATE)) == (3, 3)
    assert seconds(silence.around(4 * RATE)) == (4, 10)
    assert not silence.is_calm(3 * RATE, 10 * RATE)
    assert not silence.is_calm(3 * RATE, 5 * RATE)  # steady, but not long
    silence.spoken_until = 0
    assert seconds(silence.around(3 * RATE)) == (0, 10)


def test_a_short_rest_is_calm_if_it_is_steady() -> None:
    ring = ring_of(speech(3, 900), hum(0.5, 18), speech(0.3, 300), hum(0.1, 18))
    silence = Silence(ring)
    assert silence.is_calm(3 * RATE, 3 * RATE)
    assert not silence.is_calm(3 * RATE, ring.written)
    ring = ring_of(speech(3, 900), hum(0.5, 18))
    silence = Silence(ring)
    assert silence.is_calm(3 * RATE, ring.written)
    assert silence.is_calm(ring.written - 10, ring.written)


def test_silence_is_calm_though_its_last_window_is_not_whole() -> None:
    ring = ring_of(speech(3, 900), hum(5.01, 18))
    silence = Silence(ring)
    assert silence.is_calm(3 * RATE, ring.written)
    ring.write(speech(0.05, 900), RATE)
    assert not silence.is_calm(3 * RATE, ring.written)


def test_of_what_is_covered_nothing_is_remembered() -> None:
    ring = ring_of(*[hum(PROVEN_SECONDS + 1, rms) for rms in (10, 100) * 20])
    silence = Silence(ring)
    silence.around(0)
    assert len(silence._found) == 39
    ring.flush()
    ring.ack(ring.written - RATE)
    silence.around(0)
    assert len(silence._found) == 0


# ---- the end of a word's sound ----

WORD = hum(0.1, 3000)


def end_ms(*parts: bytes, is_last: bool = False) -> float:
    """Where a word's sound ends, in ms behind the end that its final gives it."""
    return end_of_sound(ring_of(*parts), 0, is_last=is_last) / PER_MS


@pytest.mark.parametrize("room", [0, 18, 80])
def test_a_sound_that_goes_on_to_a_pause_is_the_word_s(room: float) -> None:
    assert end_ms(hum(0.5, room)) == 0
    assert end_ms(WORD, hum(0.5, room)) == pytest.approx(100, abs=10)
    soft = hum(0.2, 12 * max(room, 10))
    assert end_ms(soft, hum(0.5, room)) == pytest.approx(200, abs=15)


@pytest.mark.parametrize("gap_ms", [10, 20, 60, 95])
def test_behind_a_gap_there_is_another_word(gap_ms: int) -> None:
    gap = hum(gap_ms / 1000, 3)
    assert end_ms(gap, WORD, hum(1, 3)) == 0
    assert end_ms(WORD, gap, WORD, hum(1, 3)) == 0


def test_what_goes_on_for_long_is_no_tail() -> None:
    assert end_ms(hum((TAIL_MS + 20) / 1000, 5000), bytes(RATE)) == 0
    assert end_ms(hum(3, 5000)) == 0  # nor a noise


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 48_000])
def test_at_any_rate(rate: int) -> None:
    ring = AudioRing(rate)
    ring.write(WORD + hum(0.5, 18), RATE)
    ring.drain()
    assert end_of_sound(ring, 0, is_last=False) / rate == pytest.approx(0.1, abs=0.01)


def test_the_end_of_the_audio_is_a_pause() -> None:
    rest = bytes(2 * 30 * PER_MS)
    assert end_ms(WORD, rest) == 0
    assert end_ms(WORD, rest, is_last=True) == pytest.approx(100, abs=10)
    assert end_ms(is_last=True) == 0
    assert end_ms(hum((TAIL_MS + 20) / 1000, 5000), rest, is_last=True) == 0


# ---- finals that say nothing of time ----


def test_the_first_pause_behind_a_sound() -> None:
    ring = ring_of(hum(1, 5), speech(0.5, 3000), hum(0.6, 5), WORD, hum(1, 5))
    found = first_pause(ring, 0, ring.written)
    assert found is not None
    assert found / RATE == pytest.approx(1.5, abs=0.05)


def test_without_a_pause() -> None:
    assert first_pause(ring_of(hum(2, 5)), 0, 2 * RATE) is None
    assert first_pause(ring_of(WORD, hum(0.25, 5)), 0, 350 * PER_MS) is None
    assert first_pause(ring_of(), 0, 0) is None
