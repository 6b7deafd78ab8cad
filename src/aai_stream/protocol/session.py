"""One session's life: Begin, audio out, messages in, Terminate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import msgspec

from .. import messages
from .._core import Timeline
from ..errors import (
    DroppedError,
    EndedError,
    MessageError,
    SessionError,
    TimedOutError,
    UnfinishedError,
)
from ..messages import Begin, Termination, Turn
from .events import Level, LostTurn, Note, Tells
from .failures import closed_error
from .retry import ABNORMAL
from .turns import Turns

if TYPE_CHECKING:
    from ..options import Options

FORCE_ENDPOINT = b'{"type":"ForceEndpoint"}'
KEEP_ALIVE = b'{"type":"KeepAlive"}'
TERMINATE = b'{"type":"Terminate"}'

HEARTBEAT_SECONDS = 5.0
"""How often a server says Heartbeat when asked to."""

CODE_SECONDS = 1.0
"""How long an Error without a code waits for the close that has one."""

LONGEST_QUOTE = 300
"""No more of what a server says goes into an error or a log."""


class State(Enum):
    """Where a session is in its life."""

    OPENING = auto()
    """There may be no connection yet; there was no Begin."""
    OPEN = auto()
    ENDING = auto()
    """Terminate was sent; the last turn and Termination are to come."""
    OVER = auto()
    """Nothing that it says matters any more."""


class Session:
    """A session: what comes from its wire goes in, what there is to tell comes out.

    All moments are in seconds of one steady clock. `redact` takes keys and tokens out
    of what a server says. `unix_offset` is how far the time of day is ahead of that
    clock.

    Attributes:
        state: where it is in its life.
        is_over: that is at its end.
        failure: why it is over; None if it ended as asked.
        termination: what it said at its end, as asked.
        id: AssemblyAI's name for it, to quote in a support request.
        expires_at: unix seconds, None if the server didn't say.
        expiry: the same by the steady clock; infinite if it isn't known.
        configuration: what the server understood, as Begin told it.
        model: the speech model, as far as it is known.
        options: as they were last updated.
        timeline: where in the stream its audio lies.
        turns: sees that turns come to their end.
        told_turn: whether any turn was told.
        is_asked_to_end: whether Terminate was sent, to hear its last words.
        has_begun: whether Begin came.
        asked_at: when it was asked for.
        began_at: when Begin came.
        heard_at: the last sign of life of the peer.
        malformed_messages: how many messages could not be read.
    """

    def __init__(
        self,
        options: Options,
        sample_rate: int,
        *,
        now: float,
        unix_offset: float,
        redact: Callable[[str], str],
    ) -> None:
        self.state = State.OPENING
        self.is_over = False  # asked for every message, where an enum is slow
        self.failure: SessionError | None = None
        self.termination: Termination | None = None
        self.id = ""
        self.expires_at: int | None = None
        self.expiry = math.inf
        self.configuration: dict[str, Any] = {}
        self.model = options.model({})
        self.options = self._asked = options
        self.timeline = Timeline(sample_rate)
        self.turns = Turns()
        self.told_turn = False
        self.is_asked_to_end = False
        self.has_begun = False
        self.asked_at = self.began_at = self.heard_at = self._kept_alive_at = now
        self.malformed_messages = 0
        self._unix_offset = unix_offset
        self._redact = redact
        self._texts: list[bytes] = []  # to be sent
        self._last_error: messages.Error | None = None
        self._covered_ms = 0  # of the stream, by turns since Terminate
        # Deadlines
        self._lost_at = math.inf  # unless what it waits for has come …
        self._overdue: SessionError | None = None  # … which is this failure
        self._patience = math.inf  # seconds for the next turn, when ending
        self._silence_allowed = math.inf  # seconds without a message
        self._silent_at = math.inf  # half of them are over
        self._is_suspect = False  # they were over before
        self._keep_alive_seconds = math.inf

    # ---- in ----

    def connected(self, now: float, begin_seconds: float) -> None:
        """The connection stands; Begin shall come within `begin_seconds`."""
        self._lost_at = now + begin_seconds
        self._overdue = TimedOutError(
            f"the session did not begin within {begin_seconds:g} s"
        )

    def receive(self, text: bytes, now: float) -> list[Tells]:
        """A text message came; returns what it tells, in stream time and in order."""
        self.heard_at = now
        self._is_suspect = False
        self._silent_at = now + self._silence_allowed / 2
        try:
            event = messages.decode(text)
        except MessageError as exc:
            self.malformed_messages += 1
            said = f"a message could not be read: {exc}"
            return [Note(Level.WARNING, said, self.id, exc)]
        if self.state is State.OPENING:
            return self._receive_first(event, now)
        timeline = self.timeline
        if not timeline.is_stream_time:
            messages.retime(event, timeline.to_stream_ms, timeline.end_to_stream_ms)
        if isinstance(event, Turn):
            return self._receive_turn(event, now)
        return self._receive_other(event, now)

    def _receive_turn(self, turn: Turn, now: float) -> list[Tells]:
        self._last_error = None  # it didn't end the session
        self.told_turn = True
        if self.state is State.ENDING and turn.words:
            # Bounded by what was sent, so that progress comes to an end.
            end = min(turn.words[-1].end, self._sent_stream_ms)
            if end > self._covered_ms:
                self._covered_ms = end
                self._await_end(now)
        turn.is_final = self.options.is_final(turn, self.model)
        return [*self.turns.take(turn, now)]

    def _receive_other(self, event: messages.Event, now: float) -> list[Tells]:
        told: list[Tells] = []
        if isinstance(event, (messages.Error, messages.Warning)):
            messages.redact(event, self._redact)
            if isinstance(event, messages.Error):
                self._last_error = event
        elif isinstance(event, Termination):
            told += self._compare_accounts(event)
            told += self.finish_turns(now)
            if self.state is State.OVER:
                return told
            self.termination = event
            if self.state is State.ENDING:
                self.over()
            else:  # the server ended it on its own; it may forget to close, too
                self.over(EndedError("the server ended the session", code=1000))
        elif isinstance(event, messages.SpeechStarted):
            self.turns.speech_started()
        return [*told, event]

    def _receive_first(self, event: messages.Event, now: float) -> list[Tells]:
        if isinstance(event, messages.Error):
            # A close with the same code follows, or should.
            self._last_error = event
            self._overdue = self._why_closed(ABNORMAL, "")
            if event.error_code is not None:
                self.over(self._overdue)
            else:
                self._lost_at = min(self._lost_at, now + CODE_SECONDS)
        if not isinstance(event, Begin):
            return []
        self.state = State.OPEN
        self.has_begun = True
        self._lost_at = math.inf
        self.began_at = now
        self.id = event.id
        self.expires_at = event.expires_at
        if event.expires_at is not None:
            self.expiry = event.expires_at - self._unix_offset
        self.configuration = event.configuration or {}
        self.model = self._redact(self.options.model(self.configuration))[:100]
        self.turns.formats = self.options.formats_turns(self.model)
        told: list[Tells] = []
        for difference in self._asked.differences(self.configuration):
            said = self._redact(difference)[:LONGEST_QUOTE]
            text = f"session {self.id}: {said}"
            told.append(Note(Level.WARNING, text, self.id))
        return [*told, event]

    def _compare_accounts(self, termination: Termination) -> list[Note]:
        """Say so if the server, which bills, counted other audio than was sent."""
        counted = termination.audio_duration_seconds
        if self.state is not State.ENDING or counted is None:
            return []
        sent = self.timeline.sent_ms / 1000
        if abs(counted - sent) <= 1:
            return []
        text = (
            f"session {self.id} was sent {sent:.2f} s of audio, "
            f"the server counted {counted:.2f} s"
        )
        return [Note(Level.WARNING, text, self.id)]

    def closed(self, code: int, reason: str) -> None:
        """The connection is closed, as the peer says by `code` and `reason`."""
        if not self.is_over:
            self.over(self._why_closed(code, reason))
            self._texts.clear()  # nobody is there to be told

    # ---- deadlines ----

    def watch(self, seconds: float) -> None:
        """From here on it is lost if the server says nothing for so long."""
        self._silence_allowed = seconds
        self._silent_at = self.heard_at + seconds / 2

    def keep_alive_every(self, seconds: float) -> None:
        """Send a KeepAlive when no audio was sent for so long."""
        self._keep_alive_seconds = seconds

    @property
    def _keep_alive_at(self) -> float:
        if self._keep_alive_seconds == math.inf:
            return math.inf
        active_at = max(self._kept_alive_at, self.timeline.sent_at)
        return active_at + self._keep_alive_seconds

    @property
    def deadline(self) -> float:
        """When `check` is due."""
        return min(
            self.turns.deadline,
            self._lost_at,
            self._silent_at,
            self._keep_alive_at,
        )

    def check(self, now: float) -> list[Tells]:
        """Do what is due."""
        if now >= self._lost_at:
            self.over(self._overdue)
        elif now >= self._keep_alive_at:
            self.keep_alive(now)
        if now >= self._silent_at:
            # In two steps: a loop that was blocked has yet to read what came meanwhile.
            if self._is_suspect:
                seconds = self._silence_allowed
                self.over(DroppedError(f"the server said nothing for {seconds:g} s"))
            self._is_suspect = True
            self._silent_at = now + self._silence_allowed / 2
        if now < self.turns.deadline:
            return []
        return self._tell(self.turns.check(now, self._sent_stream_ms))

    def finish_turns(self, now: float, before_ms: float = math.inf) -> list[Tells]:
        """Wait no longer for turns that were begun before `before_ms`."""
        return self._tell(self.turns.finish(now, self._sent_stream_ms, before_ms))

    def _tell(self, told: list[Turn | LostTurn]) -> list[Tells]:
        if self.turns.left_unended:
            self.over(DroppedError("the server did not end a turn"))
        return [*told]

    @property
    def _sent_stream_ms(self) -> int:
        return self.timeline.to_stream_ms(self.timeline.sent_ms)

    # ---- out ----

    def handshake(self) -> Options:
        """What the handshake asks for, which is made now; what is changed from here on
        takes a message."""
        self._texts.clear()
        self._asked = self.options
        return self.options

    def texts(self) -> list[bytes]:
        """Text messages to be sent now. None goes out before Begin, but a Terminate
        that ends the session."""
        if not self._texts or self.state is State.OPENING:
            return []
        texts, self._texts = self._texts, []
        return texts

    def update(self, options: Options, message: Mapping[str, Any]) -> None:
        """Send an UpdateConfiguration that was made by `Options.updated`."""
        if self.state in (State.OPENING, State.OPEN):
            self.options = options
            self._texts.append(msgspec.json.encode(message))

    def keep_alive(self, now: float) -> None:
        """Reset the server's `inactivity_timeout` without sending audio."""
        self._kept_alive_at = now
        if self.state is State.OPEN:
            self._texts.append(KEEP_ALIVE)

    def terminate(self, now: float, seconds: float) -> None:
        """Ask for the end: the last turn and Termination are told first.

        A server that has audio to work through may take its time, as long as its turns
        get on: after `seconds` without that, when it should long have caught up, the
        session is lost.
        """
        self.state = State.ENDING
        self.is_asked_to_end = True
        self._texts.append(TERMINATE)
        self._patience = seconds
        self._overdue = UnfinishedError(
            f"the server did not finish: nothing came for {seconds:g} s"
        )
        self._keep_alive_seconds = math.inf
        self._await_end(now)

    def _await_end(self, now: float) -> None:
        # Audio may have come faster than it was spoken; it is worked through no faster.
        behind = self.timeline.sent_ms / 1000 - (now - self.began_at)
        self._lost_at = now + self._patience + max(0.0, behind)

    def over(self, failure: SessionError | None = None) -> None:
        """Nothing more is expected of it. A server that wasn't told is, since it bills
        by the time that a session is open."""
        if self.state is State.OVER:
            return
        self._texts = [] if self.state is State.ENDING else [TERMINATE]
        self.state = State.OVER
        self.is_over = True
        self.failure = failure

    # ---- the end ----

    def _why_closed(self, code: int, reason: str) -> SessionError:
        if self.state is State.ENDING and code == 1000:
            return DroppedError("the session ended without a Termination", code=code)
        text, error = reason, self._last_error
        if error is not None:
            text = error.error
            if code in (1000, ABNORMAL) and error.error_code is not None:
                code = error.error_code
        return closed_error(
            code,
            self._redact(text)[:LONGEST_QUOTE],
            retryable=error.retryable if error else None,
            retry_after=error.retry_after_seconds if error else None,
        )
