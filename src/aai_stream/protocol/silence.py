"""Where nobody speaks, and where a word's sound ends: by the audio's own level.

Silence is audio that has stayed as loud as it is for `PROVEN_SECONDS`, in which no
session had a turn open when it was lost. `Steadiness` says what counts as steady.
"""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING

from .._core import Steadiness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._core import AudioRing

PROVEN_SECONDS = 3.0
"""Nobody speaks for so long without a syllable or a pause."""

TAIL_MS = 250
"""A word may sound on for so long behind the end that its turn's final gives it."""

PAUSE_MS = 100
"""So much quiet ends a word's sound. Less may lie within a word, or between two."""

TURN_PAUSE_MS = 300
"""So much quiet may end a turn. Where less does, more is heard again than need be."""

CLICK_MS = 20
"""A sound that is no longer is no word."""

_WINDOW_MS = 5
_FLOOR = 4.0  # mean square: nothing but rounding is below
_SOFTER = 1 / 200  # than the loudest: 23 dB
_AS_QUIET = 4.0  # times the quietest


class Silence:
    """The silent stretches of a ring's audio, from where it is needed on."""

    def __init__(self, ring: AudioRing) -> None:
        self._ring = ring
        self.steadiness = Steadiness(ring)
        self._shortest = round(PROVEN_SECONDS * ring.sample_rate)
        self.click = ring.sample_rate * CLICK_MS // 1000
        self._found: deque[tuple[int, int]] = deque()
        self.spoken_until = 0
        """Nothing before this sample is silence, whatever it looks like."""

    def around(self, sample: int) -> tuple[int, int]:
        """The start and the end of the silence that `sample` lies in, or begins; both
        are `sample` if there is none."""
        if sample < self.spoken_until:
            return sample, sample
        start = end = sample
        for first, last in self._stretches():
            if first <= end < last:
                start, end = min(start, first), last
        return max(start, self.spoken_until), end

    def end_behind(self, sample: int) -> int:
        """The end of the silence that begins at `sample`, or within a click of it:
        silence is found by the window, and may begin within one."""
        start, end = self.around(sample + self.click)
        return max(self.around(sample)[1], end if start < end else sample)

    def is_calm(self, start: int, stop: int) -> bool:
        """Whether there is no sound from `start` to `stop`: nothing but silence, or
        what has been steady since `start`, however short."""
        end, near = self.end_behind(start), start + self.click
        # What is steady behind silence may be a sound.
        if end == start and max(self.steadiness.since, self.spoken_until) <= near:
            end = self.steadiness.seen
        return end + self.click >= stop

    def _stretches(self) -> Iterable[tuple[int, int]]:
        now = self.steadiness
        self._found.extend(now.follow(self._shortest))
        while self._found and self._found[0][1] <= self._ring.acked:
            self._found.popleft()
        yield from self._found
        if now.seen - now.since >= self._shortest:
            yield now.since, now.seen


def end_of_sound(ring: AudioRing, sample: int, *, is_last: bool) -> int:
    """Where the sound of a word ends that a final ends at `sample`.

    That is where a pause begins, if the sound goes on to there without a gap and for
    no longer than `TAIL_MS`; otherwise `sample`: what follows may be the next word.
    `is_last`: no audio will follow what is in the ring, so its end is a pause as well.
    """
    stop = sample + ring.sample_rate * (TAIL_MS + PAUSE_MS) // 1000
    quiet = _quiet_windows(ring, sample, stop)
    tail = quiet.index(True) if True in quiet else len(quiet)
    pause = quiet[tail : tail + PAUSE_MS // _WINDOW_MS]
    is_long = len(pause) * _WINDOW_MS == PAUSE_MS or (is_last and stop >= ring.written)
    if not all(pause) or not is_long or tail * _WINDOW_MS > TAIL_MS:
        return sample
    return sample + tail * _window(ring)


def first_pause(ring: AudioRing, start: int, stop: int) -> int | None:
    """Where the first pause behind a sound between `start` and `stop` begins, in which
    a turn may have ended; None if there is none."""
    place = 0
    for is_quiet, run in groupby(_quiet_windows(ring, start, stop)):
        length = len([*run])
        if is_quiet and place and length * _WINDOW_MS >= TURN_PAUSE_MS:
            return start + place * _window(ring)
        place += length
    return None


def _window(ring: AudioRing) -> int:
    return max(1, ring.sample_rate * _WINDOW_MS // 1000)


def _quiet_windows(ring: AudioRing, start: int, stop: int) -> list[bool]:
    """For each window of the audio that there is, whether it is quiet beside the
    others."""
    window = _window(ring)
    moments = ring.moments(start, min(stop, ring.written), window)
    levels = [squares / window for _, squares in moments]
    if not levels:
        return []
    limit = max(_FLOOR, max(levels) * _SOFTER, min(levels) * _AS_QUIET)
    return [level <= limit for level in levels]
