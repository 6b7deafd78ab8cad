"""What a check says, by what it saw."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from aai_stream import _core
from aai_stream.doctor import machine
from aai_stream.doctor.conversing import describe
from aai_stream.doctor.findings import (
    Status,
    doubtful,
    failed,
    fine,
    has_failed,
    redacted,
    unless_needed,
)
from aai_stream.doctor.machine import check_machine, clock, proxies
from aai_stream.doctor.network import judge_certificate
from aai_stream.doctor.roundtrip import TEXT, judge_bill, judge_delays, judge_words
from aai_stream.messages import Termination
from tests.servers import raw_server

NOON = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
DATE = "Sat, 28 Nov 2026 12:00:00 GMT"


def test_this_machine_is_fine() -> None:
    findings = {finding.name: finding for finding in check_machine()}
    assert set(findings) == {"Python", "packages", "compiled core", "TLS", "proxies"}
    assert findings["compiled core"].status is Status.FINE
    assert "picows" in findings["packages"].found
    assert ssl.OPENSSL_VERSION in findings["TLS"].found
    assert not has_failed(findings.values())


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "no-such-package"))
    found = machine.packages().found
    assert "numpy" in found
    assert "no-such-package" not in found


@pytest.mark.parametrize(
    ("ring", "says"),
    [
        (lambda rate: b"", "AttributeError: 'bytes' object has no attribute 'write'"),
        (lambda rate: _core.AudioRing(rate, chunk_ms=100), "chunks of [1600, 0, 0]"),
    ],
)
def test_a_core_that_does_otherwise(
    ring: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = SimpleNamespace(AudioRing=ring)
    monkeypatch.setitem(sys.modules, "aai_stream._core", broken)
    finding = machine.core()
    assert finding.status is Status.FAILED
    assert finding.found.startswith(says)
    assert finding.advice == "install aai-stream again"


def test_nobody_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = SimpleNamespace(cafile=None, capath=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    finding = machine.tls()
    assert finding.status is Status.DOUBTFUL
    assert "no file of certificate authorities" in finding.found


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (asyncio.TimeoutError(), "no answer in time"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "…"), "Connection refused"),
        (OSError("…"), "OSError"),
        (aiohttp.ServerDisconnectedError(), "ServerDisconnectedError"),
    ],
)
def test_failures_in_a_few_words(failure: BaseException, says: str) -> None:
    assert describe(failure) == says


@pytest.mark.parametrize(
    ("seconds", "status", "says"),
    [
        (0, Status.FINE, "agrees"),
        (-30, Status.FINE, "agrees"),
        (120, Status.DOUBTFUL, "120 s ahead of the server's"),
        (-7200, Status.DOUBTFUL, "7200 s behind the server's"),
    ],
)
def test_a_clock(seconds: int, status: Status, says: str) -> None:
    finding = clock(DATE, NOON + timedelta(seconds=seconds))
    assert finding.status is status
    assert says in finding.found


@pytest.mark.parametrize("date", [None, "", "soon"])
def test_a_server_that_does_not_say_what_time_it_is(date: str | None) -> None:
    assert clock(date, NOON).status is Status.DOUBTFUL


def test_proxies_are_named_without_their_passwords() -> None:
    assert proxies({"no": "localhost"}).status is Status.FINE
    finding = proxies({"https": "http://me:secret@proxy:3128", "no": "localhost"})
    assert finding.status is Status.DOUBTFUL
    assert finding.found == "https: http://***@proxy:3128; not used"
    assert "trust_env=True" in finding.advice
    assert proxies({"all": "socks5://proxy"}).status is Status.DOUBTFUL


@pytest.mark.parametrize(("variable", "used"), [("https", False), ("wss", True)])
async def test_the_proxy_that_is_used_for_sessions(
    variable: str, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the advice says; it is aiohttp's choice."""
    for name in ("http", "https", "ws", "wss", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    asked: list[bytes] = []

    async def proxy(reader: StreamReader, writer: StreamWriter) -> None:
        asked.append(await reader.readline())

    async with raw_server(proxy) as url:
        monkeypatch.setenv(f"{variable}_proxy", url.replace("ws:", "http:"))
        async with aiohttp.ClientSession(trust_env=True) as http:
            with pytest.raises(aiohttp.ClientError):
                await http.ws_connect("wss://localhost:1/v3/ws")
    assert any(line.startswith(b"CONNECT localhost:1 ") for line in asked) is used


def test_what_is_redacted() -> None:
    text = "wss://me:pw@host/v3/ws?token=t0k%2Fen refused k/ey and k%2Fey"
    assert redacted(text, "k/ey", None) == "wss://***@host/v3/ws refused *** and ***"


def test_what_steers_a_terminal_is_not_shown() -> None:
    assert redacted("red \x1b[31mtext\a\n") == "red ?[31mtext??"


CERTIFICATE: dict[str, Any] = {
    "notAfter": "Dec 28 12:00:00 2026 GMT",
    "issuer": ((("countryName", "US"),), (("organizationName", "Authority"),)),
}


@pytest.mark.parametrize(("days", "status"), [(30, Status.FINE), (13, Status.DOUBTFUL)])
def test_a_certificate(days: int, status: Status) -> None:
    now = NOON.timestamp() + (30 - days) * 86_400
    finding = judge_certificate("TLS", "TLSv1.3", CERTIFICATE, now, 0.1)
    assert finding.status is status
    assert finding.found == f"TLSv1.3, issued by Authority, good for {days} days"


@pytest.mark.parametrize(
    ("heard", "lost", "status", "says"),
    [
        (TEXT, 0.0, Status.FINE, "22 of 22 right"),
        (TEXT.upper().replace("Miller".upper(), "MUELLER"), 0.0, Status.FINE, "21 of"),
        ("Hello, this is", 0.0, Status.FAILED, "3 of 22 right"),
        ("", 0.0, Status.FAILED, "0 of 22 right"),
        (TEXT, 1.25, Status.FAILED, "22 of 22 right, 1.2 s lost"),
    ],
)
def test_words(heard: str, lost: float, status: Status, says: str) -> None:
    finding = judge_words(heard, lost)
    assert finding.status is status
    assert says in finding.found


@pytest.mark.parametrize(
    ("delays", "status", "says"),
    [
        ([0.5, 0.3, 1.0], Status.FINE, "0.5 s after a turn's last word, 1.0 s at"),
        ([3.0], Status.DOUBTFUL, "3.0 s after"),
        ([], Status.FAILED, "none came"),
    ],
)
def test_finals(delays: list[float], status: Status, says: str) -> None:
    finding = judge_delays(delays)
    assert finding.status is status
    assert says in finding.found


@pytest.mark.parametrize(
    ("termination", "status", "found"),
    [
        (None, Status.DOUBTFUL, "the server didn't say"),
        (Termination(), Status.DOUBTFUL, "the server didn't say"),
        (Termination(session_duration_seconds=13), Status.FINE, "13 s of session"),
        (
            Termination(session_duration_seconds=13, audio_duration_seconds=12),
            Status.FINE,
            "13 s of session, 12 s of audio",
        ),
    ],
)
def test_what_was_billed(
    termination: Termination | None, status: Status, found: str
) -> None:
    finding = judge_bill(termination)
    assert (finding.status, finding.found) == (status, found)


def test_faults_of_a_region_that_may_not_be_needed_are_doubts() -> None:
    well, ill = unless_needed([fine("a", "b"), failed("c", "d", "e")])
    assert well == fine("a", "b")
    assert ill == doubtful("c", "d", "if you need this region")


def test_findings_are_json() -> None:
    assert fine("name", "found", 0.5).as_dict() == {
        "name": "name",
        "status": "fine",
        "found": "found",
        "advice": "",
        "seconds": 0.5,
    }
