"""Where sessions are opened, and which addresses a key may be sent to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from .errors import OptionError

DEFAULT_URL = "wss://streaming.assemblyai.com"
"""AssemblyAI's edge-routed endpoint; `.us.` and `.eu.` hosts stay in their region."""


def endpoint(base_url: str, path: str, *, allow_unencrypted: bool = False) -> str:
    """The `ws:` or `wss:` URL of `path` on `base_url`, which may say http, too.

    Raises `OptionError` if `base_url` is no such URL or has a query, or if it would
    carry keys and speech without TLS to another machine; `allow_unencrypted` lets it.
    """
    try:
        parts = urlsplit(base_url)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        plain = not (parts.query or parts.fragment or "@" in parts.netloc)
        host = (parts.hostname or "").encode("idna").decode()
        good = plain and scheme in ("ws", "wss") and host and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        good = False
    if not good:
        raise OptionError(
            "base_url must look like wss://streaming.assemblyai.com, without a user, "
            "a query or a fragment"
        )
    if scheme == "ws" and not allow_unencrypted and not is_loopback(host):
        raise OptionError(
            f"base_url has no TLS, and {host} is another machine: use wss://, or pass "
            "allow_unencrypted=True to send it key and speech all the same"
        )
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{path}"


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine talking to itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
