"""A recorded call as one HTML file, which asks nobody for anything.

All that comes from the call is in two blocks of base64, and reaches the page as text.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import re
from importlib import resources
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import MissingExtraError
from ..recorder.format import Meta
from ..recorder.reading import RecordedCall
from .peaks import peaks
from .timeline import timeline

_SCRIPTS = (
    "format.js",
    "view.js",
    "drawing.js",
    "player.js",
    "lists.js",
    "messages.js",
    "app.js",
)
"""Parts of one script, in this order."""


def page(call: RecordedCall) -> str:
    """The page. Raises `InputError` if what the call holds makes no sense,
    `MissingExtraError` without soundfile."""
    shown = timeline(call.meta, call.entries)
    data = {
        "file": call.path.name,
        "settings": _settings(call.meta),
        "call": shown,
        "latencies": shown.latencies.named(),
        "waveform": peaks(call.audio, call.meta.sample_rate),
    }
    style = _static("style.css")
    script = "".join(map(_static, _SCRIPTS))
    parts = {
        "policy": _policy(style, script),
        "title": html.escape(call.path.name),
        "style": style,
        "script": script,
        # The time of day has no place in it: the same call makes the same page.
        "data": _base64(gzip.compress(msgspec.json.encode(data), mtime=0)),
        "audio": _base64(_flac(call.audio, call.meta.sample_rate)),
    }
    return re.sub(r"<!--(\w+)-->", lambda found: parts[found[1]], _static("page.html"))


def _settings(meta: Meta) -> dict[str, Any]:
    """What the stream was asked for, and what else there is to know of its audio."""
    return {
        "aai-stream": meta.library,
        "sample_rate": meta.sample_rate,
        "encoding": meta.encoding,
        "chunk_ms": meta.chunk_ms,
        **meta.settings,
    }


def _policy(style: str, script: str) -> str:
    """What the page may do: run its own script, wear its own style, play its audio."""
    hashes = (
        _base64(hashlib.sha256(text.encode()).digest()) for text in (style, script)
    )
    style_hash, script_hash = hashes
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash}'; "
        f"style-src 'sha256-{style_hash}'; media-src blob:; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _static(name: str) -> str:
    return (resources.files(__package__) / "static" / name).read_text("utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _flac(audio: npt.NDArray[np.int16], rate: int) -> bytes:
    """The audio for a player; empty if there is none, which FLAC can't be."""
    if not len(audio):
        return b""
    try:
        import soundfile
    except ImportError:
        raise MissingExtraError(
            "the page's audio needs soundfile: pip install soundfile"
        ) from None
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
