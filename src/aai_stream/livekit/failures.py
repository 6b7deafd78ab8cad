"""What goes wrong, as LiveKit's own types, by which its retries and fallbacks go."""

from __future__ import annotations

from livekit.agents import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
)

from ..errors import SessionError, TimedOutError


def api_error(failure: Exception, session_id: str | None) -> APIError:
    """The error of LiveKit's that says what `failure` says.

    `APIStatusError` has the HTTP status or the websocket's close code; whether to try
    again is as the type of `failure` has it.
    """
    text = str(failure)
    if not isinstance(failure, SessionError):
        return APIConnectionError(text, retryable=False)
    if failure.code is not None:
        return APIStatusError(
            text,
            status_code=failure.code,
            request_id=session_id,
            retryable=failure.retryable,
        )
    if isinstance(failure, TimedOutError):
        return APITimeoutError(text)
    return APIConnectionError(text, retryable=failure.retryable)
