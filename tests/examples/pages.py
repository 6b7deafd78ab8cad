"""The examples' servers, and their pages in a browser that hears a recording."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from difflib import SequenceMatcher
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from tests.servers import until

ROOT = Path(__file__).parents[2]
CALL = ROOT / "examples" / "call.wav"
SENTENCES = [
    "Hello this is john miller speaking.",
    "I need to change my appointment on monday morning.",
]
SECONDS = 7.2
"""Of the call, for both."""


def is_heard(turns: list[str], sentences: list[str]) -> bool:
    """Whether these are the turns, each once and without a word too many; but for some
    that were misheard, for on a busy machine a browser's microphone misses audio."""
    return len(turns) == len(sentences) and all(
        len(turn.split()) <= len(sentence.split())
        and SequenceMatcher(a=turn.split(), b=sentence.split()).ratio() > 0.7
        for turn, sentence in zip(turns, sentences, strict=True)
    )


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """The app on loopback; gives its `http:` URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    serve = asyncio.ensure_future(server.serve())
    await until(lambda: server.started or serve.done())
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serve


def cut_call(path: Path, seconds: float) -> Path:
    """The beginning of the example call, as a file of its own."""
    with wave.open(str(CALL)) as call, wave.open(str(path), "w") as part:
        part.setparams(call.getparams())
        part.writeframes(call.readframes(round(seconds * call.getframerate())))
    return path
