"""What a new session is told of a recorded call. Pure.

It is told what its own recorded session was, at the same places of the stream, in its
own time. Where it hears audio that this one did not, it is told what the last session
that did was. Words before its beginning are left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .places import Places
from .recorded import RecordedSession, Remark

Message = dict[str, Any]


class _Due(NamedTuple):
    session: RecordedSession
    remark: Remark


class Retelling:
    """The remarks of `sessions`, of which it is the `number`-th, counted from 0.

    There may be fewer than that. `rate` is in Hz, of all places.
    """

    def __init__(
        self, sessions: Sequence[RecordedSession], number: int, rate: int
    ) -> None:
        self._own = sessions[number] if number < len(sessions) else None
        self._sessions = sessions
        self._rate = rate
        dues = [_Due(each, remark) for each in sessions for remark in each.remarks]
        self._left = deque(sorted(dues, key=lambda due: due.remark.place))
        self._orders: dict[tuple[int, int], int] = {}
        self._next_order = 0

    def told(self, places: Places, until: int) -> Iterator[Any]:
        """What is told up to the place `until` to a session at these `places`."""
        while self._left and self._left[0].remark.place <= until:
            due = self._left.popleft()
            yield from self._tell(due, places, None)

    def rest(self, places: Places, until: int) -> Iterator[Any]:
        """The ends of turns that were heard before `until`, and are told later."""
        for due in self._left:
            message = due.remark.message
            if isinstance(message, dict) and message.get("end_of_turn") is True:
                yield from self._tell(due, places, until)
        self._left.clear()

    def _owner(self, sample: float) -> RecordedSession | None:
        """The session that says what is told of this sample of the stream."""
        if self._own is not None and self._own.holds(sample):
            return self._own
        return next((s for s in reversed(self._sessions) if s.holds(sample)), None)

    def _tell(self, due: _Due, places: Places, until: int | None) -> Iterator[Any]:
        session, remark = due
        is_own = session is self._own
        same_begin = is_own and places.begin == session.places.begin
        if same_begin and until is None:
            yield self._moved(remark.message, session, places)
            return

        def is_told(ms: float) -> bool:
            sample = session.places.place(ms * self._rate / 1000).sample
            if places.begin is None or sample < places.begin:
                return False
            if until is not None and sample >= until:
                return False
            return is_own or self._owner(sample) is session

        message = _part(remark.message, is_told, otherwise=is_own)
        if message is not None:
            yield self._moved(message, session, places)

    def _moved(self, message: Any, session: RecordedSession, places: Places) -> Any:
        """A message of `session` in the time and the turns of another one."""

        def move(ms: int) -> int:
            sample = ms * self._rate / 1000
            moved = places.sample(session.places.place(sample)) - sample
            return max(0, ms + round(moved * 1000 / self._rate))

        def count(order: int) -> int:
            return self._order(session, order, places)

        return _renumbered(_retimed(message, move), count)

    def _order(self, session: RecordedSession, order: int, places: Places) -> int:
        if session is self._own and session.places.begin == places.begin:
            new = order
        else:
            key = (id(session), order)
            new = self._orders.setdefault(key, self._next_order)
        self._next_order = max(self._next_order, new + 1)
        return new


def _part(
    message: Any, is_told: Callable[[float], bool], *, otherwise: bool
) -> Any | None:
    """As much of `message` as `is_told` says of its moments, in ms of its session; None
    if that is nothing. `otherwise` is for what speaks of no moment."""
    if not isinstance(message, dict):
        return message if otherwise else None
    kind = message.get("type")
    if kind == "Turn" and (words := _words(message)):
        kept = [w for w in words if is_told((w["start"] + w["end"]) / 2)]
        return _with_words(message, kept) if kept else None
    if kind == "SpeechStarted" and _are_numbers(message, "timestamp"):
        return message if is_told(message["timestamp"]) else None
    if kind == "Silence" and _are_numbers(message, "start_ms", "end_ms"):
        middle = (message["start_ms"] + message["end_ms"]) / 2
        return message if is_told(middle) else None
    if kind == "SpeakerRevision":
        kept = [
            revision
            for revision in message.get("revisions", ())
            if any(is_told((w["start"] + w["end"]) / 2) for w in _words(revision))
        ]
        return {**message, "revisions": kept} if kept else None
    return message if otherwise else None


def _with_words(turn: Message, words: list[Message]) -> Message:
    """`turn`, with some of its words left out."""
    if len(words) == len(turn["words"]):
        return turn
    final = " ".join(str(w.get("text", "")) for w in words if w.get("word_is_final"))
    every = " ".join(str(w.get("text", "")) for w in words)
    # Universal-Streaming's transcript holds what is final only.
    of_final = [w for w in turn["words"] if w.get("word_is_final")]
    tells_final = turn.get("transcript") == " ".join(
        str(w.get("text", "")) for w in of_final
    )
    text = final if tells_final else every
    utterance = text if turn.get("utterance") else turn.get("utterance")
    changed = {"words": words, "transcript": text, "utterance": utterance}
    return {**turn, **{name: changed[name] for name in changed if name in turn}}


def _retimed(message: Any, move: Callable[[int], int]) -> Any:
    if not isinstance(message, dict):
        return message
    moved = dict(message)
    for name in ("timestamp", "start_ms", "end_ms"):
        if _is_number(message.get(name)):
            moved[name] = move(message[name])
    if words := _words(message):
        moved["words"] = [
            {**word, "start": move(word["start"]), "end": move(word["end"])}
            for word in words
        ]
    if isinstance(revisions := message.get("revisions"), list):
        moved["revisions"] = [_retimed(revision, move) for revision in revisions]
    return moved


def _renumbered(message: Any, count: Callable[[int], int]) -> Any:
    if not isinstance(message, dict):
        return message
    moved = dict(message)
    if _is_number(message.get("turn_order")):
        moved["turn_order"] = count(message["turn_order"])
    if isinstance(revisions := message.get("revisions"), list):
        moved["revisions"] = [_renumbered(revision, count) for revision in revisions]
    return moved


def _words(message: Any) -> list[Message]:
    """Its words, if they have times, as those of v3 do."""
    words = message.get("words") if isinstance(message, dict) else None
    if not isinstance(words, list):
        return []
    fine = all(isinstance(w, dict) and _are_numbers(w, "start", "end") for w in words)
    return words if fine else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_numbers(message: Message, *names: str) -> bool:
    return all(_is_number(message.get(name)) for name in names)
