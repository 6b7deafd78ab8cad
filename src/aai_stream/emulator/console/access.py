"""Who may see the console: pages of this very server, and nobody else's.

Another site must not reach it through its visitor's browser. So the name by which the
server is asked (Host) must be one of loopback's, which a site that rebinds its own name
doesn't have, and what opens the websocket (Origin) must be the same. A server that
others can reach has a token, which its terminal shows; whoever gives it gets a cookie.
"""

from __future__ import annotations

import re
import secrets

from aiohttp import web

from ...connection.addresses import is_loopback

COOKIE = "aai-stream-console"
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")


class Access:
    """Checks requests. There is a `token` if the server `is_remote`."""

    def __init__(self, *, is_remote: bool) -> None:
        self.token = secrets.token_urlsafe(16) if is_remote else None

    def check_site(self, request: web.Request) -> None:
        """Raises `web.HTTPForbidden` for what another site's page asks for."""
        host = _HOST.fullmatch(request.headers.get("Host", ""))
        if host is None or not (self.token or is_loopback(host[1].strip("[]"))):
            raise web.HTTPForbidden(text="this is no name of the console's server")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{host[0]}":
            raise web.HTTPForbidden(text="another site has no access to the console")

    def is_open(self, request: web.Request) -> bool:
        """Whether who asks has given the token, if there is one."""
        return self.token is None or self.takes(request.cookies.get(COOKIE, ""))

    def takes(self, token: str) -> bool:
        """Whether this is the token."""
        known = (self.token or "").encode()
        return secrets.compare_digest(token.encode(errors="replace"), known)

    def remember(self, response: web.StreamResponse, *, secure: bool) -> None:
        """Let the browser give the token from now on, to this server's pages only."""
        assert self.token is not None
        response.set_cookie(
            COOKIE, self.token, httponly=True, samesite="Strict", secure=secure
        )


def headers(request: web.Request) -> dict[str, str]:
    """What every answer says: nothing but this server's own files, nothing leaves.

    `request` has passed `Access.check_site`.
    """
    scheme = "wss" if request.scheme == "https" else "ws"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' {scheme}://{request.host}; worker-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
