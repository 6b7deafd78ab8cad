"""How the service hears: the words in what it is sent, and the turns that they make.

Seen, and so here (PROTOCOL.md, "Turn semantics"):
- a Turn carries the whole turn anew; its words come later than they are said;
- partials shrink, and their times move, by up to 1008 ms;
- a turn ends at a pause, when it is asked to, or after 60 s (with labels 10 s);
- U3: SpeechStarted comes before the first Turn; a final may come with no partial
  before it; `turn_is_formatted` is always true; `utterance` is told at the end;
- US: words become final one by one, `utterance` is told at a pause, before the end;
  with `format_turns` a formatted version follows, if it does;
- a final's last word may be told to end before its sound does;
- a final that is doubled, lost, late, or told behind its successor's beginning.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.simulation import messages
from tests.simulation.link import Told
from tests.simulation.speech import RATE, Said, Script

TAIL_SECONDS = 0.05
"""Of the end of a word so much is heard as another one."""


class Tell(Protocol):
    """Sends a message, `delay` seconds later than it would."""

    def __call__(
        self, message: dict[str, Any], delay: float = 0.0, told: Told | None = None
    ) -> None: ...


@dataclass
class Piece:
    """A stretch of the call that a session was sent without a break: samples of the
    call and of the session, and how many."""

    call: int
    session: int
    count: int


@dataclass
class Style:
    """How a session's model tells turns. Silences are in seconds."""

    is_universal_3: bool
    formats: bool
    labels: bool
    shortest_pause: float

    @property
    def longest_turn(self) -> float:
        """In seconds."""
        return 10.0 if self.labels else 60.0


