"""What a recorded call (`.aai`) holds. Pure: no loop, no file.

A zip of three entries: `meta.json`, a `Meta`; `audio.flac`, all of the stream as it was
sent, mono at `Meta.sample_rate`, an empty file if there was none; `events.jsonl`, an
`Entry` a line, in the order in which things happened. While a call lasts, and after a
crash, the same is in a folder, `….aai.part`, with `audio.pcm` in the place of
`audio.flac`.
"""

from __future__ import annotations

from typing import Any

import msgspec

VERSION = 1
SUFFIX = ".aai"
UNFINISHED = ".aai.part"
META = "meta.json"
AUDIO = "audio.flac"
UNFINISHED_AUDIO = "audio.pcm"
EVENTS = "events.jsonl"


class Meta(msgspec.Struct, kw_only=True):
    """What is the same for the whole call."""

    version: int = VERSION
    """Of this format. A reader takes those up to its own."""
    library: str
    """aai-stream's version."""
    stream: str
    """The stream's name in logs and in `aai-stream top`."""
    began: float
    """When the recording began, in unix seconds."""
    host: str
    """The server's."""
    sample_rate: int
    """Of the audio, in Hz: what was sent, not what was pushed."""
    encoding: str
    """In which it was sent: `pcm_s16le` or `pcm_mulaw`."""
    chunk_ms: float
    settings: dict[str, Any]
    """What the stream was asked for: `replay_seconds`, `catch_up_rate`, …. Never a key
    or a token."""


class Entry(msgspec.Struct, kw_only=True, tag_field="kind", omit_defaults=True):
    """Something that happened."""

    unix: float
    """When, in unix seconds. It never runs backwards: a steady clock counts on from
    `Meta.began`."""
    stream_ms: int
    """How much audio had been pushed by then."""


class Pushed(Entry, tag="pushed"):
    """The caller pushed audio, several times."""

    pushes: list[tuple[int, int]]
    """Sample of the stream up to which there was audio then, and µs after `unix`."""


class Sent(Entry, tag="sent"):
    """Audio was sent to a session, in several messages."""

    session: int
    """Sessions are counted from 1, in the order in which they were asked for."""
    chunks: list[tuple[int, int, int, int]]
    """Of each: the stream's sample with which it began, how many there were of the
    stream, how many of padding behind them, and µs after `unix`."""


class Opening(Entry, tag="opening"):
    """A session is asked for."""

    session: int
    query: dict[str, str]
    """Of its handshake, without a token."""


class Connected(Entry, tag="connected"):
    """A session has its websocket."""

    session: int


class Received(Entry, tag="received"):
    """The server said this to a session."""

    session: int
    message: Any = None
    """As it came, in the session's time."""
    text: str | None = None
    """In its place, if it was no JSON."""


class Said(Entry, tag="said"):
    """A session sent this to the server."""

    session: int
    message: Any


class Closed(Entry, tag="closed"):
    """A session's connection was closed or has broken (1006), not by us."""

    session: int
    code: int
    reason: str


class Decided(Entry, tag="decided"):
    """A `Report` or a `Retry` of `protocol/events.py`."""

    what: str
    """The name of its class: `Opened`, `Resumed`, `Over`, `Retry`, `Note`, …."""
    fields: dict[str, Any]
    """Its fields. Sessions have AssemblyAI's names there; an exception is an object of
    `type`, `text` and `code`."""
    session: int | None = None
    """The session that it is about, if it is about one."""


class Told(Entry, tag="told"):
    """The caller was told this message, in the stream's time."""

    message: dict[str, Any]


class Finished(Entry, tag="finished"):
    """The last entry. A call without it was cut off: its process died."""

    why: str
    """`ended`, `closed`, `failed`; or `full`, where the recording became too large
    before the call was over."""


Entries = (
    Pushed
    | Sent
    | Opening
    | Connected
    | Received
    | Said
    | Closed
    | Decided
    | Told
    | Finished
)
