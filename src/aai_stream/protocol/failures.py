"""From close codes to errors, by type.

By AssemblyAI's table of v3 codes and the one of v2, which its SDK still carries.
"""

from __future__ import annotations

from ..errors import (
    BusyError,
    DroppedError,
    EndedError,
    ExpiredError,
    RefusedError,
    RejectedError,
    SessionError,
    TokenExpiredError,
    TooFastError,
    TransientError,
)

INACTIVE = 3006
"""The code of a session that ended for inactivity, and of bad input."""

_BY_CODE: dict[int, type[SessionError]] = {
    1000: EndedError,
    1008: RefusedError,
    1009: RejectedError,
    3006: RejectedError,
    3007: TooFastError,
    3008: ExpiredError,
    3009: BusyError,
    4001: RefusedError,
    4002: RefusedError,
    4003: RefusedError,
    4008: ExpiredError,
    4010: EndedError,
    4029: TooFastError,
    4031: EndedError,
    4102: BusyError,
}


def closed_error(
    code: int,
    text: str,
    *,
    retryable: bool | None = None,
    retry_after: float | None = None,
) -> SessionError:
    """The error for a websocket that was closed with `code`.

    1008 is told for a bad key, for a token that is too old and for too many sessions,
    3006 for bad input and for inactivity: there the text decides. Whether to try again
    is as that has it, unless the server says so itself, by `retryable`: then what would
    be final is a `DroppedError`, and what would be tried again an `EndedError`.
    `retry_after`, in seconds, is kept by errors that may be tried again.
    """
    kind = _BY_CODE.get(code)
    if kind is None:
        kind = RejectedError if 4000 <= code < 4200 else DroppedError
    words = text.lower()
    if code == 1008 and ("too many" in words or "concurrent" in words):
        kind = BusyError
    elif code == 1008 and "signature has expired" in words:
        kind = TokenExpiredError
    elif code == INACTIVE and "inactiv" in words:
        kind = EndedError
    if retryable is not None and retryable is not kind.retryable:
        kind = DroppedError if retryable else EndedError
    said = f": {text}" if text else ""
    message = f"the server closed the session with code {code}{said}"
    if issubclass(kind, TransientError):
        return kind(message, code=code, retry_after=retry_after)
    return kind(message, code=code)
