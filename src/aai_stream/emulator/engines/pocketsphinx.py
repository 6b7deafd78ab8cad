"""Real speech recognition for the embedded server: pocketsphinx, offline, on the CPU.

Each session has its own worker process (see `worker.py`). This side is asyncio, without
threads.

Measured with the demo call, 50 ms messages, two shared cores, 400 ms of silence asked
for: a stream costs 0.15-0.2 of a core while someone speaks and next to nothing in
silence; a turn ends 560-600 ms after its last word, 570-790 ms with four streams in
step; a worker answers within 30 ms of `open` and takes 24 MB of its own next to the
110 MB they share.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import msgspec

from ...errors import EngineError
from .engine import Broken, Finished, Heard, TurnSettings
from .worker import (
    FRAME_HEAD,
    READY,
    Configure,
    Finish,
    ForceEndpoint,
    Hear,
    Open,
    Order,
    Reply,
    frame,
)

_QUEUE_SECONDS = 3
_SESSIONS_PER_CORE = 2

_logger = logging.getLogger("aai_stream.emulator")


class PocketsphinxEngine:
    """An `Engine` that recognises English with the model that comes with pocketsphinx.

    `capacity` defaults to two sessions a core.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity or _SESSIONS_PER_CORE * _usable_cores()
        self._forks: _ForkServer | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._open: set[_WorkerRecognizer] = set()

    async def start(self) -> None:
        """Start the process that loads the model; about a second.

        Raises `EngineError` when pocketsphinx is missing or won't load.
        """
        self._forks = await _ForkServer.start()
        self._keeper = asyncio.create_task(self._keep(self._forks))

    def open(
        self, sample_rate: int, settings: TurnSettings, tell: Callable[[Heard], None]
    ) -> _WorkerRecognizer:
        """A recogniser with a worker of its own. Raises `EngineError` if not started.

        If there can't be a worker, that is told as if it had died: as `Broken`.
        """
        if self._forks is None:
            raise EngineError("the engine isn't started")
        recognizer = _WorkerRecognizer(
            self._forks.fork(), sample_rate, tell, self._open.discard
        )
        recognizer.order(Open(sample_rate, settings))
        self._open.add(recognizer)
        return recognizer

    async def aclose(self) -> None:
        """End all workers and wait until they are gone. May be called twice."""
        if self._keeper is None:
            return
        self._keeper.cancel()
        recognizers = list(self._open)
        for recognizer in recognizers:
            recognizer.close()
        attaching = [recognizer.attached for recognizer in recognizers]
        await asyncio.gather(self._keeper, *attaching, return_exceptions=True)
        if self._forks is not None:
            await self._forks.stop()
        self._forks = self._keeper = None

    async def _keep(self, forks: _ForkServer) -> None:
        """Start another fork server whenever the current one dies."""
        while True:
            await forks.died()
            _logger.error("the recogniser's fork server died; starting another")
            try:
                self._forks = forks = await _ForkServer.start()
            except EngineError as error:
                _logger.error("no other fork server: %s", error)
                return


def _usable_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run_worker_main(control_fd: int) -> subprocess.Popen[bytes]:
    """Start `worker.main` in a new process.

    Not through asyncio, whose child watcher may take a thread: the control socket
    tells when the process ends.
    """
    run = f"from aai_stream.emulator.engines import worker; worker.main({control_fd})"
    return subprocess.Popen(
        [sys.executable, "-c", run],
        pass_fds=[control_fd],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OPENBLAS_NUM_THREADS": "1",  # a thread wouldn't survive the fork
        },
        # A group of its own, killed as one at the end; and Ctrl-C doesn't reach it.
        start_new_session=True,
    )


