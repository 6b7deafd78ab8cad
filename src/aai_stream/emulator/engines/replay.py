"""An engine that says what the service said in a recorded call.

    async with Emulator(ReplayEngine("calls/20260921-101500-stream-1.aai")) as server:
        ...  # a client that is sent the call's audio

A client's first connection is the call's first session, and so on: it is told the same
messages at the same places of the stream, and ends as it did. `calls.py` says how
calls are told apart, `retelling.py` what a session is told that is another than the
recorded one.
"""

from __future__ import annotations

import logging
import os

import numpy as np
import numpy.typing as npt

from ...recorder.reading import read_call
from .calls import Attendance, Calls
from .engine import Finished, Heard, Part, Raw, Recognizer, Tell, TurnSettings
from .locating import Locator, Reference
from .recorded import RecordedSession, sessions_of
from .retelling import Retelling

logger = logging.getLogger(__name__)


class ReplayEngine:
    """Says what the service said in the call that was recorded at `path`.

    Any number of clients hear it, each all of it. What they are told depends on their
    audio, which has to be the recorded one, sample for sample, and on nothing else.

    Raises as `read_call` does.
    """

    capacity = 10_000

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.call = read_call(path)
        """The call, for example to send its `audio`."""
        self.sessions = sessions_of(self.call.entries)
        """What each of its sessions was told."""
        self._reference = Reference(self.call.audio, self.call.meta.sample_rate)
        self._calls = Calls(self.sessions)

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to stop."""

    def open(self, sample_rate: int, settings: TurnSettings, tell: Tell) -> Recognizer:
        """A recogniser for the next session, whatever its handshake was."""
        return self.meet().open(sample_rate, settings, tell)

    def meet(self) -> Part:
        """The next session of a call that goes on, or the first one of a new call."""
        attendance = self._calls.attend()
        recorded = attendance.recorded or RecordedSession()

        def open(rate: int, settings: TurnSettings, tell: Tell) -> Recognizer:
            return _ReplayRecognizer(
                self.sessions, self._reference, attendance, rate, tell
            )

        opening: list[Heard] = [Raw(message) for message in recorded.opening]
        ends = recorded.ending is not None and recorded.ends_at is None
        if recorded.ending is not None and ends:
            opening.append(recorded.ending)
        if ends or not recorded.begins or recorded.handshake != "accept":
            attendance.is_lost = True
        return Part(
            open=open,
            handshake=recorded.handshake,
            begins=recorded.begins,
            configuration=recorded.configuration,
            opening=tuple(opening),
            is_recorded=True,
            leave=attendance.leave,
        )


class _ReplayRecognizer:
    def __init__(
        self,
        sessions: list[RecordedSession],
        reference: Reference,
        attendance: Attendance,
        rate: int,
        tell: Tell,
    ) -> None:
        self._sessions = sessions
        self._reference = reference
        self._attendance = attendance
        self._rate = rate
        self._tell = tell
        self._samples = 0
        self._locator = Locator(reference, attendance.guesses)
        self._retelling = Retelling(sessions, attendance.number, reference.rate)
        self._ended = False
        self._is_known = False  # where it begins
        self._warned = False

    async def hear(self, pcm: bytes) -> None:
        """Tell what was said up to this place."""
        self._locate(np.frombuffer(pcm, np.int16))
        self._go_on()

    def configure(self, settings: TurnSettings) -> None:
        """What was said stays as it is."""

    def force_endpoint(self) -> None:
        """Tell what was said in answer to one, if there was one here."""
        if (place := self._locator.places.end) is not None:
            self._tell_until(place + 1)

    def finish(self) -> None:
        """Tell what is left of the turns that were heard, and how it ended."""
        self._locator.settle()
        self._go_on()
        self.force_endpoint()
        if self._ended:
            return
        places = self._locator.places
        if places.end is not None:
            for message in self._retelling.rest(places, places.end):
                self._tell(Raw(message))
        recorded = self._attendance.recorded
        farewell = Finished() if recorded is None else recorded.farewell
        is_last = self._attendance.number + 1 >= len(self._sessions)
        if isinstance(farewell, Finished) or (farewell is None and is_last):
            self._attendance.finish(by_terminate=True)
        else:
            self._attendance.is_lost = True
        if farewell is not None:
            self._tell(farewell)

    def close(self) -> None:
        """Nothing is told any more."""
        self._ended = True
        self._attendance.finish()

    def _locate(self, pcm: npt.NDArray[np.int16]) -> None:
        before, self._samples = self._samples, self._samples + len(pcm)
        if self._rate == self._reference.rate:
            self._locator.add(pcm)
        else:
            rates = self._reference.rate, self._rate
            count = self._samples * rates[0] // rates[1]
            self._locator.count(count - before * rates[0] // rates[1])

    def _go_on(self) -> None:
        """Tell what is due where the audio is by now."""
        place = self._locator.places.end
        if place is None or self._ended:
            return
        if not self._is_known:
            self._is_known = True
            self._begin()
        self._warn()
        self._attendance.hear(place, of=len(self._reference.codes))
        self._tell_until(place)

    def _warn(self) -> None:
        if self._locator.counts and not self._warned:
            self._warned = True
            logger.warning(
                "replay: the audio is not the recorded one (mono, %d Hz), so that only "
                "its length says which messages are due",
                self._reference.rate,
            )

    def _begin(self) -> None:
        begin = self._locator.places.begin
        if begin == 0 and not self._locator.counts and self._attendance.begin_anew():
            number = self._attendance.number
            self._retelling = Retelling(self._sessions, number, self._reference.rate)
        logger.info(
            "replay: session %d of %d, from %.3f s on",
            self._attendance.number + 1,
            len(self._sessions),
            (begin or 0) / self._reference.rate,
        )

    def _tell_until(self, place: int) -> None:
        recorded = self._attendance.recorded
        ending = recorded.ending if recorded is not None else None
        ends_at = recorded.ends_at if recorded is not None else None
        last = place if ending is None or ends_at is None else min(place, ends_at)
        for message in self._retelling.told(self._locator.places, last):
            if self._ended:  # by what was told
                return
            self._tell(Raw(message))
        is_over = ends_at is not None and ends_at <= place
        if ending is not None and is_over and not self._ended:
            self._attendance.is_lost = True
            self._tell(ending)
            self._ended = True
