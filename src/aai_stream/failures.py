"""From what a server answers, HTTP statuses and close codes, to errors by type.

By AssemblyAI's table of v3 codes and the one of v2, which its SDK still carries.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from .errors import (
    BusyError,
    DroppedError,
    EndedError,
    ExpiredError,
    RefusedError,
    RejectedError,
    SessionError,
    TimedOutError,
    TokenExpiredError,
    TooFastError,
    TransientError,
    UnreachableError,
    UntrustedError,
)

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
    elif code == 3006 and "inactiv" in words:
        kind = EndedError
    if retryable is not None and retryable is not kind.retryable:
        kind = DroppedError if retryable else EndedError
    said = f": {text}" if text else ""
    message = f"the server closed the session with code {code}{said}"
    if issubclass(kind, TransientError):
        return kind(message, code=code, retry_after=retry_after)
    return kind(message, code=code)


def http_failure(status: int, headers: Mapping[str, str]) -> SessionError:
    """The error for a handshake or request that was answered with `status`."""
    wait = _retry_after(headers.get("Retry-After"))
    text = f"the server answered with HTTP status {status}"
    if status < 400:
        return UnreachableError(f"{text}, which is no websocket's", code=status)
    if status in (401, 403):
        return RefusedError(
            f"the key or token was refused (HTTP {status})", code=status
        )
    if status == 408:
        return TimedOutError(text, code=status, retry_after=wait)
    if status == 429:
        return BusyError(text, code=status, retry_after=wait)
    if status >= 500:
        return DroppedError(text, code=status, retry_after=wait)
    return RejectedError(text, code=status)


def connect_failure(exc: OSError, where: str) -> SessionError:
    """The error for a connection to `where`, host and port, that failed with `exc`."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return UntrustedError(f"the certificate of {where} is not trusted")
    if isinstance(exc, ssl.SSLError):
        # Its errno is OpenSSL's own number, which is none of the system's.
        return UnreachableError(f"no TLS with {where} could be agreed on")
    if exc.errno is not None and exc.errno > 0:
        why = os.strerror(exc.errno)
    else:
        why = exc.strerror or type(exc).__name__
    return UnreachableError(f"cannot connect to {where}: {why}")


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date (RFC 9110)."""
    if value is None:
        return None
    try:
        if value.strip().isdecimal():
            return float(value)
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, OverflowError, TypeError):
        return None
