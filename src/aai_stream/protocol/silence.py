"""Where nobody speaks, and where a word's sound ends: by the audio's own level.

Silence is audio that has stayed as loud as it is for `PROVEN_SECONDS`, in which no
session had a turn open when it was lost. `Steadiness` says what counts as steady.
"""

from __future__ import annotations

from collections import deque
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

_WINDOWS_A_SECOND = 200
_FLOOR = 4.0  # mean square: nothing but rounding is below
_SOFTER = 1 / 200  # than the loudest: 23 dB
_AS_QUIET = 4.0  # times the quietest


class Silence:
    """The silent stretches of a ring's audio, from where it is needed on."""

    def __init__(self, ring: AudioRing) -> None:
        self._ring = ring
        self._steadiness = Steadiness(ring)
        self._shortest = round(PROVEN_SECONDS * ring.sample_rate)
        self._click = ring.sample_rate * CLICK_MS // 1000
        self._found: deque[tuple[int, int]] = deque()
        self.spoken_until = 0
        """Nothing before this sample is silence, whatever it looks like."""

    def look(self) -> None:
        """Look at what was written since the last time."""
        self._found.extend(self._steadiness.follow(self._shortest))
        while self._found and self._found[0][1] <= self._ring.acked:
            self._found.popleft()

    @property
    def seen(self) -> int:
        """How far it has looked."""
        return self._steadiness.seen

    def around(self, sample: int) -> tuple[int, int]:
        """The start and the end of the silence that `sample` lies in, or begins; both
        are `sample` if there is none."""
        if sample < self.spoken_until:
            return sample, sample
        start = end = sample
        for first, last in self._stretches():
            if first <= end < last:
                if end == sample:
                    start = max(first, self.spoken_until)
                end = last
        return start, end

    def end_behind(self, sample: int) -> int:
        """The end of the silence that begins at `sample`, or within a click of it:
        silence is found by the window, and may begin within one."""
        near = self.around(sample + self._click)
        return max(self.around(sample)[1], near[1] if near[0] < near[1] else sample)

    def is_calm(self, start: int, stop: int) -> bool:
        """Whether there is no sound from `start` to `stop`: nothing but silence, and a
        rest that is steady, however short."""
        silent_until = self.end_behind(start)
        if max(silent_until, start + self._click) >= stop:
            return True
        if silent_until > start:
            return False  # a sound ended it
        start += self._click
        if start < self.spoken_until or stop - start > self._shortest:
            return False
        rest = Steadiness(self._ring, start)
        rest.follow(self._shortest)
        return rest.since == start

    def _stretches(self) -> Iterable[tuple[int, int]]:
        yield from self._found
        now = self._steadiness
        if now.seen - now.since >= self._shortest:
            yield now.since, now.seen


def end_of_sound(ring: AudioRing, sample: int, *, is_last: bool) -> int:
    """Where the sound of a word ends that a final ends at `sample`.

    That is where a pause begins, if the sound goes on to there without a gap and for
    no longer than `TAIL_MS`; otherwise `sample`: what follows may be the next word.
    `is_last`: no audio will follow what is in the ring, so its end is a pause as well.
    """
    rate = ring.sample_rate
    window = max(1, rate // _WINDOWS_A_SECOND)
    stop = min(ring.written, sample + rate * (TAIL_MS + PAUSE_MS) // 1000)
    quiet = _quiet_windows(ring, sample, stop, window)
    tail = next((n for n, is_quiet in enumerate(quiet) if is_quiet), len(quiet))
    pause = quiet[tail : tail + PAUSE_MS * _WINDOWS_A_SECOND // 1000]
    is_pause = all(pause) and len(pause) * window * 1000 >= PAUSE_MS * rate
    if is_last and stop == ring.written:
        is_pause = all(pause)
    if not is_pause or tail * window * 1000 > TAIL_MS * rate:
        return sample
    return min(sample + tail * window, stop)


def first_pause(ring: AudioRing, start: int, stop: int) -> int | None:
    """Where the first pause behind a sound between `start` and `stop` begins, in which
    a turn may have ended; None if there is none."""
    window = max(1, ring.sample_rate // _WINDOWS_A_SECOND)
    shortest = TURN_PAUSE_MS * _WINDOWS_A_SECOND // 1000
    run = -1  # of quiet windows; -1 before the first sound
    for place, is_quiet in enumerate(_quiet_windows(ring, start, stop, window)):
        if not is_quiet:
            run = 0
        elif run >= 0:
            run += 1
            if run == shortest:
                return start + (place + 1 - shortest) * window
    return None


def _quiet_windows(ring: AudioRing, start: int, stop: int, window: int) -> list[bool]:
    """For each window, whether it is quiet beside the others."""
    levels = [squares / window for _, squares in ring.moments(start, stop, window)]
    if not levels:
        return []
    limit = max(_FLOOR, max(levels) * _SOFTER, min(levels) * _AS_QUIET)
    return [level <= limit for level in levels]
