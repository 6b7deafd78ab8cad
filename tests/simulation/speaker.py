"""Who calls: how audio is pushed, and what else is done with a stream meanwhile."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.speech import RATE, Script

if TYPE_CHECKING:
    from tests.simulation.account import Account
    from tests.simulation.faces import Face


@dataclass(frozen=True)
class Habits:
    """How somebody calls."""

    block_seconds: float
    """Of a push."""
    is_file: bool
    """Pushed faster than real time, with `drain` behind each push."""
    bursts: float
    mutes: float
    """Now and then no audio comes at all for a while."""
    acts: float
    """How often something else is done, by the block."""
    updates: bool
    ends_at: int
    """How many samples are pushed."""
    closes: bool
    """And then the stream is closed, and not ended."""


@dataclass
class Speaker:
    """Pushes a call's audio."""

    habits: Habits
    script: Script
    pcm: bytes
    account: Account
    dice: random.Random
    pushed: int = 0
    forced: list[int] = field(default_factory=list)
    """Where turns were to be ended, in samples."""

    async def speak(self, face: Face, most_bytes: int) -> None:
        """Until the end, or until it is enough."""
        habits, dice = self.habits, self.dice
        block = round(RATE * habits.block_seconds)
        view = memoryview(self.pcm)
        looked_at = 0
        while self.pushed < habits.ends_at:
            blocks = 1
            if habits.bursts and dice.random() < habits.bursts:
                blocks = dice.randint(2, 8)
            if not habits.is_file:
                await asyncio.sleep(blocks * habits.block_seconds)
            for _ in range(blocks):
                end = min(self.pushed + block, habits.ends_at)
                face.push(view[2 * self.pushed : 2 * end])
                self.pushed = end
            if habits.is_file:
                await face.drain()
            if self.pushed > looked_at + RATE:
                looked_at = self.pushed
                if face.memory_bytes > most_bytes:
                    self.account.complain(f"{face.memory_bytes} bytes are held")
            if habits.mutes and dice.random() < habits.mutes and self._is_pause():
                await self._mute(face)
            if habits.acts and dice.random() < habits.acts:
                self._act(face)

    def _is_pause(self) -> bool:
        return not self.script.is_spoken(self.pushed - 1, self.pushed + 1)

    async def _mute(self, face: Face) -> None:
        seconds = self.dice.choice((2, 7, 30, 70))
        self.account.note(f"muted for {seconds} s")
        for _ in range(seconds):
            await asyncio.sleep(1)
            face.keep_alive()

    def _act(self, face: Face) -> None:
        what = self.dice.choice(("flush", "force", "update"))
        if what == "flush" and self._is_pause() and not self.habits.is_file:
            self.account.note(f"flush at {self.pushed / RATE:.3f} s")
            face.flush()
        elif what == "force":
            self.account.note(f"force_endpoint at {self.pushed / RATE:.3f} s")
            face.force_endpoint()
            self.forced.append(self.pushed)
        elif what == "update" and self.habits.updates:
            changes: dict[str, Any] = {
                "min_turn_silence": self.dice.choice((150, 300, 600))
            }
            face.update(changes)
            self.account.wants(changes)
