"""What this machine has: Python, packages, the compiled core, TLS, its clock."""

from __future__ import annotations

import platform
import ssl
import urllib.request
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version

from .findings import Finding, doubtful, failed, fine, redacted

PACKAGES = ("aiohttp", "picows", "msgspec", "numpy", "soxr", "livekit-agents")
CLOCK_SECONDS = 30
"""This much a clock may be off: tokens and the end of sessions depend on it."""


def check_machine() -> list[Finding]:
    """All that can be seen without a network."""
    return [python(), packages(), core(), tls(), proxies(urllib.request.getproxies())]


def python() -> Finding:
    """Which Python this is, on what."""
    name = f"{platform.python_implementation()} {platform.python_version()}"
    return fine("Python", f"{name}, {platform.system()} {platform.machine()}")


def packages() -> Finding:
    """The versions of what streams are made with."""
    found = [f"{name} {number}" for name in PACKAGES if (number := _version(name))]
    ours = _version("aai-stream") or "from a source tree"
    return fine("packages", f"aai-stream {ours}; {', '.join(found)}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def core() -> Finding:
    """Whether the compiled core loads and does what it should."""
    try:
        from .._core import AudioRing

        ring = AudioRing(16_000)
        ring.write(bytes(3200), 16_000)
        chunks = [ring.next_chunk(), ring.next_chunk(), ring.next_chunk()]
        samples = [chunk.samples if chunk is not None else 0 for chunk in chunks]
    except Exception as exc:
        return failed(
            "compiled core", f"{type(exc).__name__}: {exc}", "install aai-stream again"
        )
    if samples != [800, 800, 0]:
        return failed(
            "compiled core", f"chunks of {samples} samples", "install aai-stream again"
        )
    return fine("compiled core", "loads, and cuts 100 ms into two chunks")


def tls() -> Finding:
    """The TLS library, and where it looks for authorities."""
    paths = ssl.get_default_verify_paths()
    trusted = paths.cafile or paths.capath
    if trusted is None:
        return doubtful(
            "TLS",
            f"{ssl.OPENSSL_VERSION}; no file of certificate authorities",
            "install ca-certificates, or set SSL_CERT_FILE",
        )
    return fine("TLS", f"{ssl.OPENSSL_VERSION}; authorities in {trusted}")


def proxies(found: Mapping[str, str]) -> Finding:
    """Proxies that the environment names, which no connection of ours uses."""
    schemes = ("http", "https", "ws", "wss", "all")
    named = {k: v for k, v in found.items() if k in schemes}
    if not named:
        return fine("proxies", "none in the environment")
    return doubtful(
        "proxies",
        ", ".join(f"{kind}: {redacted(url)}" for kind, url in sorted(named.items()))
        + "; not used",
        "if this machine reaches the internet only through it, set WSS_PROXY as well: "
        "aiohttp takes that for sessions, and HTTPS_PROXY for tokens alone; and pass "
        "http_session=aiohttp.ClientSession(trust_env=True)",
    )


def clock(date: str | None, now: datetime) -> Finding:
    """This machine's clock, `now`, against the `Date` of a server's answer."""
    name = "clock"
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return doubtful(name, "the server doesn't say what time it is", "")
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=timezone.utc)
    off = (now - theirs).total_seconds()
    if abs(off) <= CLOCK_SECONDS:
        return fine(name, "agrees with the server's")
    late = "ahead of" if off > 0 else "behind"
    return doubtful(
        name,
        f"{abs(off):.0f} s {late} the server's",
        "set it (timedatectl set-ntp true): tokens expire by it",
    )
