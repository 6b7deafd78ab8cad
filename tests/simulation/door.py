"""Who is let in: keys and tokens, new sessions a minute, places. All streams of an
account go through one door.

From PROTOCOL.md, "Connecting": the websocket is accepted, and a refusal comes as an
Error and a close 1008, or with a code of the documentation's, or of v2. A place is free
again 0.5 to 2 s after a session's end, once 28 s.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TOO_MANY_CODES = (1008, 1008, 1008, 3009, 4102)
KEY_CODES = (1008, 1008, 4001)


@dataclass
class Terms:
    """What an account has, and how its caller uses it."""

    rate: float = 2.0
    """That the client may send at, times real time."""
    chunk_seconds: float = 1.0
    places: float = math.inf
    per_minute: float = math.inf
    longest_session: float = 10_800.0
    skew: float = 0.0
    """How far the service's clock is ahead of the client's, in seconds."""
    default_model: str = "universal-3-6-pro"
    forbidden_model: bool = False
    revoked_at: float = math.inf
    """When key or token is refused."""
    has_new_tokens: bool = True
    """Or keys; one token is good for some minutes only."""


@dataclass(frozen=True)
class No:
    """Why somebody is not let in."""

    code: int
    text: str
    is_busy: bool = False


class Door:
    """Of an account."""

    def __init__(self, terms: Terms, dice: random.Random) -> None:
        self._terms = terms
        self._dice = dice
        self._tokens: dict[str, float] = {}  # until when they are good
        self._opened: deque[float] = deque()
        self._taken = 0

    def mint(self, *, is_stale: bool) -> str:
        """A token, which may be too old already."""
        token = f"token-{len(self._tokens)}"
        now = asyncio.get_running_loop().time()
        self._tokens[token] = now - 1 if is_stale else now + self._dice.uniform(60, 600)
        return token

    def ask(
        self,
        asked: dict[str, Any],
        *,
        has_key: bool,
        is_full: bool,
        complain: Callable[[str], None],
    ) -> No | None:
        """Somebody wants a session. Whoever is let in takes a place; `is_full`: there
        is none, whatever is known of them."""
        now = asyncio.get_running_loop().time()
        self._opened.append(now)
        while self._opened[0] <= now - 59.5:  # some were longer on their way
            self._opened.popleft()
        if len(self._opened) > self._terms.per_minute:
            complain(f"{len(self._opened)} sessions within a minute")
            return No(1008, "Too many new sessions", is_busy=True)
        token = asked.get("token")
        if token is None and not has_key:
            return No(1008, "Missing Authorization header")
        if token is not None and self._tokens.get(token, 0.0) < now:
            return No(1008, "Signature has expired")
        if now > self._terms.revoked_at:
            return No(self._dice.choice(KEY_CODES), "Invalid API key")
        if self._taken >= self._terms.places or is_full:
            code = self._dice.choice(TOO_MANY_CODES)
            return No(code, "Too many concurrent sessions", is_busy=True)
        self._taken += 1
        return None

    def leave(self, *, is_late: bool) -> None:
        """Whoever had a place has left."""
        seconds = 28.0 if is_late else self._dice.uniform(0.5, 2)
        asyncio.get_running_loop().call_later(seconds, self._free)

    def _free(self) -> None:
        self._taken -= 1
