"""Faults of messages: what the client is told in place of what the session tells.

Messages are values here: they have not been encoded yet. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ..replies import Message
from .kinds import Fault

ODD_MESSAGES = {
    "garbage": '{"type": "Turn", "turn_order": ',
    "unknown": '{"type": "Premonition", "words": [{"text": "soon"}]}',
    "wrong-types": '{"type": "Turn", "turn_order": "first", "transcript": 7, '
    '"words": "none", "end_of_turn": "perhaps"}',
}
"""What faults of these kinds send, as text."""


class MessageFaults:
    """The faults with `Kind.shapes` that have struck a session.

    `happened` is called with each of them when it first changes something.
    """

    def __init__(self, happened: Callable[[Fault], None]) -> None:
        self._happened = happened
        self._faults: dict[str, Fault] = {}
        self._seen: set[str] = set()
        self._held: list[Message] = []
        """The Turn that `reorder` tells after the next one, or before the last word."""

    def add(self, fault: Fault) -> None:
        """Let `fault` act from here on."""
        self._faults.setdefault(fault.kind, fault)

    def act(self, kind: str) -> bool:
        """Whether there is a fault of this kind. If so, it has happened now."""
        fault = self._faults.get(kind)
        if fault is None:
            return False
        if kind not in self._seen:
            self._seen.add(kind)
            self._happened(fault)
        return True

    def delay(self, message: Message) -> float:
        """How many seconds too late `message` is told."""
        kind = f"late-{message['type'].lower()}"
        if message.get("end_of_turn"):
            kind = "late-final"
        return self._faults[kind].seconds or 0.0 if self.act(kind) else 0.0

    def change(self, message: Message) -> list[Message]:
        """What is told in place of `message`."""
        kind = message["type"]
        if kind in ("Termination", "Error"):
            swallowed = kind == "Termination" and self.act("no-termination")
            return [*self._take_held(), *([] if swallowed else [message])]
        if kind == "Begin" and self.act("expires-at"):
            return [_misdated(message, self._faults["expires-at"])]
        if kind in ("SpeechStarted", "Turn") and self.act("no-turns"):
            return []
        return self._change_turn(message) if kind == "Turn" else [message]

    def _change_turn(self, message: Message) -> list[Message]:
        if message.get("end_of_turn"):
            if self.act("no-final"):
                return []
            if self.act("no-words"):
                message = {**message, "words": []}
            if self.act("early-end"):
                message = _shortened(message, self._faults["early-end"].ms or 0)
        elif self.act("no-partials"):
            return []
        told = [message]
        if "reorder" in self._faults:
            if not self._held:
                self._held = told
                return []
            self.act("reorder")
            told += self._take_held()
        if self.act("duplicate"):
            told = [each for each in told for _ in range(2)]
        return told

    def _take_held(self) -> list[Message]:
        held, self._held = self._held, []
        return held


def _misdated(begin: Message, fault: Fault) -> Message:
    if fault.value is None:
        return {**begin, "expires_at": begin["expires_at"] + round(fault.seconds or 0)}
    try:
        value = msgspec.json.decode(fault.value)
    except msgspec.DecodeError:
        value = fault.value
    return {**begin, "expires_at": value}


def _shortened(turn: Message, ms: int) -> Message:
    words = [
        {**w, "end": max(w["start"], w["end"] - ms)} for w in turn.get("words", ())
    ]
    return {**turn, "words": words}
