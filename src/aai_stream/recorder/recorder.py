"""A stream's part in its recording: one recorder for each, on its event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from .._core import Tap
from ..messages import AudioLost, Event, SilenceSkipped
from ..protocol.events import Over, Report, Retry
from ..version import __version__
from .entries import Scribe, Taken
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
from .recording import Recording
from .thread import writing_thread
from .writing import ENDED_EARLY, CallWriter

if TYPE_CHECKING:
    from .._core import AudioRing
    from ..protocol.session import Session
    from ..protocol.settings import Settings

logger = logging.getLogger("aai_stream")

TAKE_SECONDS = 2.0
"""How often what was recorded is handed to the thread, and so what a crash may lose. To
wake it costs the loop 30 to 100 µs."""

MOST_BYTES = 64 * 10**6
"""That wait to be written, of all streams of a process."""

TOO_MUCH = "too much waits to be written"


class Recorder:
    """Notes what becomes of a stream, and hands that to the thread that writes it.

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
        recording: Recording,
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
        self._call = CallWriter(recording, self.file, meta, scribe, fields)
        self._tap = ring.tap = Tap(clock, MOST_BYTES)
        self._loop: asyncio.AbstractEventLoop | None = None  # once begun
        self._timer: asyncio.TimerHandle | None = None
        self._has_begun = self._is_over = False
        self._process = os.getpid()
        self._text_bytes = 0  # noted since the last time
        self._living: list[Session] = []
        self._numbers: dict[str, int] = {}  # of those that are over, by AssemblyAI's id
        self._count = 0

    # ---- life ----

    def begin(self) -> None:
        """The stream begins, on the running loop. What was pushed before counts."""
        self._has_begun = True
        self._loop = asyncio.get_running_loop()
        text = "this stream is recorded, with all that is said: %s"
        logger.info(text, self.file, extra=self._fields)
        self._do(0, self._call.begin)
        self._wait()

    def end(self, why: str) -> None:
        """The stream is over; `why` is a `Finished`'s."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._has_begun and not self._is_over:
            self._tap.note((Finished, {"why": why}))
            self._hand_over()
            if self._tap.is_open:
                self._do(0, self._call.finish)
            else:
                self._give_up(TOO_MUCH)
        self._stop()

    async def written(self) -> None:
        """Wait until the file is there, or won't be; at once if it was never begun."""
        if not self._has_begun or self._is_forked:
            return
        try:
            # One of our own, since to cancel it must not cancel what is written.
            done = writing_thread().do(_nothing)
        except RuntimeError:  # the interpreter is ending, and waits itself
            return
        await asyncio.wrap_future(done)

    @property
    def _is_forked(self) -> bool:
        """Whether this is a copy in a fork: the files are the parent's."""
        return os.getpid() != self._process

    def _wait(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(TAKE_SECONDS, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if self._call.is_over or self._is_forked:
            self._stop()
            return
        self._hand_over()
        if self._tap.is_open and writing_thread().backlog <= MOST_BYTES:
            self._wait()
            return
        self._give_up(TOO_MUCH)

    def _hand_over(self) -> None:
        taken = Taken(*self._tap.take())
        size = sum(map(len, taken[:3])) + self._text_bytes
        self._text_bytes = 0
        if size or taken.notes:
            self._do(size, self._call.append, taken)

    def _do(self, size: int, work: Callable[..., None], *args: Any) -> None:
        if self._is_forked:
            return
        try:
            writing_thread().write(size, work, *args)
        except RuntimeError as exc:  # the interpreter is ending
            logger.warning(ENDED_EARLY, exc, extra=self._fields)
            self._stop()

    def _give_up(self, why: object) -> None:
        logger.warning(ENDED_EARLY, why, extra=self._fields)
        self._stop()
        self._do(0, self._call.finish)

    def _stop(self) -> None:
        self._is_over = True
        self._tap.close()
        self._living.clear()

    # ---- what happens ----

    def opening(self, session: Session) -> None:
        """That session is asked for."""
        self._count += 1
        session.timeline.session = self._count
        session.timeline.tap = self._tap
        if not self._is_over:
            self._living.append(session)
        query = session.options.query()
        query.pop("token", None)
        self._note(Opening, session, query=query)

    def connected(self, session: Session) -> None:
        """It has its websocket."""
        self._note(Connected, session)

    def received(self, session: Session, text: bytes) -> None:
        """The server said this."""
        self._text_bytes += len(text)
        self._note(Received, session, message=text)

    def said(self, session: Session, text: bytes) -> None:
        """The server is told this."""
        self._note(Said, session, message=text)

    def closed(self, session: Session, code: int, reason: str) -> None:
        """Its connection is closed, not by us."""
        self._note(Closed, session, code=code, reason=reason)

    def take(self, told: Event | Retry | Report) -> None:
        """The stream tells this."""
        if self._is_over:
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
        self._text_bytes += len(message)
        self._tap.note((Told, {"message": message}))

    def _note(self, kind: type[Entries], session: Session, **fields: Any) -> None:
        fields["session"] = session.timeline.session
        self._tap.note((kind, fields))

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


def _nothing() -> None:
    pass
