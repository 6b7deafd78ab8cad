"""A stream's part in its recording: one recorder for each, on its event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from .._core import Tap
from ..messages import AudioLost, Event, SilenceSkipped
from ..protocol.events import Over, Report, Retry
from ..version import __version__
from .entries import Scribe
from .format import (
    Closed,
    Connected,
    Decided,
    Entries,
    Finished,
    Meta,
    Opening,
    Received,
    Said,
    Told,
)
from .recording import RecordSettings
from .thread import writing_thread
from .writing import ENDED_EARLY, CallWriter

if TYPE_CHECKING:
    from .._core import AudioRing
    from ..protocol.session import Session
    from ..protocol.settings import Settings

logger = logging.getLogger("aai_stream")

_SECRET = re.compile(
    r"(^|_)(key|token|secret|password|authorization|auth_header_value)(_|$)"
    "|^llm_gateway$"  # which has a key in it
)
"""Parameters whose values are in no file."""


class Recorder:
    """Notes what becomes of a stream, for the thread that writes it.

    Nothing here raises for what goes wrong with a recording: it ends, with a warning.

    Args:
        recording: where to.
        name: of the stream in logs.
        ring, settings, host: the stream's.
        redact: takes keys and tokens out of a text.
        fields: a log record's `extra`.
        unix_now: the time of day, in unix seconds.
        clock: a steady one, in seconds.

    Attributes:
        file: which the call is to become.
    """

    def __init__(
        self,
        recording: RecordSettings,
        name: str,
        *,
        ring: AudioRing,
        settings: Settings,
        host: str,
        redact: Callable[[str], str],
        fields: Mapping[str, Any],
        unix_now: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file = recording.file(unix_now, name)
        self._fields = fields
        meta = Meta(
            library=__version__,
            stream=name,
            began=unix_now,
            host=host,
            sample_rate=ring.sample_rate,
            encoding=ring.encoding,
            chunk_ms=ring.chunk_ms,
            settings=_as_json({**asdict(settings), **recording.asked}),
        )
        scribe = Scribe(meta, clock(), redact)
        self._tap = ring.tap = Tap(clock, writing_thread().backlog)
        self._call = CallWriter(
            *(recording, self.file, self._tap), meta=meta, scribe=scribe, fields=fields
        )
        self._living: list[Session] = []
        self._numbers: dict[str, int] = {}  # of those that are over, by AssemblyAI's id
        self._count = 0

    # ---- life ----

    def begin(self) -> None:
        """The stream begins, in the present thread. What was pushed before counts."""
        text = "this stream is recorded, with all that is said: %s"
        logger.info(text, self.file, extra=self._fields)
        try:
            writing_thread().add(self._call)
        except RuntimeError as exc:  # the interpreter is ending
            self._give_up(exc)

    def end(self, why: str) -> None:
        """The stream is over; `why` is a `Finished`'s."""
        self._tap.note((Finished, {"why": why}))
        self._stop()

    async def written(self) -> None:
        """Wait until the file is there, or won't be; at once if it was never begun."""
        done = writing_thread().done(self._call)
        if done is not None:
            await asyncio.wrap_future(done)

    def _give_up(self, why: object) -> None:
        logger.warning(ENDED_EARLY, why, extra=self._fields)
        self._stop()

    def _stop(self) -> None:
        self._tap.close()
        writing_thread().write_soon(self._call)

    # ---- what happens ----

    def opening(self, session: Session) -> None:
        """That session is asked for."""
        self._count += 1
        session.timeline.session = self._count
        session.timeline.tap = self._tap
        self._living.append(session)
        query = session.options.query()
        for name in query:
            if _SECRET.search(name):
                query[name] = "***"
        self._note(Opening, session, query=query)

    def connected(self, session: Session) -> None:
        """It has its websocket."""
        self._note(Connected, session)

    def received(self, session: Session, text: bytes) -> None:
        """The server said this."""
        self._note(Received, session, len(text), message=text)

    def said(self, session: Session, text: bytes) -> None:
        """The server is told this."""
        self._note(Said, session, message=text)

    def closed(self, session: Session, code: int, reason: str) -> None:
        """Its connection is closed, not by us."""
        self._note(Closed, session, code=code, reason=reason)

    def take(self, told: Event | Retry | Report) -> None:
        """The stream tells this."""
        if not self._tap.is_open:
            self._living.clear()
            return
        if isinstance(told, (Report, Retry)):
            fields = {name: _plain(value) for name, value in vars(told).items()}
            number = self._number_of(told)
            what = type(told).__name__
            note = {"what": what, "fields": fields, "session": number}
            self._tap.note((Decided, note))
            return
        # Now, since it is the caller's from here on, who may change it.
        try:
            message = msgspec.json.encode(_typed(told))
        except RecursionError as exc:  # which a server may wish to see
            self._give_up(exc)
            return
        self._tap.note((Told, {"message": message}), len(message))

    def _note(
        self, kind: type[Entries], session: Session, size: int = 0, **fields: Any
    ) -> None:
        fields["session"] = session.timeline.session
        self._tap.note((kind, fields), size)

    def _number_of(self, told: Report | Retry) -> int | None:
        """Which session that is about; one that failed before its Begin has no id."""
        name = getattr(told, "session", "")
        if isinstance(told, Over):
            for session in self._living:
                if session.id == name and (name or session.is_over):
                    self._living.remove(session)
                    number: int = session.timeline.session
                    if name:
                        self._numbers[name] = number
                    return number
        if not name:
            return None
        living = (s.timeline.session for s in self._living if s.id == name)
        return next(living, self._numbers.get(name))


def _plain(value: Any) -> Any:
    if isinstance(value, Exception):
        code = getattr(value, "code", None)
        return {"type": type(value).__name__, "text": str(value), "code": code}
    return value


def _typed(told: Event) -> Any:
    """With its type, which the stream's own messages don't have."""
    if not isinstance(told, (AudioLost, SilenceSkipped)):
        return told
    return {"type": type(told).__name__, **msgspec.structs.asdict(told)}


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity."""
    return {k: "inf" if v == math.inf else v for k, v in settings.items()}
