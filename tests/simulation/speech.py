"""What is said in a simulated call, and audio whose samples know where they are.

The low four bits of sixteen samples in a row are the scrambled number of their block,
so whoever hears 48 samples knows their place. What is above those bits is the sound:
a background that is steady, and words that are not, unless they are soft.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

RATE = 8000
_BLOCK = 16
_MASK = 2**64 - 1
_MULTIPLIER = 0x9E3779B97F4A7C15
_INVERSE = pow(_MULTIPLIER, -1, 2**64)
_LONGEST_CALL = 2**28  # blocks
_POWERS = np.uint64(16) ** np.arange(_BLOCK, dtype=np.uint64)

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Said:
    """A word: `start` and `end` in samples."""

    number: int
    start: int
    end: int
    sounds_from: int
    """It may begin softly, up to here."""
    text: str
    speaker: str
    is_soft: bool
    """No louder than the background: only the service can hear it."""


@dataclass(frozen=True)
class Talk:
    """How the people of a call speak."""

    loud: int
    """Amplitude of a word, in steps of 16."""
    noise: int
    """Of the background, likewise."""
    monologues: float
    """How many of their turns are longer than a minute."""
    soft: float
    """How many of their turns nobody hears but the service."""
    longest_pause: float
    """In seconds."""


def draw_talk(dice: random.Random) -> Talk:
    """Loud people and quiet ones."""
    noise = dice.choice((0, 0, 0, 6))
    return Talk(
        loud=dice.choice((60, 400, 1000) if noise else (12, 60, 400, 1000)),
        noise=noise,
        monologues=dice.choice((0.0, 0.05, 0.05, 0.6)),
        soft=dice.choice((0.0, 0.0, 0.2, 0.8)),
        longest_pause=dice.choice((6, 60, 60)),
    )


def _seconds(seconds: float) -> int:
    return round(seconds * RATE)


def make_words(dice: random.Random, seconds: float, talk: Talk) -> list[Said]:
    """Who speaks so long: in short turns and long ones, with pauses of all lengths."""
    words: list[Said] = []
    at = _seconds(dice.uniform(0, 5))
    end = _seconds(seconds)
    while at < end:
        is_monologue = dice.random() < talk.monologues
        count = dice.randint(60, 400) if is_monologue else dice.randint(1, 20)
        is_soft = dice.random() < talk.soft
        speaker = dice.choice("AB")
        onset = _seconds(dice.choice((0.0, 0.05, 0.15, 0.3)))
        for _ in range(count):
            length = _seconds(dice.uniform(0.08, 0.6))
            if at + length > end:
                return words
            number = len(words)
            sound = at + max(0, min(onset, length - RATE // 20))
            words.append(
                Said(number, at, at + length, sound, f"w{number}", speaker, is_soft)
            )
            onset = 0
            at += length + _seconds(dice.choice((0.0, 0.02, 0.05, 0.12)))
        pauses = (0.5, 0.8, 1.5, 3, 6, 20, 60)
        pause = dice.choice([p for p in pauses if p <= talk.longest_pause])
        at += _seconds(pause * dice.uniform(0.8, 1.2))
    return words


def make_audio(
    dice: random.Random, words: list[Said], seconds: float, talk: Talk
) -> bytes:
    """The call as PCM16. Words are of different loudness."""
    count = _seconds(seconds) // _BLOCK * _BLOCK
    audio = _marks((count // (60 * RATE)).bit_length())[:count].copy()
    if talk.noise:
        noise = _background(talk.noise)
        for start in range(0, count, len(noise)):
            audio[start : start + len(noise)] += noise[: count - start]
    for word in words:
        if not word.is_soft:
            loud = round(talk.loud * dice.choice((0.7, 1.0, 1.5)))
            sound = _sounds(loud)[dice.randrange(_VARIANTS)]
            audio[word.sounds_from : word.end] += sound[: word.end - word.sounds_from]
    return audio.tobytes()


@lru_cache
def _marks(size: int) -> Samples:
    """Samples that know their place, and are otherwise silent: 2 ** size minutes."""
    blocks = np.arange(60 * RATE // _BLOCK << size, dtype=np.uint64)
    with np.errstate(over="ignore"):
        mixed = (blocks + np.uint64(1)) * np.uint64(_MULTIPLIER)
        mixed ^= mixed >> np.uint64(32)
    both = mixed.astype("<u8").view(np.uint8)
    marks: Samples = np.empty(len(both) * 2, np.int16)
    marks[::2], marks[1::2] = both & 15, both >> 4
    marks -= 8
    return marks


@lru_cache(maxsize=4)
def _background(loud: int) -> Samples:
    dice = np.random.default_rng(loud)
    return dice.integers(-loud, loud + 1, 10 * RATE).astype(np.int16) << 4


_VARIANTS = 16


@lru_cache(maxsize=32)
def _sounds(loud: int) -> list[Samples]:
    """Of words: noise that rises and falls with the syllables."""
    dice = np.random.default_rng(loud)
    sounds = []
    for _ in range(_VARIANTS):
        steps = dice.uniform(0.45, 1, 12) * loud
        envelope = np.repeat(steps, _seconds(0.06))[: _seconds(0.61)]
        noise = dice.uniform(-1, 1, len(envelope)) * envelope
        sounds.append(np.rint(noise).astype(np.int16) << 4)
    return sounds


class Recording:
    """The audio of a call, in which a stretch of it can be found."""

    def __init__(self, pcm: bytes) -> None:
        self.pcm = pcm

    def find(self, message: bytes, expected: int | None) -> tuple[int, int]:
        """Where a message's audio begins, most likely at `expected`, and how many
        samples of it are no padding at its end. Raises `ValueError` if it is none."""
        start = expected
        if start is None or not self._is_at(message, start):
            start = _place(message)
            if start is None:  # too short to tell
                start = max(0, self.pcm.find(message.rstrip(b"\0"))) // 2
                start = start if expected is None else expected
        if self._is_at(message, start):
            return start, len(message) // 2
        count = self._agreeing(message, start)
        if any(message[2 * count :]):
            raise ValueError(f"a message is sent that was not said at {start}")
        return start, count

    def _is_at(self, message: bytes, start: int) -> bool:
        return self.pcm[2 * start : 2 * start + len(message)] == message

    def _agreeing(self, message: bytes, start: int) -> int:
        """How many samples are as they were said."""
        heard = np.frombuffer(message, "<i2")
        said = np.frombuffer(self.pcm, "<i2")[start : start + len(heard)]
        differs = np.flatnonzero(heard[: len(said)] != said)
        return int(differs[0]) if len(differs) else len(said)


def _place(message: bytes) -> int | None:
    """Where in its call a message begins, by its first samples."""
    samples = np.frombuffer(message[: 6 * _BLOCK], "<i2")
    if len(samples) < 3 * _BLOCK:
        return None
    marks = ((samples + 8) & 15).astype(np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(marks, _BLOCK)
    numbers = [int(number) for number in (windows * _POWERS).sum(axis=1)]
    for offset in range(_BLOCK):
        block = _unscramble(numbers[offset])
        following = _unscramble(numbers[offset + _BLOCK])
        if block < _LONGEST_CALL and following == block + 1:
            return max(0, block * _BLOCK - offset)
    return None


def _unscramble(value: int) -> int:
    mixed = value ^ (value >> 32)
    return (mixed * _INVERSE - 1) & _MASK


class Script:
    """The words of a call, to be found by place."""

    def __init__(self, words: list[Said]) -> None:
        self.words = words
        self._starts = [word.start for word in words]
        self._ends = [word.end for word in words]

    def ending_behind(self, sample: int) -> int:
        """The first word that ends behind `sample`."""
        return bisect_left(self._ends, sample + 1)

    def is_spoken(self, start: int, end: int) -> bool:
        """Whether any of a word lies between two samples."""
        first = self.ending_behind(start)
        return first < len(self.words) and self._starts[first] < end

    def sounds(self, start: int, end: int) -> bool:
        """Likewise, of a word that is no softer than the background."""
        first = self.ending_behind(start)
        behind = bisect_left(self._starts, end) if start < end else first
        return any(not word.is_soft for word in self.words[first:behind])

    def under_way(self, sample: int) -> int | None:
        """The number of the word that `sample` lies in."""
        first = self.ending_behind(sample)
        is_in = first < len(self.words) and self._starts[first] < sample
        return first if is_in else None
