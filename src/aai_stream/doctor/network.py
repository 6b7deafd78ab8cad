"""The way to a server: its name, TCP, TLS, the upgrade, Begin; each with its time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import urlsplit

from . import machine
from .conversing import FAILURES, Server, describe
from .findings import Finding, doubtful, failed, fine, has_failed

T = TypeVar("T")

STEP_SECONDS = 10.0
"""No step takes longer, but for Begin."""
BEGIN_SECONDS = 20.0
SLOW_BEGIN_SECONDS = 2.0
EXPIRING_DAYS = 14

NETWORK = "check the network, firewalls, and the address"


async def check_way(base_url: str, server: Server) -> list[Finding]:
    """One after the other, up to the first that fails.

    The clock is compared on the way. A session is open for a moment.
    """
    parts = urlsplit(base_url)
    host, secure = parts.hostname or "", parts.scheme in ("wss", "https")
    port = parts.port or (443 if secure else 80)
    steps: list[Callable[[], Awaitable[Finding]]] = [
        lambda: _name(host, port),
        lambda: _tcp(host, port),
        *([lambda: _tls(host, port)] if secure else []),
        lambda: _clock(server),
        lambda: _session(host, server),
    ]
    findings = []
    for step in steps:
        findings.append(await step())
        if has_failed(findings):
            break
    return findings


async def _timed(work: Awaitable[T], seconds: float = STEP_SECONDS) -> tuple[T, float]:
    began = time.monotonic()
    result = await asyncio.wait_for(work, seconds)
    return result, time.monotonic() - began


async def _name(host: str, port: int) -> Finding:
    name = f"{host}: DNS"
    loop = asyncio.get_running_loop()
    lookup = loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    try:
        found, seconds = await _timed(lookup)
    except (OSError, asyncio.TimeoutError) as exc:
        return failed(
            name, describe(exc), "check the name, and this machine's resolver"
        )
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
    return fine(name, ", ".join(addresses[:3]) + more, seconds)


async def _tcp(host: str, port: int) -> Finding:
    name = f"{host}: TCP"
    try:
        (_, writer), seconds = await _timed(asyncio.open_connection(host, port))
    except (OSError, asyncio.TimeoutError) as exc:
        return failed(name, f"port {port}: {describe(exc)}", NETWORK)
    writer.transport.abort()
    return fine(name, f"port {port} is open", seconds)


async def _tls(host: str, port: int) -> Finding:
    name = f"{host}: TLS"
    context = ssl.create_default_context()
    try:
        (_, writer), seconds = await _timed(
            asyncio.open_connection(host, port, ssl=context)
        )
    except ssl.SSLCertVerificationError as exc:
        return failed(
            name,
            f"the certificate is not trusted: {exc.verify_message}",
            "if a proxy looks into TLS here, add its authority to this machine's",
        )
    except (OSError, asyncio.TimeoutError) as exc:
        return failed(name, describe(exc), NETWORK)
    certificate = writer.get_extra_info("peercert") or {}
    version = writer.get_extra_info("ssl_object").version()
    writer.transport.abort()
    return judge_certificate(name, version, certificate, time.time(), seconds)


def judge_certificate(
    name: str, version: str, certificate: dict[str, Any], now: float, seconds: float
) -> Finding:
    """A certificate that is trusted: whose it is, and for how long yet."""
    fields = dict(pair for part in certificate.get("issuer", ()) for pair in part)
    issuer = fields.get("organizationName") or fields.get("commonName") or "nobody"
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = int((ends - now) // 86_400)
    found = f"{version}, issued by {issuer}, good for {days} days"
    if days < EXPIRING_DAYS:
        return doubtful(name, found, "the certificate ends soon; tell who runs it")
    return fine(name, found, seconds)


async def _clock(server: Server) -> Finding:
    try:
        date = await server.date()
    except FAILURES:
        date = None
    return machine.clock(date, datetime.now(timezone.utc))


async def _session(host: str, server: Server) -> Finding:
    name = f"{host}: session"
    began = time.monotonic()
    try:
        async with server.connect() as exchange:
            upgraded = time.monotonic() - began
            if await exchange.until("Begin", seconds=BEGIN_SECONDS):
                begun = exchange.came_at[-1]
                found = f"upgraded after {upgraded * 1000:.0f} ms, Begin after "
                found += f"{begun * 1000:.0f} ms more"
                if begun > SLOW_BEGIN_SECONDS:
                    return doubtful(name, found, "Begin usually takes 0.3 to 1.3 s")
                return fine(name, found, upgraded + begun)
    except FAILURES as exc:
        return failed(name, describe(exc), NETWORK)
    if exchange.status in (401, 403) or exchange.close_code == 1008:
        errors = [str(error.get("error")) for error in exchange.of("Error")]
        found = errors[0] if errors else f"HTTP status {exchange.status}"
        return failed(
            name,
            server.redacted(found),
            "check the key; that the account is paid for; and its sessions at once",
        )
    if exchange.status != 101:
        return failed(name, f"HTTP status {exchange.status}", NETWORK)
    return failed(
        name, f"no Begin (close {exchange.close_code})", "try again in a minute"
    )
