"""Scripts from recorded conversations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ...errors import OptionError
from .script import Played, play

_SERVERS_OWN = ("Begin", "Termination", "Error")


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    audio_ms: int
    message: dict[str, Any]


def read_capture(lines: Iterable[str | bytes]) -> list[list[Played]]:
    """A script for `ScriptEngine` from JSON lines, in the order of their times:

        {"audio_ms": 1200, "message": {"type": "Turn", "turn_order": 0, …}}

    is told when 1200 ms of audio have come, or at Terminate if there is less. Begin,
    Termination and Errors are left out, since the server has its own.

    Raises `OptionError`, with the number of the line, for anything else.
    """
    script: list[list[Played]] = []
    last = 0
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=_Line)
        except (msgspec.DecodeError, UnicodeError) as exc:
            raise OptionError(f"line {number} of the capture: {exc}") from None
        if not isinstance(line.message.get("type"), str):
            raise OptionError(f"line {number} of the capture: a message has a type")
        if line.audio_ms < last:
            raise OptionError(
                f"line {number} of the capture: {line.audio_ms} ms come after {last} ms"
            )
        last = line.audio_ms
        if line.message["type"] not in _SERVERS_OWN:
            script.append(play(line.message, at_ms=line.audio_ms))
    return script
