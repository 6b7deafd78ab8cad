"""What is said in a simulated call, and audio whose samples know where they are.

A sample's high byte is how loud it is; the low bytes of eight in a row are the
scrambled number of their block. So whoever hears two dozen samples knows their place,
and to anyone else they sound like speech in a steady hiss.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RATE = 8000
_BLOCK = 8
_MASK = 2**64 - 1
_MULTIPLIER = 0x9E3779B97F4A7C15
_INVERSE = pow(_MULTIPLIER, -1, 2**64)
_LONGEST_CALL = 2**28  # blocks

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Said:
    """A word: `start` and `end` in samples."""

    number: int
    start: int
    end: int

    @property
    def text(self) -> str:
        return f"w{self.number}"


def _seconds(seconds: float) -> int:
    return round(seconds * RATE)


def make_words(dice: random.Random, seconds: float) -> list[Said]:
    """Who speaks so long: in short turns and long ones, with pauses of all lengths."""
    words: list[Said] = []
    at = _seconds(dice.uniform(0, 5))
    end = _seconds(seconds)
    while at < end:
        is_monologue = dice.random() < 0.1
        count = dice.randint(60, 200) if is_monologue else dice.randint(1, 20)
        for _ in range(count):
            length = _seconds(dice.uniform(0.08, 0.6))
            if at + length > end:
                return words
            words.append(Said(len(words), at, at + length))
            at += length + _seconds(dice.choice((0.0, 0.02, 0.05, 0.1)))
        pause = dice.choice((0.5, 0.8, 1.5, 3, 6, 20, 60))
        at += _seconds(pause * dice.uniform(0.8, 1.2))
    return words


def make_audio(dice: random.Random, words: list[Said], seconds: float) -> Samples:
    """The call: each word as loud as it likes."""
    count = _seconds(seconds) // _BLOCK * _BLOCK
    blocks = np.arange(count // _BLOCK, dtype=np.uint64)
    low = _scramble(blocks).astype("<u8").view(np.uint8).astype(np.int16)
    high = np.zeros(count, np.int16)
    noise = np.random.default_rng(dice.getrandbits(32))
    for word in words:
        loud = dice.choice((4, 20, 100))
        high[word.start : word.end] = noise.integers(-loud, loud, word.end - word.start)
    audio: Samples = (high << 8) | low
    return audio


def _scramble(blocks: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        mixed = (blocks + np.uint64(1)) * np.uint64(_MULTIPLIER)
        return mixed ^ (mixed >> np.uint64(32))


def _unscramble(value: int) -> int:
    mixed = value ^ (value >> 32)
    return (mixed * _INVERSE - 1) & _MASK


def place(audio: bytes) -> tuple[int | None, int]:
    """Where in the call a message's audio begins, None if it is too short to tell, and
    how many samples of it are no padding at the end."""
    low = audio[::2]
    count = len(low)
    while count and not any(low[max(0, count - 4) : count]):
        count -= 1
    if count < 3 * _BLOCK:
        return None, count
    first = _find(low, 0)
    last = _find(low, count - 3 * _BLOCK)
    assert first == last, "audio of different places in one message"
    return first, count


def _find(low: bytes, at: int) -> int:
    for offset in range(_BLOCK):
        start = at + offset
        block, following = (
            _unscramble(int.from_bytes(low[place : place + _BLOCK], "little"))
            for place in (start, start + _BLOCK)
        )
        if block < _LONGEST_CALL and following == block + 1:
            return block * _BLOCK - start
    raise AssertionError("this audio is of no call")


class Script:
    """The words of a call, to be found by place."""

    def __init__(self, words: list[Said]) -> None:
        self.words = words
        self._ends = [word.end for word in words]

    def ending_behind(self, sample: int) -> int:
        """The first word that ends behind `sample`."""
        return bisect_left(self._ends, sample + 1)
