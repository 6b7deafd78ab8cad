"""Where sessions are opened, and which addresses a key may be sent to."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ..errors import OptionError

DEFAULT_URL = "wss://streaming.assemblyai.com"
"""AssemblyAI's edge-routed endpoint; `.us.` and `.eu.` hosts stay in their region."""

STREAMING_PATH = "/v3/ws"

_LABEL = "[a-z0-9_-]{1,63}"
_USUAL_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def endpoint(base_url: str, path: str, *, allow_unencrypted: bool = False) -> str:
    """The `ws:` or `wss:` URL of `path` on `base_url`, which may say http, too, and may
    end with a slash or with the path of AssemblyAI's documentation, `/v3/ws`.

    Raises `OptionError` if `base_url` is no such URL or has a query, or if it would
    carry keys and speech without TLS to another machine; `allow_unencrypted` lets it.
    """
    try:
        parts = urlsplit(base_url)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        plain = not (parts.query or parts.fragment or "@" in parts.netloc)
        host = parts.hostname or ""
        if _USUAL_HOST.fullmatch(host) is None:  # or else no codec need be loaded
            host = host.encode("idna").decode()
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
    base = parts.path.rstrip("/").removesuffix(STREAMING_PATH)
    return f"{scheme}://{parts.netloc}{base}{path}"


def host_of(base_url: object) -> str:
    """The host that `base_url` names; empty if it is no URL."""
    try:
        return urlsplit(base_url).hostname or "" if isinstance(base_url, str) else ""
    except ValueError:
        return ""


def is_address(host: str) -> bool:
    """Whether `host` is an address: there is no name to be resolved."""
    return _address(host) is not None


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine talking to itself."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
