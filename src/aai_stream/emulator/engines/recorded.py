"""The sessions of a recorded call: what each was told, and at which place. Pure.

A place is the stream's sample up to which a session had been sent the audio.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...recorder import format as recorded
from .engine import Ended, Finished, Handshake
from .places import Places

_NO_CLOSE = (1005, 1006, 1015)
"""Codes that no close frame has: they say that there was none."""

_UNWANTED = ("replaced", "closed")
"""Outcomes of sessions whose client did not wait for the answer to its Terminate."""


@dataclass(frozen=True)
class Remark:
    """What the server said, from Begin on, and where."""

    place: int
    message: Any


@dataclass
class RecordedSession:
    """One of a call's sessions, as it was."""

    handshake: Handshake = "accept"
    begins: bool = True
    configuration: dict[str, Any] | None = None
    opening: list[Any] = field(default_factory=list)
    """What was said before there was any audio."""
    remarks: list[Remark] = field(default_factory=list)
    places: Places = field(default_factory=Places)
    ending: Ended | None = None
    """How the server ended it, unasked; None if it didn't."""
    ends_at: int | None = None
    """Where; None before there was any audio."""
    farewell: Finished | Ended | None = field(default_factory=Finished)
    """The answer to Terminate; None if there was none."""
    overlaps: bool = False
    """It was asked for while the one before was open: on standby, or planned."""

    def holds(self, sample: float) -> bool:
        """Whether it was sent this sample of the stream."""
        return self.places.holds(sample)


def sessions_of(entries: Iterable[recorded.Entries]) -> list[RecordedSession]:
    """A call's sessions, in the order in which they were asked for."""
    readers: dict[int, _Reader] = {}
    timeline: list[tuple[float, int, recorded.Entries]] = []
    for number, entry in enumerate(entries):
        if isinstance(entry, recorded.Sent):
            for *chunk, after_us in entry.chunks:
                piece = recorded.Sent(
                    unix=entry.unix,
                    stream_ms=entry.stream_ms,
                    session=entry.session,
                    chunks=[(chunk[0], chunk[1], chunk[2], 0)],
                )
                timeline.append((entry.unix + after_us / 1e6, number, piece))
        else:
            timeline.append((entry.unix, number, entry))
    timeline.sort(key=lambda each: each[:2])
    for _, _, entry in timeline:
        if isinstance(entry, recorded.Opening):
            is_open = any(not reader.is_over for reader in readers.values())
            readers[entry.session] = _Reader(overlaps=is_open)
        elif (session := getattr(entry, "session", None)) in readers:
            readers[session].take(entry)
    return [readers[number].read() for number in sorted(readers)]


class _Reader:
    """Reads one session, entry by entry."""

    def __init__(self, *, overlaps: bool) -> None:
        self.is_over = False
        self._session = RecordedSession(overlaps=overlaps)
        self._connected = self._begun = False
        self._terminates = self._terminated = False
        self._asked = False  # it was told something since the last audio
        self._closed: recorded.Closed | None = None
        self._over: recorded.Decided | None = None

    def take(self, entry: recorded.Entries) -> None:
        """The next entry about it."""
        if isinstance(entry, recorded.Connected):
            self._connected = True
        elif isinstance(entry, recorded.Sent):
            for start, count, padding, _ in entry.chunks:
                self._session.places.add(start, count, padding)
            self._asked = False
        elif isinstance(entry, recorded.Said) and not self.is_over:
            self._say(entry.message)
        elif isinstance(entry, recorded.Received):
            self._receive(entry.text if entry.text is not None else entry.message)
        elif isinstance(entry, recorded.Closed):
            self._closed = entry
            self._end()
        elif isinstance(entry, recorded.Decided) and entry.what == "Over":
            self._over = entry
            self._end()

    def read(self) -> RecordedSession:
        """All of it."""
        session = self._session
        if self._begun:
            self._read_end()
        elif self._connected or self._closed is not None:
            session.begins = self._over is None and self._closed is None
            session.ending = self._ending()
        elif self._over is not None:
            session.begins = False
            session.handshake = _answer(self._over)
        return session

    @property
    def _place(self) -> int | None:
        """Where it is. What answers a word, and not audio, comes a sample later."""
        end = self._session.places.end
        return None if end is None else end + self._asked

    def _say(self, message: Any) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind in ("ForceEndpoint", "Terminate"):
            self._asked = True
        if kind == "Terminate":
            self._terminates = True

    def _receive(self, message: Any) -> None:
        session = self._session
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "Begin" and not self._begun:
            self._begun = True
            configuration = message.get("configuration")
            if isinstance(configuration, dict):
                session.configuration = configuration
        elif kind == "Termination":
            self._terminated = True
        elif (place := self._place) is None:
            session.opening.append(message)
        else:
            session.remarks.append(Remark(place, message))

    def _end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._session.ends_at = self._place

    def _read_end(self) -> None:
        session = self._session
        ending = self._ending()
        if self._terminates:
            if not self._terminated and self._outcome not in _UNWANTED:
                session.farewell = ending if self._closed is not None else None
            return
        session.ending = ending
        if ending is not None and self._closed is None:
            # Since when it was so, is not known. It said nothing after this.
            last = session.remarks[-1].place if session.remarks else None
            session.ends_at = session.places.begin if last is None else last

    @property
    def _outcome(self) -> Any:
        """What became of it; None if nothing says so."""
        return self._over.fields.get("outcome") if self._over is not None else None

    def _ending(self) -> Ended | None:
        closed = self._closed
        if closed is not None and closed.code in _NO_CLOSE:
            return Ended("reset")
        if closed is not None:
            return Ended("close", closed.code, closed.reason)
        if self._over is None or self._outcome != "lost":
            return None
        # It was the client who gave it up.
        took_nothing = _failure(self._over).get("type") == "TimedOutError"
        return Ended("freeze" if took_nothing else "mute")


def _answer(over: recorded.Decided) -> Handshake:
    """How a handshake was answered that led to no websocket."""
    failure = _failure(over)
    if not failure:
        return "accept"  # the client gave it up
    code = failure.get("code")
    if isinstance(code, int) and 400 <= code <= 599:
        return code
    return "freeze" if failure.get("type") == "TimedOutError" else "reset"


def _failure(over: recorded.Decided) -> dict[str, Any]:
    """Why a session is over; empty if there is no reason."""
    failure = over.fields.get("failure")
    return failure if isinstance(failure, dict) else {}
