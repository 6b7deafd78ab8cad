"""Who may have a session: keys, tokens, and how many sessions at once. No I/O."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..clock import Clock

_TOKEN_PREFIX = "emulated-token-"
_REMEMBERED_SECONDS = 3600
"""How long the server can tell an expired token from an unknown one."""


class NoAccess(Exception):
    """Access is denied; the text says why, in the service's words."""


class Ticket(NamedTuple):
    """What is known of a token."""

    expires: float
    """In the clock's monotonic time."""
    max_session_seconds: int


class Doorkeeper:
    """Checks keys and tokens, and mints tokens.

    `api_keys` are the keys that it accepts; None accepts any that isn't empty. A token
    opens one session unless tokens are `reusable`.
    """

    def __init__(
        self, clock: Clock, api_keys: Collection[str] | None, *, reusable: bool
    ) -> None:
        self._clock = clock
        self._api_keys = None if api_keys is None else frozenset(api_keys)
        self._reusable = reusable
        self._tickets: dict[str, Ticket] = {}

    def is_key(self, key: str) -> bool:
        """Whether `key` is an accepted API key."""
        if self._api_keys is not None:
            return key in self._api_keys
        # A common mistake that the real server doesn't forgive either.
        is_bearer = key.startswith("Bearer ")
        return bool(key) and not is_bearer and not key.startswith(_TOKEN_PREFIX)

    def mint(self, seconds: int, max_session_seconds: int) -> str:
        """A token that opens sessions for `seconds` from now."""
        now = self._clock.monotonic()
        self._tickets = {
            token: ticket
            for token, ticket in self._tickets.items()
            if ticket.expires + _REMEMBERED_SECONDS > now
        }
        token = _TOKEN_PREFIX + secrets.token_urlsafe(24)
        self._tickets[token] = Ticket(now + seconds, max_session_seconds)
        return token

    def admit(self, headers: Mapping[str, str], query: Mapping[str, str]) -> float:
        """How many seconds the key or token lets the session last.

        Raises `NoAccess`.
        """
        given = headers.get("Authorization", "")
        if "token" in query or given.startswith(_TOKEN_PREFIX):
            # The SDK sends tokens in the header.
            return self._redeem(query.get("token", given))
        if not given:
            raise NoAccess("Missing Authorization header")
        if not self.is_key(given):
            raise NoAccess("Invalid API key")
        return float("inf")

    def _redeem(self, token: str) -> int:
        ticket = self._tickets.get(token)
        if ticket is None:
            raise NoAccess("Invalid API key")
        if ticket.expires <= self._clock.monotonic():
            raise NoAccess("Signature has expired")
        if not self._reusable:
            del self._tickets[token]
        return ticket.max_session_seconds


class Places:
    """Room for `most` sessions at once. One may keep its place after its end."""

    def __init__(self, clock: Clock, most: int) -> None:
        self.most = most
        self._clock = clock
        self._taken = 0
        self._until: list[float] = []  # of sessions that are over

    def take(self) -> bool:
        """Take a place; False if there is none."""
        now = self._clock.monotonic()
        self._until = [until for until in self._until if until > now]
        if self._taken + len(self._until) >= self.most:
            return False
        self._taken += 1
        return True

    def leave(self, seconds: float) -> None:
        """Give a place back in `seconds`."""
        self._taken -= 1
        self._until.append(self._clock.monotonic() + seconds)
