"""The turn decoder on the demo call: words, turns, and independence of the chunking."""

from __future__ import annotations

import functools
from itertools import pairwise
from pathlib import Path

import jiwer
import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr

pytest.importorskip("pocketsphinx", reason="needs the extra `local`")

from aai_stream._core import AudioRing
from aai_stream.emulator.engines.decoder import MODEL_RATE, TurnDecoder, load_model
from aai_stream.emulator.engines.engine import (
    Finished,
    Heard,
    HeardWord,
    Hypothesis,
    Silence,
    SpeechStarted,
    TurnSettings,
)

Samples = npt.NDArray[np.int16]

EXAMPLES = Path(__file__).parents[3] / "examples"
CALLS = ["call.wav", "call-stereo-44k.flac"]
SETTINGS = TurnSettings(min_silence_ms=400, max_silence_ms=1280)


@functools.cache
def read(name: str) -> tuple[Samples, int]:
    """A clip as mono samples, and its rate."""
    samples, rate = soundfile.read(EXAMPLES / name, dtype="int16", always_2d=True)
    return samples.mean(axis=1).round().astype(np.int16), rate


def excerpt(start_ms: int, end_ms: int, silence_ms: int = 0) -> Samples:
    """A stretch of `call.wav` with silence behind it."""
    samples, rate = read("call.wav")
    stretch = samples[start_ms * rate // 1000 : end_ms * rate // 1000]
    return np.append(stretch, np.zeros(silence_ms * rate // 1000, np.int16))


HELLO = (0, 1400)
LAST_SENTENCE = (12200, 16600)
MY = (12200, 12970)
"""The last sentence's first word, which asks for another."""


def hear(
    samples: Samples,
    rate: int = MODEL_RATE,
    settings: TurnSettings = SETTINGS,
    chunk_bytes: int | None = None,
) -> list[Heard]:
    session = TurnDecoder(load_model(), rate, settings)
    pcm = samples.tobytes()
    step = chunk_bytes or rate // 20 * 2
    heard = []
    for at in range(0, len(pcm), step):
        heard += session.hear(pcm[at : at + step])
    return heard + session.finish()


@functools.cache
def hear_call(name: str) -> list[Heard]:
    return hear(*read(name))


def hypotheses(heard: list[Heard]) -> list[Hypothesis]:
    return [each for each in heard if isinstance(each, Hypothesis)]


def finals(heard: list[Heard]) -> list[Hypothesis]:
    return [each for each in hypotheses(heard) if each.end_of_turn]


def words(heard: list[Heard]) -> list[HeardWord]:
    return [word for final in finals(heard) for word in final.words]


def text(heard: list[Heard]) -> str:
    return " ".join(word.text for word in words(heard))


def plain(sentence: str) -> str:
    kept = (c if c.isalpha() or c == "'" else " " for c in sentence.lower())
    return " ".join("".join(kept).split())


@pytest.mark.parametrize("name", CALLS)
def test_word_error_rate(name: str) -> None:
    reference = plain((EXAMPLES / "call.txt").read_text(encoding="ascii"))
    assert jiwer.wer(reference, text(hear_call(name))) <= 0.15


@pytest.mark.parametrize("name", CALLS)
def test_each_sentence_is_a_turn(name: str) -> None:
    heard = hear_call(name)
    sentences = (EXAMPLES / "call.txt").read_text(encoding="ascii").splitlines()
    assert len(finals(heard)) == len(sentences)
    assert sum(isinstance(each, SpeechStarted) for each in heard) == len(sentences)
    assert isinstance(heard[-1], Finished)


def test_speech_starts_before_the_first_word_is_told() -> None:
    begun = None
    for each in hear_call("call.wav"):
        if isinstance(each, SpeechStarted):
            assert begun is None
            begun = each.at_ms
        elif isinstance(each, Hypothesis):
            assert begun is not None
            if each.end_of_turn:
                assert abs(each.words[0].start_ms - begun) <= 150
                begun = None


@pytest.mark.parametrize("name", CALLS)
def test_word_times(name: str) -> None:
    heard = words(hear_call(name))
    for word in heard:
        assert 50 <= word.end_ms - word.start_ms <= 1000, word
        assert 0 <= word.confidence <= 1
    for one, next_ in pairwise(heard):
        assert one.end_ms <= next_.start_ms
    samples, rate = read(name)
    loudness = np.abs(samples.astype(int))
    for final in finals(hear_call(name)):
        begin = final.words[0].start_ms * rate // 1000
        end = final.words[-1].end_ms * rate // 1000
        assert loudness[begin - rate // 10 : end + rate // 10].max() > 1000
        assert loudness[end + rate // 5 : end + rate // 2].max(initial=0) < 100


def test_partials_grow_and_change() -> None:
    turn = []
    for each in hypotheses(hear_call("call.wav")):
        turn.append(each)
        if each.end_of_turn:
            break
    assert len(turn) >= 4
    assert len(turn[0].words) < len(turn[-1].words)
    gaps = [b.heard_ms - a.heard_ms for a, b in pairwise(turn[1:-1])]
    assert min(gaps) >= 200
    assert {word.confidence for each in turn[:-1] for word in each.words} <= {0.5, 0.95}


def test_a_turn_ends_soon_after_its_last_word() -> None:
    for final in finals(hear_call("call.wav")):
        assert 400 <= final.heard_ms - final.words[-1].end_ms <= 700


@pytest.mark.parametrize("chunk_bytes", [777, 20_011])
def test_the_chunking_changes_nothing(chunk_bytes: int) -> None:
    samples = excerpt(*HELLO, 1000)
    heard = hear(samples)
    assert text(heard) == "hello"
    assert hear(samples, chunk_bytes=chunk_bytes) == heard


def test_the_chunking_changes_nothing_when_resampled() -> None:
    samples, rate = read("call-stereo-44k.flac")
    samples = samples[: rate * 2]
    heard = hear(samples, rate)
    assert text(heard).startswith("hello this")
    assert hear(samples, rate, chunk_bytes=1001) == heard


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_the_core_s_filters_cost_no_word(rate: int) -> None:
    samples, _ = read("call.wav")
    wide = soxr.resample(samples.astype(np.float32), MODEL_RATE, rate)
    ring = AudioRing(MODEL_RATE, resampler="fir")
    ring.write(wide.round().clip(-32768, 32767).astype(np.int16), rate)
    back = np.frombuffer(b"".join(map(bytes, ring.flush())), np.int16)
    assert text(hear(back)) == text(hear_call("call.wav"))


def test_8_khz() -> None:
    wide = excerpt(*LAST_SENTENCE).astype(np.float32)
    narrow = soxr.resample(wide, MODEL_RATE, 8000).round().astype(np.int16)
    heard = hear(narrow, 8000)
    reference = "my account number is seven three nine four five eight"
    assert jiwer.wer(reference, text(heard)) <= 0.5
    assert abs(finals(heard)[-1].words[-1].end_ms - 3310) <= 100


def test_silence_only() -> None:
    heard = hear(np.zeros(MODEL_RATE * 7 // 2, np.int16))
    assert isinstance(heard.pop(), Finished)
    assert len(heard) == 3
    begin = 0
    for each in heard:
        assert isinstance(each, Silence)
        assert each.start_ms == begin
        assert 900 <= each.end_ms - each.start_ms <= 1100
        begin = each.end_ms


def test_noise_without_words_is_not_told() -> None:
    noise = np.random.default_rng(0).normal(0, 3000, MODEL_RATE * 4 // 5)
    quiet = np.zeros(MODEL_RATE)
    heard = hear(np.concatenate([quiet, noise, quiet, quiet]).astype(np.int16))
    assert all(isinstance(each, Silence | Finished) for each in heard)


def test_min_silence_ends_a_finished_turn() -> None:
    samples = excerpt(*HELLO, 1000)
    soon, late = (
        finals(hear(samples, settings=TurnSettings(least, 5000)))[0].heard_ms
        for least in (300, 600)
    )
    assert late - soon == 300


def test_silence_has_a_floor() -> None:
    (final,) = finals(hear(excerpt(*MY, 1000), settings=TurnSettings(50, 50)))
    floor = final.heard_ms
    (final,) = finals(hear(excerpt(*MY, 1000), settings=TurnSettings(240, 240)))
    assert final.heard_ms == floor


def test_an_unfinished_turn_is_held_until_max_silence() -> None:
    heard = hypotheses(hear(excerpt(*MY, 2000), settings=TurnSettings(300, 900)))
    assert {word.text for each in heard for word in each.words} == {"my"}
    pauses = [each for each in heard if each.pause]
    assert len(pauses) == 1
    assert heard[-1].end_of_turn
    assert heard[-1].heard_ms - pauses[0].heard_ms == 600
    held = [each.end_of_turn_confidence for each in heard[heard.index(pauses[0]) :]]
    assert len(held) >= 4
    assert held == sorted(set(held))
    assert pauses[0].end_of_turn_confidence == pytest.approx(1 / 3, abs=0.001)
    assert held[-1] == 1


def test_configure_while_a_turn_is_held() -> None:
    session = TurnDecoder(load_model(), MODEL_RATE, TurnSettings(5000, 5000))
    assert finals(session.hear(excerpt(*MY, 1500).tobytes())) == []
    session.configure(TurnSettings(300, 900))
    frame = bytes(MODEL_RATE * 30 // 1000 * 2)
    (final,) = finals(session.hear(frame))
    assert [word.text for word in final.words] == ["my"]


def test_force_endpoint() -> None:
    session = TurnDecoder(load_model(), MODEL_RATE, SETTINGS)
    assert session.force_endpoint() == []
    before = session.hear(excerpt(0, 1800).tobytes())
    assert finals(before) == []
    (final,) = hypotheses(session.force_endpoint())
    assert final.end_of_turn
    assert 1700 <= final.heard_ms <= 1800
    assert final.words[0].text == "hello"
    assert session.force_endpoint() == []
    after = session.hear(excerpt(1800, 3700).tobytes())
    assert isinstance(after[0], SpeechStarted)
    assert finals(after)[0].words[0].start_ms >= final.words[-1].end_ms


def test_finish_ends_the_open_turn() -> None:
    heard = hear(excerpt(0, 3000))
    assert isinstance(heard[-1], Finished)
    assert isinstance(heard[-2], Hypothesis)
    assert heard[-2].end_of_turn
    assert finals(heard) == [heard[-2]]


def test_a_turn_has_a_longest_duration() -> None:
    settings = msgspec.structs.replace(SETTINGS, longest_ms=1500)
    ends = [f.heard_ms for f in finals(hear(excerpt(0, 3000), settings=settings))]
    assert len(ends) == 2
    assert ends[0] < 2200
