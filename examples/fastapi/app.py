"""A page that shows what is said into its microphone, live, through this server.

    pip install '.[local,cli]' fastapi uvicorn websockets    # in a clone
    aai-stream serve &
    ASSEMBLYAI_BASE_URL=ws://127.0.0.1:8765 uvicorn examples.fastapi.app:app

Then open http://127.0.0.1:8000. With ASSEMBLYAI_API_KEY set, and no
ASSEMBLYAI_BASE_URL, it is AssemblyAI that hears. The key stays here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import FastAPI, WebSocket, WebSocketDisconnect, WebSocketException
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, ValidationError

import aai_stream

from .calls import TOO_MANY, Call

HERE = Path(__file__).parent
WEB = HERE.parent / "web"
MOST_CALLS = 100
"""At once, in this process: each is a session that AssemblyAI bills."""

calls: dict[UUID, Call] = {}


class Hello(BaseModel):
    """What a page says first on each of its connections."""

    call: UUID
    """A name that nobody else can guess; in no URL, since those are logged."""
    rate: Annotated[int, Field(ge=8000, le=192_000)]
    """Samples a second of its audio."""


def options() -> dict[str, Any]:
    """How to connect. The key is taken from ASSEMBLYAI_API_KEY, unless the server is
    on this machine."""
    if url := os.environ.get("ASSEMBLYAI_BASE_URL"):
        return {"base_url": url}
    return {}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """No session outlives the server."""
    aai_stream.connect(**options())  # or else the first caller learns what is missing
    yield
    if ending := [call.hang_up() for call in list(calls.values())]:
        await asyncio.wait(ending)


app = FastAPI(lifespan=lifespan)


@app.websocket("/listen")
async def listen(socket: WebSocket) -> None:
    """Audio in, words out, for pages of this server."""
    if urlsplit(socket.headers.get("origin", "")).netloc != socket.headers.get("host"):
        raise WebSocketException(1008)  # a page of somebody else's
    await socket.accept()
    with suppress(WebSocketDisconnect):
        await join(socket)


async def join(socket: WebSocket) -> None:
    """Let the page into its call, which is a new one unless it comes back."""
    try:
        hello = Hello.model_validate_json(await socket.receive_text())
    except (KeyError, ValidationError):
        await socket.close(1008)
        return
    if hello.call not in calls and len(calls) >= MOST_CALLS:
        await socket.send_json({"turns": [], "problem": TOO_MANY, "over": True})
        await socket.close()
        return
    if hello.call not in calls:
        stream = aai_stream.connect(**options())
        calls[hello.call] = Call(stream, forget=lambda: calls.pop(hello.call, None))
    await calls[hello.call].serve(socket, hello.rate)


@app.get("/")
async def page() -> FileResponse:
    """The page, which may talk to this server only."""
    policy = {"Content-Security-Policy": "default-src 'self'; img-src data:"}
    return FileResponse(WEB / "index.html", headers=policy)


app.mount("/static", StaticFiles(directory=HERE / "static"))
app.mount("/web", StaticFiles(directory=WEB))
