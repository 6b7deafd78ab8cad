"""Where in a recorded call a session's audio lies, sample for sample.

Audio is compared as mu-law codes: a client that sends mu-law is known as one that
sends PCM is, and a byte is a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .places import Places

Codes = npt.NDArray[np.uint8]

PROBE_MS = 100
"""How much sound must be the same, sample for sample."""
LOST_MS = 1000
"""Audio that has not been found when so much has come is counted, not searched for."""
_UNPROVEN_MS = 10_000
"""A session that began in so much silence stays where it was taken to begin."""
_LEAST_CODES = 8
"""A stretch of fewer different codes is no evidence: silence, a hum."""


def _code_of_every_sample() -> Codes:
    samples = np.arange(-32768, 32768, dtype=np.int32)
    # Segment and mantissa of G.711 are the exponent and mantissa of a float.
    floats = (np.minimum(np.abs(samples), 32635) + 132).astype(np.float32)
    magnitude = (floats.view(np.int32) >> 19) - ((127 + 7) << 4)
    codes: Codes = (magnitude | np.where(samples < 0, 0x80, 0)).astype(np.uint8)
    codes[codes == 0x80] = 0  # there are two zeros
    return codes


_CODES = _code_of_every_sample()


def codes_of(pcm: npt.NDArray[np.int16]) -> Codes:
    """The mu-law codes of `pcm`, not inverted, with one zero."""
    return _CODES[pcm.astype(np.int32) + 32768]


class Reference:
    """The audio of a recorded call, mono at `rate`."""

    def __init__(self, audio: npt.NDArray[np.int16], rate: int) -> None:
        self.rate = rate
        self.codes = codes_of(audio)
        self._bytes = self.codes.tobytes()

    def find(self, sound: Codes) -> int | None:
        """Where `sound` begins, if it is there once and only once."""
        pattern = sound.tobytes()
        at = self._bytes.find(pattern)
        if at < 0 or self._bytes.find(pattern, at + 1) >= 0:
            return None
        return at

    def equal(self, at: int, codes: Codes) -> int:
        """How many of `codes` are the same from the sample `at` on."""
        here = self.codes[at : at + len(codes)]
        differ = np.flatnonzero(here != codes[: len(here)])
        return int(differ[0]) if len(differ) else len(here)

    def equal_before(self, at: int, codes: Codes) -> int:
        """How many of the last of `codes` are the same before the sample `at`."""
        here = self.codes[max(0, at - len(codes)) : at]
        differ = np.flatnonzero(here != codes[len(codes) - len(here) :])
        return len(here) - 1 - int(differ[-1]) if len(differ) else len(here)


class Locator:
    """Follows a session's audio through `reference`.

    `guesses` are places of the stream with which it may begin, the likeliest first.
    The session is taken to begin there as long as its audio is the same. Where it is
    not, some sound is searched for, also when silence was left out or put in. What is
    found nowhere is counted on.
    """

    def __init__(self, reference: Reference, guesses: Sequence[int]) -> None:
        self.places = Places()
        self._reference = reference
        self._guesses = guesses
        self._at = guesses[0]  # where the stream goes on
        self._lost = np.empty(0, np.uint8)  # what has come and has no place yet
        self._probed = 0  # of it
        self._unproven: Codes | None = np.empty(0, np.uint8)  # from the beginning on
        self.counts = False
        """Whether the audio isn't the recorded one, so that it is only counted."""

    @property
    def begins_there(self) -> bool:
        """Whether the session's beginning has been found, by sound or by a guess."""
        return self.places.begin is not None and not self.counts

    def count(self, samples: int) -> None:
        """So many samples have come, whatever they are."""
        self.counts = True
        self.places.add(self._at, samples)
        self._at += samples

    def add(self, pcm: npt.NDArray[np.int16]) -> None:
        """The session's audio goes on with `pcm`."""
        if self.counts:
            self.count(len(pcm))
            return
        codes = codes_of(pcm)
        if not len(self._lost) and (
            self.places.begin is not None or self._guess(codes)
        ):
            codes = codes[self._follow(codes) :]
        if len(codes):
            self._lost = np.concatenate([self._lost, codes])
            self._search()

    def _guess(self, codes: Codes) -> bool:
        """Take the beginning to be where it is the same; False if it is nowhere."""
        if len(self._lost):
            return False
        for guess in self._guesses:
            if self._reference.equal(guess, codes) == len(codes):
                self._at = guess
                return True
        return False

    def _follow(self, codes: Codes) -> int:
        """Take what is the same as in the recording; how much that is."""
        count = self._reference.equal(self._at, codes)
        self.places.add(self._at, count)
        self._at += count
        if self._unproven is not None:
            self._unproven = np.concatenate([self._unproven, codes[:count]])
            most = self._reference.rate * _UNPROVEN_MS // 1000
            is_sound = _is_sound(codes[:count], self._reference.rate)
            if is_sound or len(self._unproven) > most:
                self._unproven = None
        return count

    def _search(self) -> None:
        size = self._reference.rate * PROBE_MS // 1000
        while self._probed + size <= len(self._lost):
            sound = self._lost[self._probed : self._probed + size]
            if len(np.unique(sound)) >= _LEAST_CODES:
                found = self._reference.find(sound)
                if found is not None:
                    self._found(found)
                    return
            self._probed += size // 2
        if len(self._lost) * 1000 >= self._reference.rate * LOST_MS:
            self._give_up()

    def _found(self, at: int) -> None:
        """The sound `_probed` samples into what was lost is at `at`."""
        before = self._lost[: self._probed]
        if self._unproven is not None:
            # What seemed to be elsewhere was silence, which is the same everywhere.
            whole = np.concatenate([self._unproven, before])
            if self._reference.equal_before(at, whole) == len(whole):
                self.places = Places()
                before = whole
        same = self._reference.equal_before(at, before)
        if at >= self._at and self.places.begin is not None:
            same = min(same, at - self._at)  # the rest of it has been sent before
        self.places.pad(len(before) - same)
        self._at = at - same
        rest = self._lost[self._probed :]
        self.places.add(self._at, same)
        self._at += same
        self._unproven = None
        self._lost, self._probed = np.empty(0, np.uint8), 0
        rest = rest[self._follow(rest) :]
        if len(rest):
            self._lost = rest
            self._search()

    def _give_up(self) -> None:
        lost = len(self._lost)
        self._lost = np.empty(0, np.uint8)
        if self._at >= len(self._reference.codes):
            self.places.pad(lost)  # behind the recording's end there is nothing
            self._probed = 0
        else:
            self.count(lost)


def _is_sound(codes: Codes, rate: int) -> bool:
    enough = rate * PROBE_MS // 1000 // 2
    return len(codes) >= enough and len(np.unique(codes)) >= _LEAST_CODES
