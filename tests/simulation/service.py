"""AssemblyAI's service as captures and its documentation show it, drawn a second time:
no code of the emulator's, nor of the client's. It hears what it is sent by its place,
and fails as `Weather` says.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.speech import RATE, Script, place

CLOSED_WITHOUT_A_FRAME = 1006


@dataclass(frozen=True)
class Weather:
    """How likely what is to go wrong, by session or by turn, until `calm_from`."""

    calm_from: float = 0.0
    """By the loop's time; from then on nothing goes wrong."""
    refused: float = 0.0
    too_many: float = 0.0
    late_begin: float = 0.0
    no_begin: float = 0.0
    short_life: float = 0.0
    """The session ends by itself: cut, closed, cancelled, expired, half-open."""
    lost_turn: float = 0.0
    doubled_turn: float = 0.0
    reordered_turn: float = 0.0
    late_final: float = 0.0
    no_termination: float = 0.0
    stalled: float = 0.0
    """It reads nothing for a while."""


@dataclass
class Piece:
    """A stretch of the call that a session was sent without a break: samples of the
    call and of the session, and how many."""

    call: int
    session: int
    count: int


class Session:
    """One websocket on the service's side.

    `tell` gets JSON, `hang_up` a close code and a reason. `expires_in` is how long it
    may last, in seconds.
    """

    def __init__(
        self,
        script: Script,
        dice: random.Random,
        weather: Weather,
        *,
        tell: Callable[[dict[str, Any]], None],
        hang_up: Callable[[int, str], None],
        labels: bool,
    ) -> None:
        self._script = script
        self._dice = dice
        self._weather = weather
        self._tell_now = tell
        self._hang_up = hang_up
        self._loop = asyncio.get_running_loop()
        self._pieces: list[Piece] = []
        self._received = 0  # samples, padding included
        self._heard_until = 0  # of the session
        self._next_word = 0
        self._order = 0
        self._open: list[dict[str, Any]] = []  # words of the open turn
        self._turn_began = 0
        self._partials = 0
        self._held: dict[str, Any] | None = None
        self._told_at = 0.0  # messages keep their order
        self._shortest_pause = dice.choice((0.128, 0.2, 0.4))
        self._longest_turn = 10 if labels else 60
        self._terminating = False
        self.is_over = False

    # ---- in ----

    def hear(self, message: bytes) -> None:
        """A binary message has come."""
        if self.is_over or self._terminating:
            return
        ms = len(message) // 2 * 1000 / RATE
        if not 50 <= ms <= 1000:
            self.fail(3007, "Input Duration Error")
            return
        call, count = place(message)
        last = self._pieces[-1] if self._pieces else None
        if call is None:  # a last bit, which goes on where the rest ended
            call = last.call + last.count if last is not None else 0
        if (
            last is not None
            and last.call + last.count == call
            and (last.session + last.count == self._received)
        ):
            last.count += count
        else:
            self._pieces.append(Piece(call, self._received, count))
        self._received += len(message) // 2
        delay = self._dice.uniform(0.1, 0.5)
        self._loop.call_later(delay, self._understand, self._received, False)

    def command(self, message: dict[str, Any]) -> None:
        """A text message has come."""
        if self.is_over or self._terminating:
            return
        if message["type"] == "ForceEndpoint":
            self._understand(self._received, True)
        elif message["type"] == "Terminate":
            self._terminating = True
            self._loop.call_later(self._dice.uniform(0.1, 0.8), self._finish)

    def _finish(self) -> None:
        self._understand(self._received, True)
        self._release()
        if self._goes_wrong("no_termination"):
            return
        self._tell({"type": "Termination", "audio_duration_seconds": 1})
        self._loop.call_at(self._told_at, self._end, 1000, "")

    # ---- hearing ----

    def _understand(self, until: int, ends: bool) -> None:
        if self.is_over or until < self._heard_until:
            return
        self._heard_until = until
        before = len(self._open)
        for piece in self._pieces:
            self._next_word = max(
                self._next_word, self._script.ending_behind(piece.call)
            )
            while self._next_word < len(self._script.words):
                word = self._script.words[self._next_word]
                end = piece.session + word.end - piece.call
                if word.end > piece.call + piece.count or end > until:
                    break
                self._take(word, piece, end)
                self._next_word += 1
        silent_until = min(until, self._word_under_way())
        by_pause = silent_until - self._turn_end >= self._shortest_pause * RATE
        if self._open and (ends or by_pause):
            self._final(by_pause=by_pause)
        elif len(self._open) > before:
            self._partial()
        self._forget()

    def _word_under_way(self) -> float:
        """Where the word begins whose end hasn't come yet."""
        piece = self._pieces[-1]
        if self._next_word == len(self._script.words):
            return math.inf
        word = self._script.words[self._next_word]
        return piece.session + word.start - piece.call

    def _take(self, word: Any, piece: Piece, end: int) -> None:
        start = piece.session + word.start - piece.call
        is_whole = word.start >= piece.call
        if not is_whole and end - piece.session < 0.13 * RATE:
            return  # the tail of a word is no word
        if self._open:
            pause = start - self._turn_end
            length = end - self._turn_began
            by_pause = pause >= self._shortest_pause * RATE
            if by_pause or length > self._longest_turn * RATE:
                self._final(by_pause=by_pause)
        if not self._open:
            self._turn_began = start
            self._tell(
                {"type": "SpeechStarted", "timestamp": max(0, start) * 1000 // RATE}
            )
        self._open.append(
            {
                "text": word.text if is_whole else f"~{word.text}",
                "start": max(0, start) * 1000 // RATE,
                "end": end * 1000 // RATE,
                "confidence": 0.9,
                "word_is_final": False,
            }
        )

    @property
    def _turn_end(self) -> int:
        return self._open[-1]["end"] * RATE // 1000 if self._open else 0

    def _forget(self) -> None:
        while len(self._pieces) > 1 and (
            self._pieces[0].session + self._pieces[0].count < self._heard_until - RATE
        ):
            del self._pieces[0]

    # ---- turns ----

    def _partial(self) -> None:
        words = self._open
        if len(words) == 1 and self._dice.random() < 0.5:
            return
        self._partials += 1
        if len(words) > 3 and self._dice.random() < 0.3:
            words = words[: -self._dice.randint(1, 2)]
        shift = self._dice.choice((0, 0, -300, -1008))
        moved = [
            {**w, "start": max(0, w["start"] + shift), "end": max(0, w["end"] + shift)}
            for w in words
        ]
        self._tell(self._turn(moved, False))

    def _final(self, *, by_pause: bool) -> None:
        words = [{**word, "word_is_final": True} for word in self._open]
        last = words[-1]
        early = self._dice.choice((0, 0, 40, 120)) if by_pause else 0
        last["end"] = max(last["start"] + 10, last["end"] - early)
        final = self._turn(words, True)
        # Of a turn that leaves no trace nobody can know.
        is_known = self._partials > 0
        self._open = []
        self._order += 1
        self._partials = 0
        if is_known and self._goes_wrong("lost_turn"):
            return
        if is_known and self._held is None and self._goes_wrong("reordered_turn"):
            self._held = final
            self._loop.call_later(self._dice.uniform(0.1, 3), self._release)
            return
        late = self._dice.uniform(2, 11) if self._goes_wrong("late_final") else 0.0
        self._tell(final, late + self._dice.uniform(0.05, 0.4))
        if self._goes_wrong("doubled_turn"):
            self._tell(final)
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._tell(held)

    def _turn(self, words: list[dict[str, Any]], ends: bool) -> dict[str, Any]:
        text = " ".join(word["text"] for word in words)
        return {
            "type": "Turn",
            "turn_order": self._order,
            "turn_is_formatted": True,
            "end_of_turn": ends,
            "transcript": text,
            "words": words,
            "utterance": text if ends else "",
            "end_of_turn_confidence": float(ends),
        }

    # ---- out ----

    def begin(self, expires_at: float) -> None:
        """Say Begin."""
        self._tell(
            {
                "type": "Begin",
                "id": f"session-{self._dice.getrandbits(32):08x}",
                "expires_at": round(expires_at),
                "configuration": {"model": "universal-3-6-pro", "mode": "balanced"},
            }
        )

    def fail(self, code: int, why: str) -> None:
        """An Error, and the close behind it."""
        if not self.is_over:
            self._tell({"type": "Error", "error_code": code, "error": why})
            self._terminating = True
            self._loop.call_at(
                self._told_at + 0.1, self._end, code, "See Error message for details"
            )

    def cut(self, code: int = CLOSED_WITHOUT_A_FRAME, reason: str = "") -> None:
        """It is over, at once."""
        self._end(code, reason)

    def _end(self, code: int, reason: str) -> None:
        if not self.is_over:
            self.is_over = True
            self._hang_up(code, reason)

    def _tell(self, message: dict[str, Any], delay: float = 0.0) -> None:
        now = self._loop.time()
        latency = self._dice.uniform(0.01, 0.1)
        self._told_at = max(self._told_at + 1e-6, now + latency + delay)
        self._loop.call_at(self._told_at, self._deliver, message)

    def _deliver(self, message: dict[str, Any]) -> None:
        if not self.is_over:
            self._tell_now(json.loads(json.dumps(message)))

    def _goes_wrong(self, what: str) -> bool:
        if self._loop.time() >= self._weather.calm_from:
            return False
        return self._dice.random() < float(getattr(self._weather, what))
