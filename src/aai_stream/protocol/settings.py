"""What a stream was asked for, besides v3's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..errors import OptionError
from ..rules import check_seconds
from .pace import check_rate

BEGIN_SECONDS = 20.0
"""How long an open connection may take to its Begin; 11 s have been seen."""

CLOSE_SECONDS = 20.0
"""How long the end may take without a sign of the server; 11 s have been seen."""

LEAST_PARK_SECONDS = 10.0
"""In such a silence a turn has come to its end."""


@dataclass(frozen=True)
class Settings:
    """Times are in seconds. Raises `OptionError` for a bad one.

    `keeps_alive`: a KeepAlive goes out while there is no audio, where the server has an
    `inactivity_timeout`. `park_after`: in a silence of so many seconds there is no
    session; None for never.
    """

    begin_timeout: float
    close_timeout: float
    dead_after: float
    catch_up_rate: float
    skip_silence: bool
    keeps_alive: bool = False
    park_after: float | None = None

    def __post_init__(self) -> None:
        check_seconds("begin_timeout", self.begin_timeout)
        check_seconds("close_timeout", self.close_timeout)
        check_rate(self.catch_up_rate)
        after, least = self.park_after, LEAST_PARK_SECONDS
        is_number = isinstance(after, (int, float)) and not isinstance(after, bool)
        if after is not None and not (is_number and after >= least):
            raise OptionError(
                f"park_after must be None, or at least {least:g} s, not {after!r}"
            )


class Identity(Protocol):
    """As whom sessions are opened."""

    @property
    def has_token_source(self) -> bool:
        """Whether another token can be had."""

    def redact(self, text: str) -> str:
        """`text` without key and token."""
