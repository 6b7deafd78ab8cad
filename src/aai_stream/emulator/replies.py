"""The messages of the server that aren't turns, with its error codes and texts.

Texts come from captures of the service, or else from AssemblyAI's page on session
errors and closures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

CLOSE_REASON = "See Error message for details"
"""The reason given in the close that follows an Error message."""

Message = dict[str, Any]


def encode(message: Message) -> str:
    """`message` as it goes over the websocket."""
    return msgspec.json.encode(message).decode()


def error(code: int, why: str) -> Message:
    """An Error message; the close that follows has the same code."""
    return {"type": "Error", "error_code": code, "error": why}


def cancelled() -> Message:
    """The server failed (3005)."""
    return error(3005, "Session Cancelled: An error occurred")


def bad_input(why: str) -> Message:
    """A message or parameter breaks the rules (3006)."""
    return error(3006, f"User Input Validation Error: {why}")


def bad_type(kind: str) -> Message:
    """A message of a type that v3 doesn't have (3006)."""
    return error(3006, f"Invalid Message Type: {kind[:60]}")


def inactive(seconds: int) -> Message:
    """`inactivity_timeout` has passed (3006)."""
    text = f"No messages received for {seconds} seconds"
    return error(3006, f"Session terminated due to inactivity: {text}")


def bad_chunk(length_ms: float) -> Message:
    """An audio message is too short or too long (3007)."""
    text = f"{length_ms:.1f} ms. Expected between 50 and 1000 ms"
    return error(3007, f"Input Duration Error: Input Duration Violation: {text}")


def expired() -> Message:
    """The session has reached its longest duration (3008)."""
    return error(3008, "Session Expired: Maximum session duration exceeded")


def too_many(code: int) -> Message:
    """The account may have no more sessions at once (1008, or 3009 by the docs)."""
    return error(code, "Unauthorized Connection: Too many concurrent sessions")


def unauthorized(why: str) -> Message:
    """The key or token isn't taken (1008)."""
    return error(1008, f"Unauthorized Connection: {why}")


def begin(
    session_id: str, expires_at: int, configuration: Mapping[str, Any]
) -> Message:
    """The Begin message; `expires_at` in unix seconds."""
    return {
        "type": "Begin",
        "id": session_id,
        "expires_at": expires_at,
        "configuration": configuration,
    }


def warning(code: int, text: str) -> Message:
    """The Warning message."""
    return {"type": "Warning", "warning_code": code, "warning": text}


def termination(audio_seconds: float, session_seconds: float) -> Message:
    """The Termination message, in whole seconds, rounded."""
    return {
        "type": "Termination",
        "audio_duration_seconds": round(audio_seconds),
        "session_duration_seconds": round(session_seconds),
    }


def silence(start_ms: int, end_ms: int) -> Message:
    """The Silence message."""
    return {"type": "Silence", "start_ms": start_ms, "end_ms": end_ms}
