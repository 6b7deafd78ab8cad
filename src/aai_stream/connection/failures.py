"""From HTTP statuses and failed sockets to errors, by type."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from ..errors import (
    BusyError,
    DroppedError,
    RefusedError,
    RejectedError,
    SessionError,
    TimedOutError,
    UnreachableError,
    UntrustedError,
)


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
