"""The labels of metrics: each from a set of a few words, whatever a server says."""

from __future__ import annotations

import re

from ..connection.addresses import is_loopback
from ..errors import (
    BusyError,
    DroppedError,
    EndedError,
    ExpiredError,
    RefusedError,
    RejectedError,
    TimedOutError,
    TokenExpiredError,
    TooFastError,
    UnfinishedError,
    UnreachableError,
    UntrustedError,
)
from ..models import KNOWN_MODELS

OTHER = "other"
"""What is in none of the sets."""

NONE = "none"
"""The code of a failure that has none."""

CAUSES: dict[type[BaseException], str] = {
    BusyError: "busy",
    DroppedError: "dropped",
    EndedError: "ended",
    ExpiredError: "expired",
    RefusedError: "refused",
    RejectedError: "rejected",
    TimedOutError: "timed_out",
    TokenExpiredError: "token_expired",
    TooFastError: "too_fast",
    UnfinishedError: "unfinished",
    UnreachableError: "unreachable",
    UntrustedError: "untrusted",
}
"""Why sessions are lost or not opened, by the type of the error."""

WEBSOCKET_CODES = [*range(1000, 1004), *range(1005, 1016)]
ASSEMBLYAI_CODES = [*range(3005, 3010), *range(4000, 4004), 4008, 4010]
ASSEMBLYAI_CODES += [4029, 4031, 4100, 4101, 4102]
HTTP_STATUSES = [400, 401, 402, 403, 404, 407, 408, 410, 413, 422, 429]
HTTP_STATUSES += range(500, 505)
CODES = frozenset({*WEBSOCKET_CODES, *ASSEMBLYAI_CODES, *HTTP_STATUSES})

REGIONS = "us", "eu"
_HOST = re.compile(rf"streaming\.({'|'.join(REGIONS)})\.assemblyai\.com")


def cause_of(failure: BaseException | None) -> str:
    """What kind of failure it is."""
    return OTHER if failure is None else CAUSES.get(type(failure), OTHER)


def code_of(failure: BaseException | None) -> str:
    """The close code or HTTP status that it came with."""
    code = getattr(failure, "code", None)
    if code is None:
        return NONE
    return str(code) if code in CODES else OTHER


def model_of(model: str) -> str:
    """A model's name, if it is one that this version knows."""
    return model if model in KNOWN_MODELS else OTHER


def region_of(host: str) -> str:
    """Where AssemblyAI's `host` is; `global` for the one that chooses, `local` for a
    server on this machine."""
    if host == "streaming.assemblyai.com":
        return "global"
    if (match := _HOST.fullmatch(host)) is not None:
        return match[1]
    return "local" if is_loopback(host) else OTHER
