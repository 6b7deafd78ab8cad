"""Which audio is needed no more, and where the next session begins.

Audio is covered by a final turn up to the end of its last word, by silence that a
session has heard and had nothing to say of, and where it is told as lost.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .events import LostTurn, Told
from .gaps import Gaps
from .silence import Silence, end_of_sound, first_pause
from .turns import MOST_SECONDS, MOVED_MS, together

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from .._core import AudioRing

KEPT_SECONDS = 2.0
"""This much silence is sent behind a sound in any case, since it ends turns."""

LEAD_SECONDS = 0.5
"""This much silence is kept, or sent, before a sound: words begin softly."""

LONGEST_SURE_TURN_MS = 9000
"""A longer turn may have been cut in the middle of speech: what sounds right behind its
last word may be the next one."""

OVERDUE_SECONDS = 10.0
"""In such a silence a turn ends."""

LATE_SECONDS = 5.0
"""So much later than others the last turns of a session may come: 11 s in all were
seen. That it has expired comes behind them."""

SLACK_MS = 250
"""Another session may end the same words so much earlier."""


class Coverage:
    """Decides what of a ring's audio has been dealt with; `told` gets what is lost.

    Attributes:
        input_ended: no more audio will come.
    """

    def __init__(self, ring: AudioRing, told: MutableSequence[Told]) -> None:
        self.gaps = Gaps(ring, told)
        self.silence = Silence(ring)
        self.input_ended = False
        rate = ring.sample_rate
        self._ring = ring
        self._news = 0  # how much was sent when the present session told of a turn last
        self._slack = rate * SLACK_MS // 1000
        self._moved = rate * MOVED_MS // 1000
        self._lead = round(LEAD_SECONDS * rate)
        # Where the last final ended, and how far its last word may sound.
        self._tail = -1, 0
        # What was covered last by the look of it alone: it may have words after all.
        self._guessed = 0, 0
        # Of the turn that a lost session left open, the words that it told.
        self._words: tuple[int, int] | None = None

    def finish_writing(self) -> None:
        """Let out what the resampler holds; in a full ring that drives out older."""
        self._ring.drain()
        self.gaps.look()

    def sample(self, stream_ms: int) -> int:
        """The sample at a server's `stream_ms`, which may be wrong by more than
        rounding: it is none that wasn't sent, but may be below 0."""
        ring = self._ring
        return min(stream_ms * ring.sample_rate // 1000, ring.sent)

    # ---- finals ----

    def take_final(self, end: int, lasted_ms: int, forced: int | None) -> None:
        """A final turn has words up to the sample `end`; they took `lasted_ms` in all.

        `forced`: where the server was asked to end this turn, which then needs no
        pause.
        """
        if end <= self.gaps.covered:
            return
        self._let_go(end)
        limit = self._ring.written if forced is None else forced
        self._tail = end, end if lasted_ms > LONGEST_SURE_TURN_MS else limit

    def take_final_without_words(self) -> None:
        """A final turn has text, but doesn't say where: it ended at the first pause, or
        at a later one."""
        ring = self._ring
        self.gaps.look()
        pause = first_pause(ring, ring.acked, ring.sent)
        if pause is not None:
            self._let_go(pause)

    def take_lost(self, turn: LostTurn) -> None:
        """A session has lost a turn: nobody waits for its words any more. The gap is
        told without what finals cover, and without the silence around it."""
        start, end = self.sample(turn.start), self.sample(turn.end)
        first, last = end, start  # where words are told to be, silent or not
        if turn.words is not None:
            first = self.sample(turn.words[0]) - self._moved
            last = self.sample(turn.words[1]) + self._moved
        covered, (guess, guess_end) = self.gaps.covered, self._guessed
        if guess_end == covered:
            covered = min(covered, max(guess, first))
        start = max(start, covered)
        sound = self.silence.around(start)[1] - self.silence.click
        start = max(start, min(sound, first))
        end = min(end, max(self.silence.around(end)[0], last))
        self.gaps.report(start, end, "the server never ended this turn")
        if turn.words is not None:  # or else each session would hear them again
            self.gaps.cover(min(end, self.sample(turn.words[1])))
        if self._words is not None and end >= self._words[1] - self._slack:
            self._forget_unfinished()

    def expire(self, heard: int) -> None:
        """A session that had no turn open has reached its longest duration. Had there
        been speech up to `heard`, it would have said so, however loud it is here."""
        heard -= round(LATE_SECONDS * self._ring.sample_rate)
        if heard > self._ring.acked:
            self._let_go(heard)

    def resume(self) -> int:
        """The sample at which the next session begins."""
        self.gaps.look()
        ring, (tail, limit) = self._ring, self._tail
        if ring.acked == tail:
            end = end_of_sound(ring, tail, is_last=self.input_ended)
            if end <= limit:  # or else the next turn's word has begun
                self._guess(min(end, ring.sent))
        return ring.acked

    def _guess(self, sample: int) -> None:
        """Cover up to `sample` by the look of it, though no session said so."""
        start, end = self._guessed
        if end != self.gaps.covered:
            start = self.gaps.covered
        self.gaps.cover(sample)
        self._guessed = start, self.gaps.covered

    def _let_go(self, sample: int) -> None:
        self.gaps.cover(sample)
        if self._words is None or sample >= self._words[1] - self._slack:
            self._forget_unfinished()

    # ---- silence ----

    def settle(self, heard: int) -> None:
        """A session has heard the audio up to `heard`, had time to speak about it, and
        has no turn open: let go of what is silence."""
        if heard < self.silence.spoken_until:
            return
        self._give_up_unfinished()
        end = self.silence.end_behind(self.resume())
        if self.gaps.has_hole:
            return  # a final may still cover it
        self._guess(min(heard, end - self._lead))

    def take_silence(self, end: int) -> None:
        """The server says that nobody speaks before the sample `end`, behind all
        finals. The last of these may have ended before its sound."""
        self.resume()
        self.gaps.cover(end)

    def take_news(self) -> None:
        """The present session tells of a turn."""
        self._news = self._ring.sent

    def overdue_before(self, heard: int) -> float:
        """Turns that are open and began before this ms should long have ended. Their
        session has surely heard the audio up to `heard`."""
        start, end = self.silence.around(heard)
        silent = heard - max(self._news, start) if end > heard else 0
        rate, most = self._ring.sample_rate, MOST_SECONDS * self._ring.sample_rate
        if silent > OVERDUE_SECONDS * rate or heard - self._news > most:
            return math.inf
        return (heard - most) * 1000 / rate

    def pass_over_silence(self, session_start: int) -> bool:
        """Move the ring's cursor over silence that would only make the present session
        late, which began at `session_start`. Returns whether there was any."""
        ring = self._ring
        self.gaps.look()
        position = ring.sent
        start, end = self.silence.around(position)
        if end - position <= 2 * self._lead:
            return False
        is_kept = position - start < KEPT_SECONDS * ring.sample_rate
        if is_kept and session_start < start:
            return False
        self._pass_up_to(end)
        self.gaps.skipped(position, ring.sent)
        return ring.sent > position

    def _pass_up_to(self, end: int) -> None:
        """Move the ring's cursor on, over silence that ends at `end`."""
        ring = self._ring
        position = ring.sent
        while ring.sent < end and ring.next_chunk() is not None:
            pass
        ring.rewind(max(position, min(ring.sent, end) - self._lead))

    def leave_silence_out(self, *, is_last_told: bool) -> bool:
        """No session is sent what follows. Let go of it as far as it is silent, once
        the last session has told all; returns whether there is nothing else."""
        ring, silence = self._ring, self.silence
        self.gaps.look()
        end = silence.end_behind(ring.sent)
        if is_last_told:
            self._pass_up_to(end)
            if self.is_calm():
                self._guess(ring.sent)
        return end >= silence.steadiness.seen

    def take_all(self, sample: int) -> None:
        """A session has come to its end as asked: it told all up to `sample`, but for a
        word in the middle of which that is."""
        start, end = self.silence.around(max(0, sample - self.silence.click))
        if start < end:
            end = self.silence.end_behind(sample)
            self._guess(min(sample, end - self._lead))

    @property
    def silent_seconds(self) -> float:
        """How much silence there is at the end of the audio."""
        last = max(0, self._ring.written - self.silence.click)
        start, end = self.silence.around(last)
        return (end - start) / self._ring.sample_rate

    @property
    def quiet_seconds(self) -> float:
        """How much of that is behind what the present session told of a turn last."""
        told = (self._ring.written - self._news) / self._ring.sample_rate
        return min(self.silent_seconds, told)

    def is_calm(self) -> bool:
        """Whether there is no sound in what was sent that isn't covered."""
        return self.silence.is_calm(self.resume(), self._ring.sent)

    def is_complete(self) -> bool:
        """Whether there is no sound in all of the audio that isn't covered."""
        return self.silence.is_calm(self.resume(), self._ring.written)

    # ---- lost sessions ----

    def leave_unfinished(self, words: tuple[int, int] | None) -> None:
        """A session was lost with a turn open, of which it told `words` from one ms to
        another, if any: what it was sent is no silence."""
        self.silence.spoken_until = max(self.silence.spoken_until, self._ring.sent)
        if words is not None:
            words = self.sample(words[0]), self.sample(words[1])
            start, end = self._guessed
            if end == self.gaps.covered and words[0] + self._moved < end:
                why = "it was taken for silence, and its turn never ended"
                self.gaps.report(max(start, words[0]), min(end, words[1]), why)
        self._words = together(self._words, words)

    @property
    def has_unfinished(self) -> bool:
        """Whether a turn of a lost session is still to be heard by another."""
        return self.silence.spoken_until > 0

    def _give_up_unfinished(self) -> None:
        """Another session has heard it all again, and found no words."""
        words = self._words
        if words is not None and words[1] > self.gaps.covered:
            start = max(words[0] - self._moved, self.gaps.covered)
            end = min(words[1] + self._moved, self._ring.sent)
            self.gaps.report(start, end, "its turn was begun, but never ended")
            self.gaps.cover(end)
        self._forget_unfinished()

    def _forget_unfinished(self) -> None:
        self.silence.spoken_until = 0
        self._words = None
