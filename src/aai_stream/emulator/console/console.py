"""The console's routes: its files, and a websocket that tells pages what happens.

A page says what to do in JSON with `do`: `start` an outage, `stop` them all, `read` the
messages of a session, or `token` for a session of its own. It is told one message every
`TICK_SECONDS` at most, whatever number of sessions there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from ...errors import OptionError
from ..clock import Clock
from ..faults.running import Applied, Faults
from .access import Access, headers
from .calls import Calls
from .outages import PRESETS, Outages
from .page import Page

TICK_SECONDS = 0.05
_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
_MAX_COMMAND_BYTES = 16 * 1024
_CLOSE_SECONDS = 1.0
"""How long a page may take to answer a close."""


class _Command(msgspec.Struct):
    do: str
    text: str = ""
    scope: str = ""
    session: int | None = None
    seconds: float | None = None


class Console:
    """Shows what happens on a server, and lets its `faults` happen.

    `mint` makes tokens for sessions. With `is_remote`, it asks visitors for `token`.
    """

    def __init__(
        self, clock: Clock, faults: Faults, mint: Callable[[], str], *, is_remote: bool
    ) -> None:
        self.calls = Calls(clock)
        self._outages = Outages(faults, self.calls.changed)
        self._access = Access(is_remote=is_remote)
        self._mint = mint
        self._pages: set[web.WebSocketResponse] = set()
        self._files = {
            file.name: file.read_bytes()
            for file in files(__package__).joinpath("static").iterdir()
        }
        faults.listener = self._struck

    @property
    def token(self) -> str | None:
        """What it asks visitors for; None if it asks for nothing."""
        return self._access.token

    def add_routes(self, app: web.Application) -> None:
        """Serve it from `app`."""
        app.router.add_get("/", self._guarded(self._index))
        app.router.add_post("/console/login", self._guarded(self._login))
        app.router.add_get("/console/live", self._guarded(self._live))
        app.router.add_get("/console/{name}", self._guarded(self._file))

    async def aclose(self) -> None:
        """Hang up on all pages."""
        closing = [page.close(code=1001) for page in self._pages]
        await asyncio.gather(*closing, return_exceptions=True)

    def _struck(self, applied: Applied) -> None:
        self.calls.struck(applied)
        self._outages.happened()

    # Files

    def _guarded(
        self, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            self._access.check_site(request)
            return await handle(request)

        return guarded

    async def _index(self, request: web.Request) -> web.StreamResponse:
        is_open = self._access.is_open(request)
        return self._answer(request, "index.html" if is_open else "login.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.Response:
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(
            body=self._files[name],
            content_type=_TYPES[name.rpartition(".")[2]],
            charset="utf-8",
            headers=headers(request),
        )

    async def _login(self, request: web.Request) -> web.StreamResponse:
        given = (await request.post()).get("token", "")
        response = web.Response(status=303, headers={"Location": "/"})
        if isinstance(given, str) and self._access.token and self._access.takes(given):
            self._access.remember(response, secure=request.scheme == "https")
        return response

    # Pages

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if "Origin" not in request.headers or not self._access.is_open(request):
            raise web.HTTPForbidden(text="only a page of the console may ask for this")
        socket = web.WebSocketResponse(
            timeout=_CLOSE_SECONDS,
            max_msg_size=_MAX_COMMAND_BYTES,
            compress=False,
            heartbeat=30,
        )
        await socket.prepare(request)
        page = Page(self.calls, self._outages)
        news = asyncio.Event()
        news.set()
        self.calls.listen(news)
        self._pages.add(socket)
        tasks = (
            asyncio.create_task(self._read(socket, page, news)),
            asyncio.create_task(self._tell(socket, page, news)),
        )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pages.discard(socket)
            self.calls.forget(news)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for failure in results:
            # A page that has gone is no failure.
            if isinstance(failure, Exception) and not isinstance(failure, OSError):
                raise failure
        return socket

    async def _read(
        self, socket: web.WebSocketResponse, page: Page, news: asyncio.Event
    ) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                answer = self._obey(message.data, page)
                news.set()
                if answer:
                    await socket.send_bytes(msgspec.json.encode(answer))

    async def _tell(
        self, socket: web.WebSocketResponse, page: Page, news: asyncio.Event
    ) -> None:
        hello = {"presets": [preset._asdict() for preset in PRESETS]}
        await socket.send_bytes(msgspec.json.encode(hello))
        while True:
            await news.wait()
            news.clear()
            if told := page.update():
                # Returns when the page has room for more.
                await socket.send_bytes(msgspec.json.encode(told))
            await asyncio.sleep(TICK_SECONDS)

    def _obey(self, text: str, page: Page) -> dict[str, Any] | None:
        """Do what a page says; what to answer."""
        try:
            command = msgspec.json.decode(text, type=_Command)
            if command.do == "start":
                self._outages.start(
                    command.text,
                    command.scope,
                    number=command.session,
                    seconds=command.seconds,
                )
                return {"done": "start"}
            if command.do == "stop":
                self._outages.stop()
                return {"done": "stop"}
            if command.do == "read":
                page.read(command.session)
                return None
            if command.do == "token":
                return {"token": self._mint()}
        except (OptionError, msgspec.DecodeError, RecursionError) as why:
            return {"failed": str(why)}
        return {"failed": f"there is no command {command.do[:60]!r}"}