class Recognizer:
    """Hears one session's audio. `goes_wrong` draws by a probability's name; `lose`
    draws whether a turn of these words is lost; it was if it left no trace (False).
    `delay` hears of those that are told too late, or out of their order."""

    def __init__(
        self,
        script: Script,
        dice: random.Random,
        style: Style,
        tell: Tell,
        goes_wrong: Callable[[str], bool],
        lose: Callable[[tuple[int, ...], bool], bool],
        delay: Callable[[tuple[int, ...]], None],
    ) -> None:
        self.style = style
        self.finals: list[dict[str, Any]] = []
        self._turn_began = 0.0  # in seconds of the session
        self._script = script
        self._dice = dice
        self._tell = tell
        self._goes_wrong = goes_wrong
        self._lose = lose
        self._delay = delay
        self._pieces: list[Piece] = []
        self._piece: Piece  # that it is at
        self._heard_until = 0  # samples of the session
        self._next_word = 0
        self.next_order = 0
        self._open: list[dict[str, Any]] = []  # words of the open turn
        self._whole: list[int] = []  # the call's numbers of those that are whole
        self._turn_end = 0
        self._forced_at = -RATE
        self._speaks_softly = False
        self._sounds_from = 0
        self._has_started = False
        self._is_traceless = False
        self._partials = 0
        self._held: tuple[dict[str, Any], Told] | None = None

    # ---- audio ----

    @property
    def expected(self) -> int | None:
        """The call's sample that would follow."""
        last = self._pieces[-1] if self._pieces else None
        return None if last is None else last.call + last.count

    def take(self, call: int, session: int, count: int) -> bool:
        """So much of the call has come. Returns whether it is worth hearing."""
        last = self._pieces[-1] if self._pieces else None
        if (
            last is not None
            and last.call + last.count == call
            and last.session + last.count == session
        ):
            last.count += count
        else:
            self._pieces.append(Piece(call, session, count))
        return bool(self._open) or self._script.is_spoken(call, call + count)

    def understand(self, until: int, *, ends: bool = False) -> None:
        """Hear up to this sample of the session; `ends` ends the turn there."""
        if not self._pieces:
            return
        self._heard_until = until = max(until, self._heard_until)
        before = len(self._open)
        if ends:
            self._forced_at = until
        before_it = None
        for piece in self._pieces:
            if piece.session >= until and before_it is not None:
                break
            self._hear_piece(piece, before_it, until)
            before_it = piece
        silent_until = min(until, self._word_under_way())
        pause = silent_until - self._turn_end
        by_pause = pause >= self.style.shortest_pause * RATE
        if self._open and (ends or by_pause):
            self._final(pause)
        elif len(self._open) > before:
            self._partial(has_paused=pause > 0.1 * RATE)
        while len(self._pieces) > 1 and (
            self._pieces[0].session + self._pieces[0].count < until - RATE
        ):
            del self._pieces[0]

    @property
    def silent_until_ms(self) -> int | None:
        """Up to where nobody speaks; None if there is a turn."""
        if self._open or not self._heard_until:
            return None
        return int(min(self._heard_until, self._word_under_way())) * 1000 // RATE

    def _hear_piece(self, piece: Piece, before: Piece | None, until: int) -> None:
        words = self._script.words
        behind = self._script.ending_behind(piece.call)
        self._next_word = max(self._next_word, behind)
        while self._next_word < len(words):
            word = words[self._next_word]
            end = piece.session + word.end - piece.call
            if word.end > piece.call + piece.count or end > until:
                break
            begins_in = piece
            if before is not None and before.call + before.count == piece.call:
                # There is nothing but padding between them.
                begins_in = before if word.start < piece.call else piece
            self._take_word(word, begins_in, end)
            self._next_word += 1
        self._piece = piece

    def _word_under_way(self) -> float:
        """Where the word begins whose end hasn't come yet."""
        piece = self._piece
        if self._next_word == len(self._script.words):
            return math.inf
        word = self._script.words[self._next_word]
        return piece.session + word.start - piece.call

    def _take_word(self, word: Said, piece: Piece, end: int) -> None:
        start = piece.session + word.start - piece.call
        is_whole = word.start >= piece.call - RATE // 50
        if not is_whole and end - piece.session < TAIL_SECONDS * RATE:
            return
        start = max(start, piece.session)
        if self._open:
            pause = start - self._turn_end
            length = end / RATE - self._turn_began
            is_too_long = length > self.style.longest_turn
            if pause >= self.style.shortest_pause * RATE or is_too_long:
                self._final(pause)
        if not self._open:
            self._start(start)
        told = {
            "text": word.text if is_whole else f"~{word.text}",
            "start": start * 1000 // RATE,
            "end": end * 1000 // RATE,
            "confidence": 0.9,
            "word_is_final": False,
        }
        if self.style.labels:
            told["speaker"] = word.speaker
        self._open.append(told)
        if is_whole:
            self._whole.append(word.number)
        if self._is_traceless and (is_whole or word.is_soft):
            self._lose((word.number,), False)
        self._turn_end = end
        self._speaks_softly = word.is_soft
        sound = min(word.sounds_from + RATE // 50, word.end) - word.end + end
        self._sounds_from = sound * 1000 // RATE

    # ---- turns ----

    def _start(self, start: int) -> None:
        self._turn_began = start / RATE
        self._is_traceless = self._goes_wrong("traceless")
        self._has_started = False

    def _say_started(self) -> None:
        if self._has_started or self._is_traceless:
            return
        self._has_started = True
        late = self._dice.uniform(1, 3) if self._goes_wrong("late_start") else 0.0
        if self.style.is_universal_3:
            timestamp = int(self._open[0]["start"])
            self._tell({"type": "SpeechStarted", "timestamp": timestamp}, late)

    def _partial(self, *, has_paused: bool) -> None:
        self._say_started()
        words = self._open
        left_out = ms = 0
        if self._is_traceless or (len(words) == 1 and self._dice.random() < 0.5):
            return
        self._partials += 1
        if self.style.is_universal_3:
            if len(words) > 3 and self._dice.random() < 0.3:
                left_out = self._dice.randint(1, 2)
                words = words[:-left_out]
            ms = self._dice.choice((0, 0, -300, 600, -1008))
            words = messages.moved(words, ms)
        else:
            for word in words[:-1]:
                word["word_is_final"] = True
        # What is told too early may seem to lie before silence that was left out.
        told = tuple(self._whole[: len(self._whole) - left_out] if ms >= 0 else ())
        turn = self._turn(words, ends=False, utters=has_paused)
        self._tell(turn, 0.0, Told(self.next_order, told, False))

    def _final(self, pause: float) -> None:
        self._say_started()
        words = self._open
        for word in words:
            word["word_is_final"] = True
        # Where a turn may have been cut in the middle of speech, its last end is right.
        is_short = self._turn_end / RATE - self._turn_began < 9
        is_free = is_short and self._turn_end > self._forced_at + RATE
        if pause > 0.11 * RATE and is_free and not self._speaks_softly:
            early = self._dice.choice((0, 0, 40, 120, 200))
            last = words[-1]
            sound = max(self._sounds_from, last["start"] + 10)
            last["end"] = max(sound, last["end"] - early)
        told = Told(self.next_order, tuple(self._whole), True)
        is_known = self._partials > 0
        final = self._turn(words, ends=True, utters=self._dice.random() < 0.8)
        self._open, self._whole = [], []
        self.next_order += 1
        self._partials = 0
        if self._is_traceless:
            return
        if is_known and self._lose(told.words, True):
            return
        self.finals.append(final)
        is_free = self._held is None
        if is_known and is_free and self._goes_wrong("reordered"):
            self._held = final, told
            self._delay(told.words)
            asyncio.get_running_loop().call_later(
                self._dice.uniform(0.1, 3), self.release
            )
            return
        late = 0.0
        if self._goes_wrong("late_final"):
            late = self._dice.uniform(2, 11)
            self._delay(told.words)
        self._tell_final(final, told, late)
        self.release()

    def _tell_final(self, final: dict[str, Any], told: Told, late: float = 0.0) -> None:
        delay = late + self._dice.uniform(0.05, 0.4)
        if self.style.formats:
            is_left_out = self._goes_wrong("unformatted")
            raw = Told(told.order, told.words, is_left_out)
            self._tell(final, delay, raw)
            if is_left_out:
                return
            delay = self._dice.uniform(0.05, 0.6)
            final = {**final, "turn_is_formatted": True}
        self._tell(final, delay, told)
        if self._goes_wrong("doubled"):
            self._tell(final, 0.0, told)

    def release(self) -> None:
        """Tell the final that was held back."""
        if self._held is not None:
            held, self._held = self._held, None
            self._tell_final(*held)

    def _turn(
        self, words: list[dict[str, Any]], *, ends: bool, utters: bool
    ) -> dict[str, Any]:
        style, held_open = self.style, self._dice.choice((0.0, 0.0, 0.352))
        is_uttered = utters and (ends or not style.is_universal_3)
        turn = {
            **messages.turn(self.next_order, words),
            "turn_is_formatted": style.is_universal_3,
            "end_of_turn": ends,
            "end_of_turn_confidence": 1.0 if ends else held_open,
        }
        if is_uttered:
            turn["utterance"] = turn["transcript"]
        if style.labels:
            speakers = {word["speaker"] for word in words}
            turn["speaker_label"] = speakers.pop() if ends else "PENDING"
        return turn
