"""The embedded v3 server: AssemblyAI's streaming protocol on loopback, offline.

    async with Emulator(engine) as emulator:
        ...  # connect to emulator.url with any key

Routes: `/v3/ws`, the websocket; `/v3/token`, which mints tokens; `/health`. The server
accepts every websocket. If it then refuses a key, a parameter or one session too many,
it sends an Error and closes with the same code. `service.py` has the rest of its
behaviour.
"""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Collection, Iterable
from contextlib import AsyncExitStack, suppress

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ...connection.addresses import is_loopback
from ...errors import EngineError, OptionError
from .. import replies
from ..clock import Clock, LoopClock, pause
from ..console import Console
from ..engines.engine import Engine, Handshake, Part, Rehearsal
from ..faults.kinds import Fault
from ..faults.moments import CONNECT
from ..faults.running import Faults
from ..watching import Watcher
from .access import Doorkeeper, NoAccess, Places
from .conversation import CLOSE_SECONDS, Conversation
from .line import Line
from .listener import Listener
from .service import Service
from .settings import read_query

logger = logging.getLogger(__name__)


class _NoContent(logging.Filter):
    """Keeps what a client sent out of aiohttp's log: it may hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        exc = record.exc_info[1] if record.exc_info else None
        if isinstance(exc, HttpProcessingError):
            record.msg, record.args = "a request could not be read", ()
            record.exc_info = record.exc_text = None
        return True


_http_logger = logging.getLogger("aai_stream.emulator.http")
_http_logger.addFilter(_NoContent())

_LONGEST_SESSION_SECONDS = 10_800
_MAX_MESSAGE_BYTES = 128 * 1024
_LONGEST_URL = 128 * 1024
"""Prompts and key terms are in it, percent-encoded."""
_API_VERSION = "2025-05-12"


class Emulator:
    """An AssemblyAI streaming server in this process; `engine` does the hearing.

    An async context manager, to be entered once. Entering it starts the engine and
    listens; leaving it closes every session (1001), the port and the engine.

    `api_keys` are the keys that it accepts; None accepts any that isn't empty.
    `service` says how it behaves. `faults` go wrong on purpose; the attribute of that
    name takes more of them at any time, and says which have happened. With `tls` it
    speaks TLS only. Without, there is no encryption, so it binds to loopback only
    unless `allow_remote`. With `console` it serves a page at `console_url` that shows
    every session, and lets faults happen by a click. `clock` is there for tests.

    Raises `OptionError` for a host that isn't loopback.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_keys: Collection[str] | None = None,
        service: Service | None = None,
        allow_remote: bool = False,
        tls: ssl.SSLContext | None = None,
        faults: Iterable[Fault] = (),
        console: bool = False,
        clock: Clock | None = None,
    ) -> None:
        if not allow_remote and tls is None and not is_loopback(host):
            raise OptionError(
                f"host {host!r} is not a loopback address, and the embedded server "
                "has no encryption; pass allow_remote to serve it all the same"
            )
        self._engine = engine
        self._service = service or Service()
        self._clock = clock or LoopClock()
        self._dice = random.Random(0)
        self._door = Doorkeeper(
            self._clock, api_keys, reusable=self._service.reusable_tokens
        )
        most = self._service.max_sessions
        self._places = Places(
            self._clock, engine.capacity if most is None else min(most, engine.capacity)
        )
        self._conversations: set[Conversation] = set()
        self._sessions_opened = 0
        self._scheme = "ws" if tls is None else "wss"
        self._stopping = False
        app = web.Application()
        app.router.add_get("/v3/ws", self._websocket)
        app.router.add_get("/v3/token", self._token)
        app.router.add_get("/health", self._health)
        # No access log: queries hold tokens.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=3 * CLOSE_SECONDS,
            logger=_http_logger,
            max_line_size=_LONGEST_URL,
            max_field_size=_LONGEST_URL,
        )
        self._listener = Listener(self._runner, host, port, tls, self._clock)
        self.faults = Faults(faults, self._clock, self._listener.shut)
        self._console: Console | None = None
        if console:
            is_remote = allow_remote or not is_loopback(host)
            self._console = Console(
                self._clock, self.faults, self._mint_for_page, is_remote=is_remote
            )
            self._console.add_routes(app)
        self._watcher: Watcher | None = self._console.calls if self._console else None

    @property
    def url(self) -> str:
        """`ws://HOST:PORT`, or `wss:`, once it listens; the base of clients' URLs."""
        host, port = self._listener.host, self._listener.port
        host = f"[{host}]" if ":" in host else host
        return f"{self._scheme}://{host}:{port}"

    @property
    def console_url(self) -> str | None:
        """The address of the console, once the server listens; None without one."""
        return self.url.replace("ws", "http", 1) + "/" if self._console else None

    @property
    def console_token(self) -> str | None:
        """What the console asks visitors for; None if it asks for nothing."""
        return self._console.token if self._console else None

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
        if self._console is not None:
            await self._console.aclose()
        self.faults.release()
        await self._listener.aclose()
        await self._runner.cleanup()
        await self._engine.aclose()

    async def _token(self, request: web.Request) -> web.Response:
        if not self._door.is_key(request.headers.get("Authorization", "")):
            return _refusal(401, "Invalid API key")
        try:
            seconds = _whole(request, "expires_in_seconds", 1, 600)
            cap = _LONGEST_SESSION_SECONDS
            if "max_session_duration_seconds" in request.query:
                cap = _whole(request, "max_session_duration_seconds", 60, cap)
        except OptionError as why:
            return _refusal(422, str(why))
        token = self._door.mint(seconds, cap)
        return web.json_response({"token": token, "expires_in_seconds": seconds})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS, max_msg_size=_MAX_MESSAGE_BYTES, compress=False
        )
        service = self._service
        part = self._meet()
        recorded = _handshake_faults(part.handshake)
        async with AsyncExitStack() as over:
            over.callback(part.leave)
            faults = await over.enter_async_context(
                self.faults.attend(request, socket, recorded)
            )
            line = Line(socket, faults)
            refusal: replies.Message | None = None
            max_seconds = service.max_session_seconds
            try:
                capped = self._door.admit(request.headers, request.query)
                max_seconds = min(max_seconds, capped)
            except NoAccess as why:
                if not service.refuses_in_band:
                    logger.info("a connection was refused: %s", why)
                    return _refusal(401, str(why))
                refusal = replies.unauthorized(str(why))
            await socket.prepare(request)
            if refusal is None:
                refusal = await self._converse(request, line, part, max_seconds)
            if refusal is not None:
                await self._refuse(line, refusal)
            return socket

    def _meet(self) -> Part:
        """What the engine does on a connection that is asked for."""
        if isinstance(self._engine, Rehearsal):
            return self._engine.meet()
        return Part(open=self._engine.open)

    async def _refuse(self, line: Line, error: replies.Message) -> None:
        logger.info("a session was refused: %s", error["error"])
        service = self._service
        with suppress(ConnectionError):  # the client has gone
            await pause(self._clock, service.error_seconds)
            await line.tell(error)
            await pause(self._clock, service.refusal_seconds - service.error_seconds)
            await line.close(error["error_code"], replies.CLOSE_REASON)

    async def _converse(
        self, request: web.Request, line: Line, part: Part, max_seconds: float
    ) -> replies.Message | None:
        """Hold one session, or return the Error message that refuses it."""
        if self._stopping:
            return replies.cancelled()
        try:
            settings, ignored = read_query(request.query.items(), self._service)
        except OptionError as why:
            return replies.bad_input(str(why))
        if not self._places.take():
            return replies.too_many(self._service.busy_code)
        was_cut = False
        try:
            conversation = Conversation(
                line,
                part,
                settings,
                self._clock,
                self._dice,
                max_seconds=max_seconds,
                api_version=_api_version(request),
            )
            if self._watcher is not None:
                line.watch = self._watcher.connection(line.faults.number)
            self._conversations.add(conversation)
            self._sessions_opened += 1
            try:
                await conversation.run(ignored)
            finally:
                self._conversations.discard(conversation)
                was_cut = conversation.was_cut
                if line.watch is not None:
                    code, terminated = conversation.close_code, conversation.terminated
                    line.watch.over(code, terminated=terminated)
        except EngineError:
            logger.exception("the engine could not open a recogniser")
            return replies.cancelled()
        finally:
            service = self._service
            self._places.leave(
                service.lost_place_seconds if was_cut else service.place_seconds
            )
        return None

    def _mint_for_page(self) -> str:
        return self._door.mint(60, _LONGEST_SESSION_SECONDS)

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "status": "ok",
                "sessions": self.sessions,
                "max_sessions": self._places.most,
                "sessions_opened": self.sessions_opened,
            }
        )


def _handshake_faults(answer: Handshake) -> list[Fault]:
    if answer == "accept":
        return []
    if isinstance(answer, int):
        return [Fault("status", CONNECT, code=answer)]
    return [Fault(answer, CONNECT)]


def _api_version(request: web.Request) -> str:
    given = request.headers.get("AssemblyAI-Version", _API_VERSION)
    return given.encode(errors="replace").decode()  # a header may hold any bytes


def _whole(request: web.Request, name: str, low: int, high: int) -> int:
    text = request.query.get(name, "")
    is_number = text.isascii() and text.isdecimal() and len(text) < 10
    if not (is_number and low <= int(text) <= high):
        raise OptionError(f"{name} must be a whole number from {low} to {high}")
    return int(text)


def _refusal(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
