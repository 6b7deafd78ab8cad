"""What faults make of a session's messages on their way to the client. No I/O here."""

from __future__ import annotations

from collections.abc import Callable

from .faults import Fault
from .replies import Message


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

    def shape(self, message: Message) -> list[Message]:
        """What is told in the place of `message`."""
        if message["type"] in ("Termination", "Error"):
            swallows = message["type"] == "Termination" and self.bites("no-termination")
            return [*self._rest(), *([] if swallows else [message])]
        if message["type"] != "Turn":
            return [message]
        if message["end_of_turn"] and self.bites("no-final"):
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
