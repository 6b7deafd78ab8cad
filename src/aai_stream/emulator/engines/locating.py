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
"""How much sound must be the same, sample for sample, if it is there only once."""
LOST_MS = 1000
"""When so much sound has not been found, all audio is counted, not searched for."""
QUIET_MS = 10_000
"""So much quiet at the beginning is taken to be a guess, if it is the same there."""
_LEAST_CHANGES = 16
"""Audio with fewer samples that differ from the one before is quiet."""


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

    def find(self, sound: Codes) -> list[int]:
        """Where `sound` begins: the first two places."""
        pattern = sound.tobytes()
        places: list[int] = []
        at = self._bytes.find(pattern)
        while at >= 0 and len(places) < 2:
            places.append(at)
            at = self._bytes.find(pattern, at + 1)
        return places

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

    Quiet audio is the same in many places, so that sound decides where the session
    begins. If all of its audio up to there is the same from one of `guesses` on, places
    of the stream with the likeliest first, it begins there. Otherwise the sound is
    searched for. The same is done where the audio goes on in another way than the
    recording, as when silence was left out or put in. Sound that is nowhere is counted
    on.
    """

    def __init__(self, reference: Reference, guesses: Sequence[int]) -> None:
        self.places = Places()
        self._reference = reference
        self._guesses = list(guesses)  # that are right so far
        self._at = guesses[0]  # where the stream goes on
        self._lost = np.empty(0, np.uint8)  # what has come and has no place yet
        rate = reference.rate
        self._size = rate * PROBE_MS // 1000
        self._probed = 0  # of what is lost
        self._length = self._size  # of the stretch that is searched for
        self._unfound = 0  # samples of sound
        self._most_unfound = rate * LOST_MS // 1000
        self._most_quiet = rate * QUIET_MS // 1000
        self.counts = False
        """Whether the audio isn't the recorded one, so that it is only counted."""

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
        if self.places.begin is not None and not len(self._lost):
            codes = codes[self._follow(codes) :]
        if len(codes):
            self._lost = np.concatenate([self._lost, codes])
            if self.places.begin is not None or not self._guess(len(codes)):
                self._search()

    def settle(self) -> None:
        """No more audio comes. If all of it was quiet, it began at a guess."""
        if self.places.begin is None and len(self._lost) and not self._unfound:
            if self._guesses:
                self._begin_at(self._guesses[0])
            else:
                self._give_up()

    def _guess(self, fresh: int) -> bool:
        """Whether it may begin at a guess, also after the `fresh` samples."""
        before = len(self._lost) - fresh
        codes = self._lost[before:]
        self._guesses = [
            guess
            for guess in self._guesses
            if self._reference.equal(guess + before, codes) == fresh
        ]
        if not self._guesses:
            return False
        if _is_sound(self._lost) or len(self._lost) > self._most_quiet:
            self._begin_at(self._guesses[0])
        return True

    def _begin_at(self, guess: int) -> None:
        self._at = guess
        lost, self._lost = self._lost, np.empty(0, np.uint8)
        self._follow(lost)

    def _follow(self, codes: Codes) -> int:
        """Take what is the same as in the recording; how much that is."""
        count = self._reference.equal(self._at, codes)
        self.places.add(self._at, count)
        self._at += count
        return count

    def _search(self) -> None:
        step = self._size // 2
        while self._probed + self._length <= len(self._lost):
            sound = self._lost[self._probed : self._probed + self._length]
            if not _is_sound(sound):
                self._probed += step
                continue
            found = self._reference.find(sound)
            if len(found) == 1:
                self._found(found[0])
                return
            self._unfound += step
            if found:
                self._length += step  # more of it may be there only once
            else:
                self._probed += step
                self._length = self._size
        if self._unfound >= self._most_unfound:
            self._give_up()
        elif len(self._lost) > self._most_quiet:
            self._pad(self._probed)

    def _found(self, at: int) -> None:
        """The sound `_probed` samples into what was lost is at `at`."""
        before, rest = self._lost[: self._probed], self._lost[self._probed :]
        same = self._reference.equal_before(at, before)
        if at >= self._at and self.places.begin is not None:
            same = min(same, at - self._at)  # the rest of it has been sent before
        self._pad(len(before) - same)
        self._at = at - same
        self.places.add(self._at, same)
        self._at = at
        self._lost, self._probed, self._length = np.empty(0, np.uint8), 0, self._size
        self._unfound = 0
        rest = rest[self._follow(rest) :]
        if len(rest):
            self._lost = rest
            self._search()

    def _pad(self, samples: int) -> None:
        """The first `samples` of what was lost are not the stream's."""
        self.places.pad(samples)
        self._lost = self._lost[samples:]
        self._probed = max(0, self._probed - samples)

    def _give_up(self) -> None:
        if self._at >= len(self._reference.codes):
            self._pad(len(self._lost))  # behind the recording's end there is nothing
            self._unfound = 0
            return
        lost, self._lost = len(self._lost), np.empty(0, np.uint8)
        if self.places.begin is None:
            lost += self.places.samples
            self.places = Places()
        self.count(lost)


def _is_sound(codes: Codes) -> bool:
    return int(np.count_nonzero(codes[1:] != codes[:-1])) >= _LEAST_CHANGES
