"""From close codes to errors, by type."""

from __future__ import annotations

import pytest

from aai_stream.errors import (
    BusyError,
    DroppedError,
    EndedError,
    ExpiredError,
    RefusedError,
    RejectedError,
    SessionError,
    TokenExpiredError,
    TooFastError,
)
from aai_stream.protocol.failures import closed_error


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (1000, "", EndedError),
        (1006, "", DroppedError),
        (1008, "Invalid API key", RefusedError),
        (1008, "Unauthorized Connection: Signature has expired", TokenExpiredError),
        (1008, "Too many concurrent sessions", BusyError),
        (1009, "", RejectedError),
        (1011, "", DroppedError),
        (1013, "", DroppedError),
        (3005, "", DroppedError),
        (3006, "Invalid value", RejectedError),
        (3006, "Session closed due to inactivity", EndedError),
        (3007, "", TooFastError),
        (3008, "", ExpiredError),
        (3009, "", BusyError),
        (4001, "", RefusedError),
        (4002, "", RefusedError),
        (4008, "", ExpiredError),
        (4029, "", TooFastError),
        (4031, "", EndedError),
        (4101, "", RejectedError),
        (4102, "", BusyError),
        (4999, "", DroppedError),
    ],
)
def test_every_code_has_its_type(
    code: int, text: str, kind: type[SessionError]
) -> None:
    error = closed_error(code, text)
    assert type(error) is kind
    assert error.code == code
    assert str(code) in str(error)
    assert text in str(error)


@pytest.mark.parametrize(
    ("code", "retryable", "kind"),
    [
        (1008, None, RefusedError),
        (1008, False, RefusedError),
        (1008, True, DroppedError),
        (3005, None, DroppedError),
        (3005, True, DroppedError),
        (3005, False, EndedError),
        (3009, None, BusyError),
        (3009, True, BusyError),
        (3009, False, EndedError),
    ],
)
def test_the_server_decides_whether_to_try_again(
    code: int, retryable: bool | None, kind: type[SessionError]
) -> None:
    error = closed_error(code, "so", retryable=retryable, retry_after=7)
    assert type(error) is kind
    assert error.code == code
    assert getattr(error, "retry_after", None) == (7 if error.retryable else None)
