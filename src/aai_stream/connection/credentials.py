"""Who is calling: an API key, or tokens that were minted with one.

Secrets live in `Credentials` alone, whose repr hides them; nothing else keeps one.
"""

from __future__ import annotations

import inspect
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from ..errors import (
    AaiStreamError,
    DroppedError,
    OptionError,
    SessionError,
    UnreachableError,
)
from ..version import __version__
from .addresses import DEFAULT_URL, endpoint, host_of, is_loopback
from .failures import http_failure

if TYPE_CHECKING:
    import aiohttp

TokenSource = str | Callable[[], str | Awaitable[str]]
"""A token, or a callable or coroutine function that gives a new one each time."""

KEY_VARIABLE = "ASSEMBLYAI_API_KEY"
"""The environment variable that holds the key where none is passed."""

PLACEHOLDER = "no-key"
"""Sent where none is needed: the embedded server wants the header, not its content."""

API_VERSION = "2025-05-12"
"""The version of the protocol that this client speaks, as its headers say."""

LONG_SECRET = 16
"""Shorter ones are for servers of one's own; parts of words may be like them."""

_QUERY = re.compile(r"\?[^\s\"'<>]*=[^\s\"'<>]*")
_USER = re.compile(r"//[^/\s\"'<>@]*@")


class Credentials:
    """An API key or a source of tokens.

    With neither, the key is taken from the environment variable ASSEMBLYAI_API_KEY. A
    server on this machine, as the embedded one, needs none: if `host` is loopback, a
    placeholder is sent where there is no key. A token is good for a while, or for one
    connect, so a stream that is to outlive a session needs a callable.

    Raises `OptionError` if both are given, or none is found.
    """

    def __init__(
        self,
        api_key: str | None = None,
        token: TokenSource | None = None,
        *,
        host: str = "",
    ) -> None:
        if api_key and token:
            raise OptionError("give api_key or token, not both")
        self._token = token
        self._key = api_key or (None if token else os.environ.get(KEY_VARIABLE))
        if not self._key and not token:
            if not is_loopback(host):
                raise OptionError(
                    f"an API key is needed: pass api_key, or set {KEY_VARIABLE}"
                )
            self._key = PLACEHOLDER
        if self._key:
            self._key = _checked(self._key)
        known = [token] if isinstance(token, str) else []
        self._tokens = deque[str](known, maxlen=16)  # the latest, to be redacted

    @property
    def account(self) -> str:
        """A name for whose they are, in all processes, that tells no secret."""
        if self._key:
            return blake2b(self._key.encode(), digest_size=16).hexdigest()
        return "token"

    @property
    def has_token_source(self) -> bool:
        """Whether another token can be had."""
        return callable(self._token)

    def __repr__(self) -> str:
        return f"<Credentials: {'API key' if self._key else 'token'}>"

    async def for_connect(self) -> tuple[dict[str, str], dict[str, str]]:
        """The headers and the query parameters that one connect needs.

        Raises `UnreachableError` if the caller's source of tokens fails, unless it
        raises an error of ours; `OptionError` if what it gives is no token.
        """
        headers = {
            "AssemblyAI-Version": API_VERSION,
            "User-Agent": f"aai-stream/{__version__}",
        }
        if self._token is None:
            headers["Authorization"] = self._key or ""
            return headers, {}
        token = _checked(await self._next_token(self._token))
        if token not in self._tokens:
            self._tokens.append(token)
        return headers, {"token": token}

    async def _next_token(self, source: TokenSource) -> Any:
        if isinstance(source, str):
            return source
        try:
            token = source()
            return await token if inspect.isawaitable(token) else token
        except AaiStreamError:
            raise
        except Exception as exc:
            kind = type(exc).__name__
        # Outside of the except block: whoever mints tokens has a key to lose.
        raise UnreachableError(f"no token could be had: the source raised {kind}")

    def redact(self, text: str) -> str:
        """`text` without key, token, or a URL's user and query, should a server have
        echoed them."""
        for secret in (self._key, *self._tokens):
            for form in (secret, quote(secret, "")) if secret else ():
                if len(form) >= LONG_SECRET:
                    text = text.replace(form, "***")
                elif form in text:
                    text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", "***", text)
        return _QUERY.sub("", _USER.sub("//***@", text))


async def mint_token(
    *,
    api_key: str | None = None,
    expires_in_seconds: int = 60,
    max_session_duration_seconds: int | None = None,
    base_url: str = DEFAULT_URL,
    allow_unencrypted: bool = False,
    http_session: aiohttp.ClientSession | None = None,
    timeout: float = 10.0,
) -> str:
    """A temporary token from `GET /v3/token`, to hand to a client without a key.

    Args:
        api_key: or the environment variable ASSEMBLYAI_API_KEY; not needed on loopback.
        expires_in_seconds: from 1 to 600; how long the token can open a session.
        max_session_duration_seconds: from 60 to 10800; how long that session may last.
        base_url: the streaming endpoint; the token is good there only.
        allow_unencrypted: let `base_url` be without TLS, on any host.
        http_session: to use instead of one opened for this call.
        timeout: seconds.

    Raises:
        OptionError: an argument is out of its range, or there is no key.
        SessionError: by type as for a connect: refused, unreachable, timed out, ….
    """
    # Not with the rest: aiohttp takes longer to import than all of this package.
    import aiohttp

    from .wire.aiohttp import describe_failure, usable

    credentials = Credentials(api_key, host=host_of(base_url))
    query = {"expires_in_seconds": _seconds(expires_in_seconds, "expires_in", 1, 600)}
    if max_session_duration_seconds is not None:
        query["max_session_duration_seconds"] = _seconds(
            max_session_duration_seconds, "max_session_duration", 60, 10_800
        )
    headers, _ = await credentials.for_connect()
    url = endpoint(base_url, "/v3/token", allow_unencrypted=allow_unencrypted)
    url = url.replace("ws", "http", 1)
    session = aiohttp.ClientSession() if http_session is None else usable(http_session)
    caught: Exception | None = None
    try:
        async with session.get(
            url,
            params=query,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            if response.status == 200:
                return msgspec.json.decode(await response.read(), type=_Minted).token
            failure: SessionError = http_failure(response.status, response.headers)
    except msgspec.DecodeError:
        failure = DroppedError("the server's answer was no token")
    except Exception as exc:
        caught = exc
    finally:
        if http_session is None:
            await session.close()
    # Outside of the except block: the original may hold the key in its headers.
    raise failure if caught is None else describe_failure(caught)


def _checked(secret: str) -> str:
    """A key or token that can go into a header; files often end with a newline."""
    if not isinstance(secret, str):
        raise OptionError(f"a key or token is a str, not {type(secret).__name__}")
    secret = secret.strip()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise OptionError("the key or token is empty or has characters of no key")
    return secret


class _Minted(msgspec.Struct):
    token: str


def _seconds(value: int, name: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise OptionError(f"{name}_seconds must be from {low} to {high}, not {value!r}")
    return value
