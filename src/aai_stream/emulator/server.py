"""The embedded v3 server: AssemblyAI's streaming protocol on loopback, offline.

    async with Emulator(engine) as emulator:
        ...  # connect to emulator.url with any key

Routes: `/v3/ws`, the websocket, and `/v3/token`, which mints single-use tokens. A key
or token that isn't taken is refused with HTTP 401 on the upgrade. Bad parameters
(3006), an engine without room (3009) or without health (3005) are told on the accepted
websocket: an Error message, then a close with the same code.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
import ssl
from collections.abc import Collection, Iterable
from typing import NamedTuple

from aiohttp import web

from ..errors import EngineError, OptionError
from . import replies
from .clock import Clock, LoopClock
from .conversation import CLOSE_SECONDS, Conversation
from .engine import Engine
from .faults import Fault
from .line import Line
from .listener import Listener
from .sabotage import Faults
from .settings import read_query

logger = logging.getLogger(__name__)

MAX_SESSION_SECONDS = 10_800
_MAX_MESSAGE_BYTES = 128 * 1024
_API_VERSION = "2025-05-12"
_TOKEN_PREFIX = "emulated-token-"


class Emulator:
    """An AssemblyAI streaming server in this process, with `engine` as its ears.

    An async context manager, to be entered once: it starts the engine and listens,
    and closes every session (1001), the socket and the engine when it is left.

    `api_keys` are the keys that it takes; None takes any that isn't empty. Sessions
    last `max_session_seconds`, or less if their token says so. `clock` is there for
    tests. `faults` go wrong on purpose; the attribute of that name takes more of them
    at any time, and says which have happened. With `tls` it speaks TLS only. Without,
    only loopback is bound unless `allow_remote`, as there is no encryption.

    Raises `OptionError` for a host that isn't loopback.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_keys: Collection[str] | None = None,
        max_session_seconds: float = MAX_SESSION_SECONDS,
        allow_remote: bool = False,
        tls: ssl.SSLContext | None = None,
        faults: Iterable[Fault] = (),
        clock: Clock | None = None,
    ) -> None:
        if not allow_remote and tls is None and not is_loopback(host):
            raise OptionError(
                f"host {host!r} is not a loopback address, and the embedded server "
                "has no encryption; pass allow_remote to serve it all the same"
            )
        self._engine = engine
        self._api_keys = None if api_keys is None else frozenset(api_keys)
        self._max_session_seconds = max_session_seconds
        self._clock = clock or LoopClock()
        self._tokens = _Tokens(self._clock)
        self._conversations: set[Conversation] = set()
        self._sessions_opened = 0
        self._scheme = "ws" if tls is None else "wss"
        self._stopping = False
        app = web.Application()
        app.router.add_get("/v3/ws", self._websocket)
        app.router.add_get("/v3/token", self._token)
        # No access log: queries hold tokens.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=3 * CLOSE_SECONDS
        )
        self._listener = Listener(self._runner, host, port, tls, self._clock)
        self.faults = Faults(faults, self._clock, self._listener.shut)

    @property
    def url(self) -> str:
        """`ws://HOST:PORT`, or `wss:`, once it listens; the base of clients' URLs."""
        host, port = self._listener.host, self._listener.port
        host = f"[{host}]" if ":" in host else host
        return f"{self._scheme}://{host}:{port}"

    @property
    def sessions(self) -> int:
        """How many sessions are open."""
        return len(self._conversations)

    @property
    def sessions_opened(self) -> int:
        """How many sessions there have been, those that are open included."""
        return self._sessions_opened

    async def __aenter__(self) -> Emulator:
        await self._engine.start()
        try:
            await self._runner.setup()
            await self._listener.open()
        except BaseException:
            await self._runner.cleanup()
            await self._engine.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stopping = True
        for conversation in self._conversations:
            conversation.go_away()
        self.faults.release()
        await self._listener.aclose()
        await self._runner.cleanup()
        await self._engine.aclose()

    async def _token(self, request: web.Request) -> web.Response:
        if not self._is_key(request.headers.get("Authorization", "")):
            return _refusal(401, "Invalid API key")
        try:
            seconds = _whole(request, "expires_in_seconds", 1, 600)
            cap = MAX_SESSION_SECONDS
            if "max_session_duration_seconds" in request.query:
                cap = _whole(
                    request, "max_session_duration_seconds", 60, MAX_SESSION_SECONDS
                )
        except OptionError as why:
            return _refusal(400, str(why))
        token = self._tokens.mint(seconds, cap)
        return web.json_response({"token": token, "expires_in_seconds": seconds})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS, max_msg_size=_MAX_MESSAGE_BYTES, compress=False
        )
        async with self.faults.attend(request, socket) as line:
            max_seconds = self._admit(request)
            if max_seconds is None:
                return _refusal(401, "Invalid API key or token")
            await socket.prepare(request)
            refusal = await self._converse(request, line, max_seconds)
            if refusal is not None:
                await line.tell(refusal)
                await line.close(refusal["error_code"], replies.CLOSE_REASON)
            return socket

    async def _converse(
        self, request: web.Request, line: Line, max_seconds: float
    ) -> replies.Message | None:
        """Hold one session; or don't, and return the Error message that says why."""
        if self._stopping:
            return replies.cancelled()
        try:
            settings, complaints = read_query(request.query.items())
        except OptionError as why:
            return replies.bad_input(str(why))
        if len(self._conversations) >= self._engine.capacity:
            return replies.too_many()
        try:
            conversation = Conversation(
                line,
                self._engine,
                settings,
                self._clock,
                max_seconds=max_seconds,
                api_version=request.headers.get("AssemblyAI-Version", _API_VERSION),
            )
        except EngineError:
            logger.exception("the engine could not open a recogniser")
            return replies.cancelled()
        self._conversations.add(conversation)
        self._sessions_opened += 1
        try:
            await conversation.run(complaints)
        finally:
            self._conversations.discard(conversation)
        return None

    def _admit(self, request: web.Request) -> float | None:
        """How long the client's session may last; None if it may not have one."""
        given = request.query.get("token")
        key = request.headers.get("Authorization", "")
        if given is None and key.startswith(_TOKEN_PREFIX):
            given = key  # as the SDK sends it
        if given is not None:
            cap = self._tokens.redeem(given)
            return None if cap is None else min(cap, self._max_session_seconds)
        return self._max_session_seconds if self._is_key(key) else None

    def _is_key(self, key: str) -> bool:
        if self._api_keys is not None:
            return key in self._api_keys
        # A common mistake that the real server doesn't forgive either.
        is_bearer = key.startswith("Bearer ")
        return bool(key) and not is_bearer and not key.startswith(_TOKEN_PREFIX)


class _Ticket(NamedTuple):
    expires: float
    max_session_seconds: int


class _Tokens:
    """Tokens that are out: each opens one session, and only in time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tickets: dict[str, _Ticket] = {}

    def mint(self, seconds: int, max_session_seconds: int) -> str:
        now = self._clock.monotonic()
        self._tickets = {k: t for k, t in self._tickets.items() if t.expires > now}
        token = _TOKEN_PREFIX + secrets.token_urlsafe(24)
        self._tickets[token] = _Ticket(now + seconds, max_session_seconds)
        return token

    def redeem(self, token: str) -> int | None:
        """The longest session that `token` allows, in seconds, if it is any good."""
        ticket = self._tickets.pop(token, None)
        if ticket is None or ticket.expires <= self._clock.monotonic():
            return None
        return ticket.max_session_seconds


def _whole(request: web.Request, name: str, low: int, high: int) -> int:
    text = request.query.get(name, "")
    if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
        raise OptionError(f"{name} must be a whole number from {low} to {high}")
    return int(text)


def _refusal(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine talking to itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
