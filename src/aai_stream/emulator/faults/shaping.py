"""What faults make of a session's messages on their way to the client. No I/O here."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ..replies import Message
from .kinds import Fault


class Shaping:
    """The faults with `Kind.shapes` that have struck a session.

    `bite` is called with each when it first changes something.
    """

    def __init__(self, bite: Callable[[Fault], None]) -> None:
        self._bite = bite
        self._faults: dict[str, Fault] = {}
        self._bitten: set[str] = set()
        self._held: list[Message] = []
        """A Turn that `reorder` tells after the next one, or before the last word."""

    def add(self, fault: Fault) -> None:
        """Let `fault` act from here on."""
        self._faults.setdefault(fault.kind, fault)

    def bites(self, kind: str) -> bool:
        """Whether there is a fault of this kind, which then has its effect."""
        fault = self._faults.get(kind)
        if fault is None:
            return False
        if kind not in self._bitten:
            self._bitten.add(kind)
            self._bite(fault)
        return True

    def lateness(self, message: Message) -> float:
        """How many seconds too late `message` is told."""
        kind = f"late-{message['type'].lower()}"
        if message.get("end_of_turn"):
            kind = "late-final"
        return self._faults[kind].seconds or 0.0 if self.bites(kind) else 0.0

    def shape(self, message: Message) -> list[Message]:
        """What is told in the place of `message`."""
        kind = message["type"]
        if kind in ("Termination", "Error"):
            swallows = kind == "Termination" and self.bites("no-termination")
            return [*self._rest(), *([] if swallows else [message])]
        if kind == "Begin" and self.bites("expires-at"):
            return [_misdated(message, self._faults["expires-at"])]
        if kind in ("SpeechStarted", "Turn") and self.bites("no-turns"):
            return []
        return self._shape_turn(message) if kind == "Turn" else [message]

    def _shape_turn(self, message: Message) -> list[Message]:
        if message.get("end_of_turn"):
            if self.bites("no-final"):
                return []
            if self.bites("no-words"):
                message = {**message, "words": []}
            if self.bites("early-end"):
                message = _shortened(message, self._faults["early-end"].ms or 0)
        elif self.bites("no-partials"):
            return []
        told = [message]
        if "reorder" in self._faults:
            if not self._held:
                self._held = told
                return []
            self.bites("reorder")
            told += self._rest()
        if self.bites("duplicate"):
            told = [each for each in told for _ in range(2)]
        return told

    def _rest(self) -> list[Message]:
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
