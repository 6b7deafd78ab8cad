"""Runs a `StreamProtocol` on an event loop: its sessions, its timer, its waiters.

Decides nothing. Both faces sit on it: `Stream` for Python programs, and LiveKit's
`SpeechStream`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec

from .errors import StateError
from .lifetime import running_loop, when_dropped
from .messages import Event
from .protocol.events import Admitted, Report, Retry
from .protocol.session import Session
from .protocol.stream import StreamProtocol, StreamState
from .stats import StreamStats, stats_of
from .telemetry.reporter import Reporter

if TYPE_CHECKING:
    from pathlib import Path

    from ._core import AudioRing
    from .connection.connector import Connector
    from .connection.limiter import Place
    from .connection.wire import Wire
    from .options import Options
    from .protocol.retry import Retries
    from .protocol.settings import Settings
    from .recorder.recorder import Recorder
    from .recorder.recording import RecordSettings

logger = logging.getLogger("aai_stream")

P = ParamSpec("P")

Tell = Callable[[Event | Retry | None], None]
"""Takes each message, and each `Retry`; None when there will be no more. Raises
`StateError` when nobody reads them, which ends the stream."""


class Link:
    """One session and its wire; what the wire has to say goes through here."""

    def __init__(self, runner: Runner, session: Session) -> None:
        self.session = session
        self.wire: Wire | None = None  # once connected
        self.opener: asyncio.Task[None] | None = None  # until then
        self.place: Place | None = None  # among the account's sessions
        self._runner = runner
        self._recorder = runner.recorder
        # What came with the answer to the upgrade: calls that want but the moment.
        self._early: list[Callable[[float], None]] = []

    def connected(self, wire: Wire) -> None:
        """The connection stands: audio can be sent."""
        self.wire = wire
        now = self._runner.now()
        if self._recorder is not None:
            self._recorder.connected(self.session)
        self._runner.protocol.connected(self.session, now)
        for take in self._early:
            take(now)
        self._early.clear()

    def received(self, text: bytes) -> None:
        """A text message came."""
        if self.wire is None:
            self._early.append(partial(self._receive, text))
            return
        now = self._runner.now()
        self._receive(text, now)
        self._runner.settle(now)

    def _receive(self, text: bytes, now: float) -> None:
        if self._recorder is not None:
            self._recorder.received(self.session, text)
        self._runner.protocol.receive(self.session, text, now)

    def closed(self, code: int, reason: str) -> None:
        """The connection is closed."""
        if self.wire is None:
            self._early.append(partial(self._close, code, reason))
            return
        now = self._runner.now()
        self._close(code, reason, now)
        self._runner.settle(now)

    def _close(self, code: int, reason: str, now: float) -> None:
        if self._recorder is not None and not self.session.is_over:  # else we did it
            self._recorder.closed(self.session, code, reason)
        self._runner.protocol.closed(self.session, code, reason, now)

    def release(self) -> None:
        """There is no session any more: another may be opened."""
        if self.place is not None:
            self.place.release()

    def send_texts(self) -> None:
        """Send what the session has to say besides audio."""
        if self.wire is not None:
            for text in self.session.texts():
                self.send_text(text)

    def send_text(self, text: bytes) -> None:
        """Send this, now that there is a wire."""
        assert self.wire is not None
        self.wire.frames.send_text(text)
        if self._recorder is not None:
            self._recorder.said(self.session, text)


class Runner:
    """A stream on the event loop: does what `protocol` says.

    `tell` gets what the stream has to say. `connect_timeout` is in seconds. The call is
    recorded as `recording` says.

    Attributes:
        protocol: what decides; it may be asked anything at any time.
        gate: takes audio, and sends what may go before that returns.
        reporter: logs, counts and shows what becomes of the stream.
        recorder: keeps it on file; None if nobody wants that.
    """

    def __init__(
        self,
        tell: Tell,
        *,
        ring: AudioRing,
        options: Options,
        settings: Settings,
        retries: Retries,
        connector: Connector,
        connect_timeout: float,
        recording: RecordSettings | None = None,
    ) -> None:
        self.protocol = StreamProtocol(
            ring, options, settings, retries, connector.credentials
        )
        self.gate = self.protocol.sending.gate
        self.reporter = Reporter(self.protocol, connector.host)
        self.recorder: Recorder | None = None
        if recording is not None:
            from .recorder.recorder import Recorder  # few need it, and it is large

            self.recorder = Recorder(
                recording,
                self.reporter.name,
                ring=ring,
                settings=settings,
                host=connector.host,
                redact=connector.credentials.redact,
                fields=self.reporter.fields(session=""),
                unix_now=connector.time_of_day(),
            )
        self._connector = connector
        self._connect_timeout = connect_timeout
        self._tell = tell
        self._links: dict[Session, Link] = {}
        self._present: Link | None = None  # of the session that hears the stream
        self._tasks: set[asyncio.Task[None]] = set()  # that open and close wires
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # once started
        self._is_told_over = False
        self._waited_seconds = 0.0
        self._waiting_since: float | None = None  # for other new sessions

    def now(self) -> float:
        """The loop's clock, in seconds; 0 while there is no loop."""
        return 0.0 if self._loop is None else self._loop.time()

    # ---- life ----

    def start(self) -> None:
        """Open a session, on the running loop. Raises `StateError` in a fork, or in
        another thread than the one that pushed audio."""
        self.protocol.ring.check_owner()
        self._loop = asyncio.get_running_loop()
        self.gate.ask = self._asked
        self.reporter.begin()
        if self.recorder is not None:
            self.recorder.begin()
        self.protocol.start(self.now())
        self.settle()

    async def opened(self) -> None:
        """Wait until there is a session. Raises what the stream failed with instead;
        `StateError` if it was closed."""
        protocol = self.protocol
        await self._until(lambda: protocol.lineup.is_open or protocol.is_over)
        if protocol.failure is not None:
            raise protocol.failure
        if protocol.is_over:
            raise StateError("the stream was closed")

    async def over(self) -> None:
        """Wait until there will be no other session, and all are closed."""
        await self._until(lambda: self.protocol.is_over and not self._tasks)

    def end(self) -> None:
        """No more audio will come: tell the last turn, then be over."""
        self.protocol.end(self.now())
        self.settle()

    async def drain(self) -> None:
        """Wait until no full chunk waits, or none ever will be sent."""
        await asyncio.sleep(0)  # a socket that is never full would starve the others
        protocol = self.protocol
        await self._until(lambda: not protocol.has_backlog or protocol.is_over)

    def stop(self) -> None:
        """Close at once; the server is told to terminate all the same."""
        self._loop = self._loop or running_loop()
        self.protocol.close(self.now())
        self.settle()

    async def close(self) -> None:
        """Close at once, and wait until all sessions are."""
        self.stop()
        await self._until(lambda: not self._tasks)

    @property
    def recording(self) -> Path | None:
        """The file that the recorded call will be; None if it is not recorded."""
        return None if self.recorder is None else self.recorder.file

    async def written(self) -> None:
        """Wait until what there is to be recorded of a stream that is over is so."""
        if self.recorder is not None:
            await self.recorder.written()

    def close_without(self, owner: object) -> None:
        """Close when `owner`, which is the stream to its user, is gone."""
        self._finalizer = when_dropped(owner, self._abandon)

    def _abandon(self) -> None:
        if not self.protocol.is_over:
            logger.warning(
                "a stream was dropped and not closed; its session is ended",
                extra=self.reporter.fields(),
            )
            self.stop()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            if self._waiter is None:
                assert self._loop is not None
                self._waiter = self._loop.create_future()
            await asyncio.shield(self._waiter)

    def _changed(self) -> None:
        """Something may be otherwise, for those who wait."""
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    # ---- audio and control ----

    def _asked(self) -> None:
        """The gate has shut, audio was dropped, the socket takes more again, or there
        is a sound."""
        now = self.now()
        self.protocol.wrote(now)
        self.settle(now)

    def do(self, call: Callable[P, object], *args: P.args, **named: P.kwargs) -> None:
        """Call something of the protocol, and do what that wants then.

        Raises what it does, and `StateError` in a fork, or in another thread than the
        one that pushed audio.
        """
        self.protocol.ring.check_owner()
        call(*args, **named)
        self.settle()

    @property
    def stats(self) -> StreamStats:
        """What the stream did so far."""
        waited, now = self._waited_seconds, self.now()
        if self._waiting_since is not None:
            waited += now - self._waiting_since
        return stats_of(self.protocol, waited, now)

    # ---- doing what the protocol says ----

    def settle(self, now: float | None = None) -> None:
        """Do all that the protocol wants by now."""
        if self._loop is None:
            return
        if now is None:
            now = self._loop.time()
        protocol = self.protocol
        self._send_all(now)
        while protocol.told:
            self._hand_over(protocol.told.popleft(), now)
        if now >= protocol.lineup.open_at:
            self._open_next(now)
        self._set_timer()
        self._changed()
        if protocol.is_over and not self._is_told_over:
            self._is_told_over = True
            self.reporter.end()
            if self.recorder is not None:
                self.recorder.end(why=protocol.state.name.lower())
            self.gate.ask = None  # nor is a stream to hold itself in memory
            if self._finalizer is not None:
                # It is known everywhere, and would keep what the stream failed with.
                self._finalizer.detach()
            self._tell(None)

    def _hand_over(self, told: Event | Retry | Report, now: float) -> None:
        self.reporter.take(told, now)
        if self.recorder is not None:
            self.recorder.take(told)
        if isinstance(told, Report):
            return
        try:
            self._tell(told)
        except StateError as exc:  # nobody reads
            self.protocol.fail(exc, now)
            self._send_all(now)

    def _send_all(self, now: float) -> None:
        """Let each session say what it has to, and close those that are over."""
        protocol = self.protocol
        for session, link in tuple(self._links.items()):
            if not session.is_over:
                link.send_texts()
        self._close_over()
        hears = protocol.lineup.present
        present = None if hears is None else self._links.get(hears)
        if present is not self._present:
            self._present = present
            wire = None if present is None else present.wire
            self.gate.connect(None if wire is None else wire.frames, self.now)
        if present is not None and not self.gate.is_open:
            self._send(present, now)  # by which it may be lost
            if protocol.state is StreamState.ENDING:
                present.send_texts()
                self._close_over()  # its successor isn't wanted any more

    def _close_over(self) -> None:
        """Close what is over, also where it still waits for a place."""
        for session, link in tuple(self._links.items()):
            # Or a wire that broke just now did it.
            if session.is_over and session in self._links:
                self._close(link)

    def _send(self, link: Link, now: float) -> None:
        """Send `link` audio, for as long as it may go and there is room."""
        wire, protocol = link.wire, self.protocol
        if wire is None:
            return
        frames = wire.frames
        while (message := protocol.next_message(now, frames.has_room)) is not None:
            if isinstance(message, bytes):
                link.send_text(message)
            else:
                frames.send_audio(message)
        if protocol.sending.is_time_to_look:
            protocol.look(now, wire.silent_seconds)
            self.settle(now)

    def _set_timer(self) -> None:
        at = self.protocol.deadline
        if self._timer is not None:
            if self._timer.when() <= at < math.inf:
                return  # it is set anew then
            self._timer.cancel()
            self._timer = None
        if at < math.inf:
            assert self._loop is not None
            self._timer = self._loop.call_at(at, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self.now()
        self.protocol.check(now)
        self.settle(now)

    # ---- sessions ----

    def _open_next(self, now: float) -> None:
        unix_now = self._connector.time_of_day()
        session = self.protocol.next_session(now, unix_now)
        if session is not None:
            if self.recorder is not None:
                self.recorder.opening(session)
            link = self._links[session] = Link(self, session)
            link.opener = self._begin(self._open(link))

    async def _open(self, link: Link) -> None:
        session = link.session
        try:
            link.place = await self._admitted()
            if not session.is_over:  # it may have been wanted no more meanwhile
                wire = await self._connector.open(
                    session.handshake(), link, self._connect_timeout
                )
                link.connected(wire)
        except Exception as exc:
            self.protocol.not_opened(session, exc, self.now())
        finally:
            if link.wire is None:
                link.release()
        link.opener = None
        if session.is_over:
            self._close(link)
        self.settle()

    async def _admitted(self) -> Place | None:
        """Wait for a place among the account's sessions."""
        self._waiting_since = began = self.now()
        try:
            place = await self._connector.admit(lambda: self.protocol.unheard_seconds)
        finally:
            waited = self.now() - began
            self._waited_seconds += waited
            self._waiting_since = None
        self.protocol.told.append(Admitted(waited))
        return place

    def _close(self, link: Link) -> None:
        """The session of `link` is over."""
        self._links.pop(link.session, None)
        if link.opener is not None:
            link.opener.cancel()
        if link.wire is not None:
            link.send_texts()
            closing = self._begin(link.wire.close())
            closing.add_done_callback(lambda _: link.release())

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # By name: in a fork there is no running loop.
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed()
