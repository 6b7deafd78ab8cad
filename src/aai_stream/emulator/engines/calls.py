"""Which session of the recorded call a connection is.

A connection goes on with a call whose session was lost as the recorded one was, or
else with one whose session is over; the call that has waited longest. Otherwise, all
calls being in the middle of a session, it is a new client's, and begins a call. It goes
on with one in the middle of a session where the recorded call had a second session open
as well.

A call is over when a client has heard all of it, or has itself said Terminate in the
call's last recorded session, or in a later one: sessions that are more than the
recorded ones belong to it until then. Terminate in an earlier session leaves it open.

A session whose audio begins with the recording, where the recorded one did not, begins
a new call after all: somebody has started again. Unless the session before it was lost
as recorded: then its client just sends everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from .recorded import RecordedSession


class Calls:
    """The calls that go on, of clients that hear the same `sessions`."""

    def __init__(self, sessions: Sequence[RecordedSession]) -> None:
        self.sessions = sessions
        self._calls: list[_Call] = []

    def attend(self) -> Attendance:
        """A client asks for a connection."""
        self._calls = [call for call in self._calls if not call.is_over]
        waiting = [call for call in self._calls if call.waits_for(self.sessions)]
        lost = (call for call in waiting if call.was_lost)
        call = next(chain(lost, waiting), None) or self.begin()
        self._calls.remove(call)  # it goes to the end of the line
        self._calls.append(call)
        return Attendance(self, call)

    def begin(self) -> _Call:
        """A new call."""
        call = _Call()
        self._calls.append(call)
        return call


class _Call:
    def __init__(self) -> None:
        self.given = 0
        """How many of its sessions have been given to connections."""
        self.open: list[Attendance] = []
        self.reached = 0
        """The place up to which it has been heard."""
        self.was_lost = False
        """Whether its last session was lost as recorded, and not by the client."""
        self.has_ended = False

    @property
    def is_over(self) -> bool:
        return self.has_ended and not self.open

    def waits_for(self, sessions: Sequence[RecordedSession]) -> bool:
        """Whether the next one of these is due."""
        if self.has_ended:
            return False
        if self.given < len(sessions) and sessions[self.given].overlaps:
            return True
        return all(each.is_lost or each.is_done for each in self.open)


class Attendance:
    """A connection as one session of a call."""

    def __init__(self, calls: Calls, call: _Call) -> None:
        self._calls = calls
        self._call = call
        self.number = call.given
        """Which session it is, counted from 0; there may be more than were recorded."""
        self.is_done = False
        """Whether the client has ended it."""
        self._is_lost = False
        self._heard_all = False
        call.given += 1
        call.open.append(self)

    @property
    def recorded(self) -> RecordedSession | None:
        """The session as it was."""
        sessions = self._calls.sessions
        return sessions[self.number] if self.number < len(sessions) else None

    @property
    def guesses(self) -> list[int]:
        """Samples of the stream with which its audio may begin."""
        begin = self.recorded.places.begin if self.recorded is not None else None
        return [self._call.reached if begin is None else begin, 0]

    @property
    def is_lost(self) -> bool:
        """Whether it has ended as the recorded one did, by the server's doing."""
        return self._is_lost

    @is_lost.setter
    def is_lost(self, value: bool) -> None:
        self._is_lost = self._call.was_lost = value

    def hear(self, place: int, *, of: int) -> None:
        """It has been sent the audio up to a place of the stream, `of` so much."""
        self._call.reached = max(self._call.reached, place)
        self._heard_all = place >= of

    def begin_anew(self) -> bool:
        """Its audio begins with the recording. True if it begins a new call, and is
        another session of it now."""
        sessions = self._calls.sessions
        is_more = self.number >= len(sessions)
        like = sessions[-1 if is_more else self.number] if sessions else None
        if not self.number or like is None or like.places.begin == 0:
            return False
        if self._call.was_lost and not is_more:
            return False
        self._call.given -= 1
        self._call.open.remove(self)
        self._call = self._calls.begin()
        starts = [n for n, each in enumerate(sessions) if each.places.begin == 0]
        self.number = starts[0] if starts else 0
        self._call.given = self.number + 1
        self._call.open.append(self)
        return True

    def finish(self, *, by_terminate: bool = False) -> None:
        """The client ends it, or is gone. May be called again."""
        if self.is_done or self._is_lost:
            return
        self.is_done = True
        self._call.was_lost = False
        is_last = self.number + 1 >= len(self._calls.sessions)
        if self._heard_all or (by_terminate and is_last):
            self._call.has_ended = True

    def leave(self) -> None:
        """The connection is over."""
        self.finish()
        self._call.open.remove(self)
