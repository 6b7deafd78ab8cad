"""What was checked, what was found, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any
from urllib.parse import quote


class Status(str, Enum):
    """How a check came out."""

    FINE = "fine"
    DOUBTFUL = "doubtful"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One check. `advice` says what to do; `seconds` is how long it took."""

    name: str
    status: Status
    found: str
    advice: str = ""
    seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "status": self.status.value}


def fine(name: str, found: str, seconds: float | None = None) -> Finding:
    """A check that came out well."""
    return Finding(name, Status.FINE, found, seconds=seconds)


def doubtful(name: str, found: str, advice: str) -> Finding:
    """A check whose result may explain something."""
    return Finding(name, Status.DOUBTFUL, found, advice)


def failed(name: str, found: str, advice: str) -> Finding:
    """A check that found a fault."""
    return Finding(name, Status.FAILED, found, advice)


def unless_needed(findings: Iterable[Finding]) -> list[Finding]:
    """The findings on a server that is one of several: its faults are doubts."""
    return [
        replace(finding, status=Status.DOUBTFUL, advice="if you need this region")
        if finding.status is Status.FAILED
        else finding
        for finding in findings
    ]


def has_failed(findings: Iterable[Finding]) -> bool:
    """Whether any check found a fault."""
    return any(finding.status is Status.FAILED for finding in findings)


def redacted(text: str, *secrets: str | None) -> str:
    """`text` without `secrets`, URL queries, names and passwords in URLs, and what
    steers a terminal."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***").replace(quote(secret, ""), "***")
    text = re.sub(r"//[^/\s@]+@", "//***@", text)
    return re.sub(r"\?[^\s\"'<>]*=[^\s\"'<>]*", "", text)
