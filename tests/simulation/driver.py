"""`StreamProtocol` alone, as a third face: what its docstring asks for is done by hand,
with no runner and no task, and what must be so is looked at after every step.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from typing_extensions import Buffer

from aai_stream._core import AudioRing
from aai_stream.connection.credentials import TokenSource
from aai_stream.options import Options
from aai_stream.protocol import events
from aai_stream.protocol import settings as protocol_settings
from aai_stream.protocol.events import Note, Retry
from aai_stream.protocol.retry import Retries
from aai_stream.protocol.session import Session
from aai_stream.protocol.stream import StreamProtocol
from tests.simulation.account import EPOCH, Account, Refusal
from tests.simulation.client import failure_of
from tests.simulation.invariants import Invariants
from tests.simulation.link import DEAD_AFTER, Link
from tests.simulation.speech import RATE

if TYPE_CHECKING:
    from tests.simulation.faces import Settings
    from tests.simulation.report import Report


class _Identity:
    """Whose sessions they are."""

    def __init__(self, *, has_token_source: bool) -> None:
        self.has_token_source = has_token_source

    def redact(self, text: str) -> str:
        return text


class _Line:
    """A session and the link that it has, or will have."""

    def __init__(self, face: ProtocolFace, session: Session) -> None:
        self.session = session
        self.link: Link | None = None
        self._face = face

    def received(self, text: bytes) -> None:
        self._face.protocol.receive(self.session, text, self._face.now())
        self._face.settle()

    def closed(self, code: int, reason: str) -> None:
        self._face.protocol.closed(self.session, code, reason, self._face.now())
        self._face.settle()

    def room(self, has_room: bool) -> None:
        """The link's socket takes more audio, or no more."""
        if has_room:
            self._face.settle()


