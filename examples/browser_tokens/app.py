"""A page that talks to AssemblyAI itself, with a temporary token from this server.

    pip install '.[cli,local]' fastapi uvicorn    # in a clone
    aai-stream serve &
    ASSEMBLYAI_BASE_URL=ws://127.0.0.1:8765 uvicorn examples.browser_tokens.app:app

Then open http://127.0.0.1:8000. With ASSEMBLYAI_API_KEY set, and no
ASSEMBLYAI_BASE_URL, it is AssemblyAI that hears. The key stays here.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

import aai_stream

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
WEB = HERE.parent / "web"
BASE_URL = os.environ.get("ASSEMBLYAI_BASE_URL", "wss://streaming.assemblyai.com")
MODEL = "universal-3-6-pro"

TOKEN_SECONDS = 60
"""How long a token opens sessions: the page does so at once."""

SESSION_SECONDS = 600
"""How long each of these sessions may last."""

app = FastAPI()


@app.post("/session")
async def session(
    request: Request,
    response: Response,
    sample_rate: Annotated[int, Query(ge=8000, le=48_000)],
) -> dict[str, str]:
    """Where the page may open its session, within a minute.

    Who asks, and how often, is for your own login to say: each answer lets somebody
    talk at your cost.
    """
    if request.headers.get("sec-fetch-site") != "same-origin":
        raise HTTPException(403, "This is for pages of this server.")
    try:
        token = await aai_stream.mint_token(
            base_url=BASE_URL,
            expires_in_seconds=TOKEN_SECONDS,
            max_session_duration_seconds=SESSION_SECONDS,
        )
    except aai_stream.AaiStreamError as exc:
        logger.warning("no token was minted: %s", exc)
        raise HTTPException(503, "Speech recognition is not to be had now.") from None
    response.headers["Cache-Control"] = "no-store"
    query = {"speech_model": MODEL, "sample_rate": sample_rate, "token": token}
    return {"url": f"{BASE_URL}/v3/ws?{urlencode(query)}"}


@app.get("/")
async def page() -> FileResponse:
    """The page, which may talk to this server and to AssemblyAI's."""
    policy = f"default-src 'self'; img-src data:; connect-src 'self' {BASE_URL}"
    return FileResponse(WEB / "index.html", headers={"Content-Security-Policy": policy})


app.mount("/static", StaticFiles(directory=HERE / "static"))
app.mount("/web", StaticFiles(directory=WEB))
