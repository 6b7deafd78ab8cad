"""One session on the service's side: what it is sent, and what it says."""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulation import messages
from tests.simulation.link import Link, Told
from tests.simulation.messages import UNIVERSAL_3
from tests.simulation.recognizer import Recognizer, Style
from tests.simulation.speech import RATE
from tests.simulation.weather import ENDS

if TYPE_CHECKING:
    from tests.simulation.account import Account

MOST_BACKLOG_SECONDS = 300.0


class Session:
    """One websocket; `asked` is its query."""

    def __init__(
        self, account: Account, link: Link, asked: dict[str, str], number: int
    ) -> None:
        self.number = number
        self.is_over = False
        self.has_begun = False
        self.has_place = False  # of those that the account has
        self.is_healthy = True
        self.received = 0  # samples, padding included
        self.first_sample = 0  # of the call
        self.connected_at = asyncio.get_running_loop().time()
        self.began_at = 0.0
        self._account = account
        self._dice: random.Random = account.dice
        self.link = link
        self._loop = asyncio.get_running_loop()
        self.asked: dict[str, Any] = dict(asked)
        self.model = asked.get("speech_model", account.default_model)
        self._recognizer = Recognizer(
            account.script,
            self._dice,
            self._style(),
            self._tell,
            account.goes_wrong,
            self._lose,
            account.failed.update,
        )
        self._speed = self._dice.choice((1.0, 1.25, 1.25, 10.0))
        self._busy_until = 0.0  # with what has come
        self._in_order_at = 0.0
        self._pending = 0
        self.ended_at: float | None = None  # nothing is heard since
        # For each message when it is worked through, at the speed of speech; how much
        # has come by then; and where in the call that ends.
        self._through: list[float] = []
        self._received: list[int] = []
        self._places: list[int] = []
        self._told_at = 0.0  # messages keep their order
        self._sign_at = 0.0  # of somebody who speaks
        self._silence_ms = 0
        self._is_ending = False
        self._is_strict = account.goes_wrong("strict")

    def _style(self) -> Style:
        is_universal_3 = self.model in UNIVERSAL_3
        return Style(
            is_universal_3=is_universal_3,
            formats=not is_universal_3 and self._is_on("format_turns"),
            labels=self._is_on("speaker_labels"),
            shortest_pause=self._shortest_pause(),
        )

    def _is_on(self, name: str) -> bool:
        return messages.is_on(self.asked, name)

    def _shortest_pause(self) -> float:
        if (asked := self.asked.get("min_turn_silence")) is not None:
            return min(10_000, max(50, int(asked))) / 1000
        if self.model not in UNIVERSAL_3:
            return 0.4
        return 0.512 if self.asked.get("mode") == "max_accuracy" else 0.128

    @property
    def formats(self) -> bool:
        """Whether each turn that has ended is told again, formatted."""
        return self._recognizer.style.formats

    @property
    def expected(self) -> int | None:
        """The call's sample that would follow what has come; None if nothing has."""
        return self._recognizer.expected

    def surely_heard(self, behind: int = 0, at: float = math.inf) -> int:
        """How far in the call it has come, or had when it ended, and `at` that moment;
        or where it was when it had yet to hear so much of what it has heard: `behind`
        in samples.

        It works through what has come at the speed of speech, and through nothing
        before it comes.
        """
        now = self._loop.time() if self.ended_at is None else self.ended_at
        now = min(now, at)
        count = bisect_right(self._through, now)
        received = self._received[count - 1] if count else 0
        place = bisect_right(self._received, received - behind)
        return self._places[place - 1] if place else self.first_sample

    @property
    def may_hear(self) -> bool:
        """Whether it is there to be sent audio."""
        is_open = self.has_begun and not self.is_over and not self._is_ending
        return is_open and self.link.is_clear

    # ---- its life ----

    def begin(self, lasts: float) -> None:
        """Say Begin; it will be over in so many seconds."""
        if self.is_over:
            return
        now = self._loop.time()
        self.has_begun = True
        self.began_at = self._sign_at = self._busy_until = now
        expires_at = self._account.wall_clock() + lasts
        self._tell(messages.begin(self.number, expires_at, self.model, self.asked))
        self._loop.call_later(lasts, self._expire)
        if self._is_on("session_heartbeat"):
            self._loop.call_later(5.0, self._heartbeat)
        if self._is_on("acknowledge_silence"):
            self._loop.call_later(1.0, self._acknowledge)
        if "inactivity_timeout" in self.asked:
            self._look_for_signs()

    def strike(self, kind: str) -> None:
        """End in one of the ways of `ENDS`."""
        assert kind in ENDS
        if self.is_over or self.link.is_closed:
            return
        self._account.note(f"session {self.number}: {kind}")
        self.is_healthy = False
        if kind == "cut":
            self.link.cut()
        elif kind == "cut at a byte":
            self.link.bytes_left = self._dice.randint(0, 30_000)
        elif kind == "half-open":
            self._stop_hearing()
            self.link.freeze()
        elif kind in ("1011", "1013"):
            self._end(int(kind), "")
        else:
            self.fail(int(kind), "Session Cancelled: An error occurred")

    def _expire(self) -> None:
        if not self.is_over and not self._is_ending and not self.link.is_closed:
            self._account.expired(self)
            self.fail(3008, "Session Expired")

    def fail(self, code: int, why: str) -> None:
        """An Error, and the close behind it. There is an old form without a type."""
        if self.is_over:
            return
        self.is_healthy = False
        self._stop_hearing()
        error: dict[str, Any] = {"type": "Error", "error_code": code, "error": why}
        if self._dice.random() < 0.1:
            error = {"error": why}
        self._tell(error)
        self._is_ending = True
        said = "See Error message for details"
        self._loop.call_at(self._told_at + 0.17, self._end, code, said)

    def gone(self) -> None:
        """The client has gone, or the connection has."""
        if not self.is_over:
            self.is_over = True
            self._stop_hearing()
            self._account.over(self)

    def _stop_hearing(self) -> None:
        if self.ended_at is None:
            self.ended_at = self._loop.time()

    def _end(self, code: int, reason: str) -> None:
        if not self.is_over:
            self.link.hang_up(code, reason)
            self.gone()

    # ---- in ----

    def hear(self, message: bytes) -> None:
        """A binary message has come."""
        if self.is_over or self._is_ending:
            return
        account, samples = self._account, len(message) // 2
        ms = samples * 1000 / RATE
        if not 50 <= ms <= 1000 or not self.has_begun:
            account.complain(f"session {self.number} was sent {ms} ms at a time")
            self.fail(3007, f"Input Duration Error: Input Duration Violation: {ms} ms")
            return
        account.check_configuration(self, self.asked)
        try:
            found = account.recording.find(message, self.expected)
        except ValueError as exc:
            account.complain(str(exc))
            return
        if not self.received:
            self.first_sample = found[0]
            account.hears(self, found[0])
        if account.terms.forbidden_model:
            return
        is_worth_it = self._recognizer.take(found[0], self.received, found[1])
        self.received += samples
        now = self._loop.time()
        self._sign_at = now
        before = self._through[-1] if self._through else 0.0
        self._through.append(max(now, before) + samples / RATE)
        self._received.append(self.received)
        self._places.append(found[0] + found[1])
        self._busy_until = max(now, self._busy_until) + samples / RATE / self._speed
        if self._is_too_much(now):
            account.too_fast(self)
            self.fail(3007, "Audio Transmission Rate Exceeded")
        elif is_worth_it or self._pending or self._is_on("acknowledge_silence"):
            self._in_order(self._understand, self.received, False)

    def _is_too_much(self, now: float) -> bool:
        """Sources disagree on whether there is a limit to the rate itself."""
        if self._is_strict:
            return self.received / RATE > 3 + 1.3 * (now - self.began_at)
        return self._busy_until - now > MOST_BACKLOG_SECONDS

    def command(self, text: bytes) -> None:
        """A text message has come."""
        if self.is_over or self._is_ending:
            return
        message = msgspec.json.decode(text)
        kind = message.pop("type")
        if kind == "KeepAlive":
            self._sign_at = self._loop.time()
        elif kind == "UpdateConfiguration":
            self.asked |= message
            self._recognizer.style.shortest_pause = self._shortest_pause()
        elif kind == "ForceEndpoint":
            self._account.forces(self, self.expected or 0)
            self._in_order(self._understand, self.received, True)
        elif kind == "Terminate":
            self._is_ending = True
            self._stop_hearing()
            if self._is_on("speaker_labels"):
                self._loop.call_later(0.066, self._revise)
            self._in_order(self._finish, self.received, True)
        else:
            self._account.complain(f"the service was told {kind}")

    def _in_order(self, act: Any, until: int, ends: bool) -> None:
        """Do it when what came before has been worked through."""
        at = max(self._busy_until, self._loop.time()) + self._dice.uniform(0.1, 0.5)
        self._in_order_at = max(self._in_order_at + 1e-6, at)
        self._pending += 1
        self._loop.call_at(self._in_order_at, act, until, ends)

    def _understand(self, until: int, ends: bool) -> None:
        self._pending -= 1
        if not self.is_over:
            self._recognizer.understand(until, ends=ends)

    # ---- the end ----

    def _finish(self, until: int, ends: bool) -> None:
        self._understand(until, ends)
        if self.is_over:
            return
        self._recognizer.release()
        if not self._recognizer.style.is_universal_3:
            order = self._recognizer.next_order
            self._tell({"type": "Turn", "turn_order": order, "end_of_turn": True})
        account = self._account
        if account.terms.forbidden_model:  # all's well, it says, and has heard nothing
            account.vanished.update(range(len(account.script.words)))
        delay = self._dice.uniform(0.1, 0.8)
        if account.goes_wrong("late_termination"):
            delay = self._dice.uniform(2, 11)
        if account.goes_wrong("no_termination"):
            how = self._dice.choice(("never", "1000", "cut", "late"))
            account.note(f"session {self.number}: Termination comes {how}")
            if how == "1000":
                self._loop.call_at(self._told_at + 0.1, self._end, 1000, "")
            elif how == "cut":
                self._loop.call_later(delay / 8, self.link.cut)
            if how != "late":
                return
            delay = self._dice.uniform(5, 19)
        seconds = self._loop.time() - self.began_at
        self._tell(messages.termination(self.received / RATE, seconds), delay)
        self._loop.call_at(self._told_at + 1e-6, self._end, 1000, "")

    def _revise(self) -> None:
        """Correct the speakers of some turns; times and texts are as they were."""
        self._tell(messages.revision(self._dice, self._recognizer.finals))

    # ---- remarks ----

    def _heartbeat(self) -> None:
        if self.is_over or self._is_ending:
            return
        seconds = self._loop.time() - self.began_at
        self._tell(messages.heartbeat(self.received / RATE, seconds))
        self._loop.call_later(5.0, self._heartbeat)

    def _acknowledge(self) -> None:
        if self.is_over or self._is_ending:
            return
        until = self._recognizer.silent_until_ms
        if until is not None and until > self._silence_ms:
            start = max(0, self._silence_ms - self._dice.choice((0, 0, 500)))
            end = until + self._dice.choice((0, 0, 500))
            self._silence_ms = until
            self._tell({"type": "Silence", "start_ms": start, "end_ms": end})
        self._loop.call_later(1.0, self._acknowledge)

    def _look_for_signs(self) -> None:
        if self.is_over or self._is_ending:
            return
        left = self._sign_at + int(self.asked["inactivity_timeout"])
        left -= self._loop.time()
        if self.link.is_stalled:  # a sign may be under way
            left = max(left, 1.0)
        if left > 0:
            self._loop.call_later(left, self._look_for_signs)
        else:
            if not self.link.is_half_open:
                self._account.complain(f"session {self.number} was let go inactive")
            self.fail(3006, "Session ended: inactivity timeout")

    # ---- out ----

    def _lose(self, words: tuple[int, ...], is_known: bool) -> bool:
        return self._account.loses_turn(self, words, is_known)

    def _tell(
        self, message: dict[str, Any], delay: float = 0.0, told: Told | None = None
    ) -> None:
        latency = self._dice.uniform(0.01, 0.1)
        at = self._loop.time() + latency + delay
        self._told_at = max(self._told_at + 1e-6, at)
        text = msgspec.json.encode(message)
        self._loop.call_at(self._told_at, self._deliver, text, told)
        if self.has_begun and self._account.goes_wrong("odd"):
            odd = messages.odd(self._dice, text)
            self._loop.call_at(self._told_at, self._deliver, odd, None)

    def _deliver(self, text: bytes, told: Told | None) -> None:
        if not self.is_over:
            self.link.deliver(text, told)