class _ForkServer:
    """The process that runs `worker.main`, as seen from the event loop."""

    def __init__(
        self, process: subprocess.Popen[bytes], control: socket.socket
    ) -> None:
        self._process = process
        self._control = control

    @classmethod
    async def start(cls) -> _ForkServer:
        if not hasattr(os, "fork"):
            raise EngineError("the embedded recogniser needs a system that can fork")
        control, theirs = socket.socketpair()
        control.setblocking(False)
        with theirs:
            process = _run_worker_main(theirs.fileno())
        answer = b""
        try:
            answer = await asyncio.get_running_loop().sock_recv(control, 4096)
        finally:
            if answer != READY:
                process.kill()
                process.wait()
                control.close()
        if answer != READY:
            raise EngineError(answer.decode() or "the recogniser's fork server died")
        return cls(process, control)

    def fork(self) -> socket.socket:
        """The wire to a new worker; already closed if there can't be one."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, suppress(OSError):
            socket.send_fds(self._control, [b"f"], [theirs.fileno()])
        return ours

    async def died(self) -> None:
        """Wait until the process is gone."""
        with suppress(ConnectionResetError):  # it left requests unread
            await asyncio.get_running_loop().sock_recv(self._control, 1)
        self._control.close()
        self._process.wait()  # at once: a socket closes when its process is through

    async def stop(self) -> None:
        """End the process and all its forks; returns when they are gone."""
        if self._process.returncode is None:
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)
            await self.died()


class _WorkerRecognizer(asyncio.Protocol):
    """A `Recognizer`: orders to a worker, and what its replies tell.

    `attached` ends when the wire to the worker belongs to the event loop; orders given
    before that wait.
    """

    def __init__(
        self,
        wire: socket.socket,
        sample_rate: int,
        tell: Callable[[Heard], None],
        over: Callable[[_WorkerRecognizer], None],
    ) -> None:
        self._tell = tell
        self._over = over
        self._transport: asyncio.Transport | None = None
        self._unsent = bytearray()
        self._received = bytearray()
        self._decode = msgspec.msgpack.Decoder(Reply).decode
        self._queued_bytes = 0
        self._most_queued_bytes = _QUEUE_SECONDS * sample_rate * 2
        self._room = asyncio.Event()
        self._closed = False
        self.attached = asyncio.create_task(self._attach(wire))

    async def hear(self, pcm: bytes) -> None:
        """As `Recognizer.hear`: waits while more than 3 s are queued."""
        self.order(Hear(pcm))
        self._queued_bytes += len(pcm)
        while self._queued_bytes > self._most_queued_bytes and not self._closed:
            self._room.clear()
            await self._room.wait()

    def configure(self, settings: TurnSettings) -> None:
        """As `Recognizer.configure`."""
        self.order(Configure(settings))

    def force_endpoint(self) -> None:
        """As `Recognizer.force_endpoint`."""
        self.order(ForceEndpoint())

    def finish(self) -> None:
        """As `Recognizer.finish`."""
        self.order(Finish())

    def close(self) -> None:
        """As `Recognizer.close`."""
        if self._closed:
            return
        self._closed = True
        self._room.set()
        self._over(self)
        if self._transport is not None:
            self._transport.abort()

    def order(self, order: Order) -> None:
        """Send the worker an order. It handles orders in turn."""
        if self._closed:
            return
        if self._transport is None:
            self._unsent += frame(order)
        else:
            self._transport.write(frame(order))

    async def _attach(self, wire: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=wire)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's isn't one
        if self._closed:
            self._transport.abort()
        else:
            self._transport.write(self._unsent)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while reply := self._next_reply():
            self._queued_bytes -= reply.audio_bytes
            self._room.set()
            for heard in reply.heard:
                if not self._closed:
                    self._tell(heard)
                if isinstance(heard, Finished):
                    self.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._closed:
            self.close()
            self._tell(Broken("the recogniser's worker died"))

    def _next_reply(self) -> Reply | None:
        head = FRAME_HEAD.size
        if len(self._received) < head:
            return None
        end = head + FRAME_HEAD.unpack_from(self._received)[0]
        if len(self._received) < end:
            return None
        reply: Reply = self._decode(self._received[head:end])
        del self._received[:end]
        return reply