class ProtocolFace:
    """Holds a call over `account`, and tells `report`."""

    def __init__(
        self,
        account: Account,
        settings: Settings,
        token: TokenSource | None,
        report: Report,
    ) -> None:
        ring = AudioRing(
            RATE,
            chunk_ms=settings.chunk_seconds * 1000,
            replay_seconds=settings.replay_seconds,
        )
        retries = Retries(
            settings.max_retries, patience=settings.replay_seconds, draw=random.uniform
        )
        self.protocol = StreamProtocol(
            ring,
            Options({**settings.parameters, "sample_rate": RATE}),
            protocol_settings.Settings(
                begin_timeout=protocol_settings.BEGIN_SECONDS,
                close_timeout=protocol_settings.CLOSE_SECONDS,
                dead_after=DEAD_AFTER,
                catch_up_rate=settings.rate,
                skip_silence=settings.skip_silence,
                park_after=settings.park_after,
            ),
            retries,
            _Identity(has_token_source=callable(token)),
        )
        self._account = account
        self._token = token
        self._report = report
        self._invariants = Invariants(self.protocol, settings, account.complain)
        self._loop = asyncio.get_running_loop()
        self._lines: dict[Session, _Line] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None

    def now(self) -> float:
        """The world's clock."""
        return self._loop.time()

    # ---- what a caller does ----

    async def open(self) -> None:
        """Wait for the first session."""
        self.protocol.start(self.now())
        self.settle()
        await self._until(lambda: self.protocol.lineup.is_open)

    def push(self, pcm: Buffer) -> None:
        self._check_not_failed()
        self.protocol.ring.write(bytes(pcm), RATE)
        self.protocol.wrote(self.now())
        self.settle()

    def flush(self) -> None:
        self._check_not_failed()
        self.protocol.sending.flush()
        self.settle()

    def force_endpoint(self) -> None:
        self._check_not_failed()
        self.protocol.sending.force_endpoint(flush=False)
        self.settle()

    def update(self, changes: dict[str, object]) -> None:
        self._check_not_failed()
        self.protocol.update(changes)
        self.settle()

    def keep_alive(self) -> None:
        self._check_not_failed()
        self.protocol.keep_alive(self.now())
        self.settle()

    async def drain(self) -> None:
        await self._until(lambda: not self.protocol.has_backlog)

    async def end(self) -> None:
        self._check_not_failed()
        self.protocol.end(self.now())
        self.settle()
        await self._until(lambda: False)

    async def aclose(self) -> None:
        self.protocol.close(self.now())
        self.settle()

    @property
    def memory_bytes(self) -> int:
        return self.protocol.ring.memory_bytes

    def _check_not_failed(self) -> None:
        if self.protocol.failure is not None:
            raise self.protocol.failure

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so() and not self.protocol.is_over:
            self._waiter = self._loop.create_future()
            await self._waiter
        self._check_not_failed()

    # ---- what the protocol asks for ----

    def settle(self, *, is_checked: bool = False) -> None:
        """Do all that is wanted by now, and see that all is well. `is_checked`: what
        was due is done."""
        protocol = self.protocol
        self._send()
        while protocol.told:
            self._tell()
            self._send()
        for line in list(self._lines.values()):
            if line.session.is_over:
                self._leave(line)
        session = protocol.next_session(self.now(), EPOCH + self.now())
        if session is not None:
            self._dial(session)
        self._invariants.check(
            self.now(), has_room=self._has_room(), is_checked=is_checked
        )
        if self._timer is not None:
            self._timer.cancel()
        if protocol.deadline < math.inf:
            self._timer = self._loop.call_at(protocol.deadline, self._on_time)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _on_time(self) -> None:
        self.protocol.check(self.now())
        self.settle(is_checked=True)

    def _tell(self) -> None:
        told = self.protocol.told.popleft()
        self._invariants.hear(told, self.now())
        if isinstance(told, Retry):
            self._account.note(f"   client: {told.failure}; again in {told.seconds} s")
        elif isinstance(told, Note):
            self._account.note(f"   client: {told.text}")
        elif not isinstance(told, events.Report):
            self._report.take(told)

    def _has_room(self) -> bool:
        line = self._lines.get(self.protocol.session) if self.protocol.session else None
        return line is not None and line.link is not None and line.link.has_room

    def _send(self) -> None:
        protocol = self.protocol
        for line in list(self._lines.values()):
            self._send_texts(line)
        hears = self._lines.get(protocol.session) if protocol.session else None
        if hears is None or (link := hears.link) is None:
            return
        while (message := protocol.next_message(self.now(), link.has_room)) is not None:
            if isinstance(message, bytes):
                link.send_text(message)
            else:
                link.send_audio(bytes(memoryview(message)))
        self._send_texts(hears)
        if protocol.sending.is_time_to_look:
            protocol.look(self.now(), link.silent_seconds)
            self._send()

    @staticmethod
    def _send_texts(line: _Line) -> None:
        if line.link is not None:
            for text in line.session.texts():
                line.link.send_text(text)

    # ---- sessions ----

    def _dial(self, session: Session) -> None:
        line = self._lines[session] = _Line(self, session)
        seconds = self._account.dial()
        asked = session.handshake().query()
        if self._token is not None:
            token = self._token() if callable(self._token) else self._token
            asked["token"] = str(token)
        self._loop.call_later(seconds, self._answered, line, asked)

    def _answered(self, line: _Line, asked: dict[str, str]) -> None:
        if line.session not in self._lines:
            return  # it is wanted no more
        try:
            line.link = self._account.accept(asked, line, has_key=self._token is None)
            line.link.on_has_room = line.room
        except Refusal as exc:
            del self._lines[line.session]
            self.protocol.not_opened(line.session, failure_of(exc), self.now())
        else:
            self.protocol.connected(line.session, self.now())
        self.settle()

    def _leave(self, line: _Line) -> None:
        del self._lines[line.session]
        if line.link is not None:
            self._send_texts(line)
            line.link.leave()
